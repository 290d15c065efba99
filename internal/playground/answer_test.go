package playground_test

import (
	"context"
	"sync"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// fickleProber answers, and at its first answer the cluster changes its mind.
type fickleProber struct {
	fakeProber
	once sync.Once
	then func()
}

func (p *fickleProber) Ping(context.Context, string) error {
	p.once.Do(p.then)
	return nil
}

// A data source is never empty: what stops being ready in the moment in which it
// answers is waited for again.
func TestADatabaseThatChangesAsItAnswersIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *fakeCluster){
		"its service goes": func(f *fakeCluster) { f.loseService("ann") },
		"its pod goes":     func(f *fakeCluster) { f.vanish("ann", "") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				m, err := playground.NewManager(f, &fickleProber{then: func() { change(f) }}, playground.DefaultOptions(), quiet(), playground.Silent{})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- m.Run(ctx) }()
				defer func() { cancel(); <-done }()
				if s := mustCreate(t, bench{Manager: m}, "ann"); s.DataSource == "" || s.State != playground.StateReady {
					t.Errorf("the answer is %+v", s)
				}
			})
		})
	}
}
