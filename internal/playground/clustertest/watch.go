package clustertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// seen is an Observer that keeps what it is told and checks how it is told.
type seen struct {
	t    *testing.T
	busy sync.Mutex // held during a call: calls must not overlap

	mu      sync.Mutex
	synced  bool
	all     map[playground.User]playground.Database
	changed chan struct{} // closed and replaced with each call
}

func newSeen(t *testing.T) *seen {
	return &seen{t: t, all: map[playground.User]playground.Database{}, changed: make(chan struct{})}
}

func (o *seen) told(f func()) {
	if !o.busy.TryLock() {
		o.t.Error("two calls of the Observer overlap")
		return
	}
	defer o.busy.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *seen) Synced(all []playground.Database) {
	o.told(func() {
		o.synced = true
		clear(o.all)
		for _, db := range all {
			if _, ok := o.all[db.User]; ok {
				o.t.Errorf("Synced tells %v twice", db.User)
			}
			o.all[db.User] = db
		}
	})
}

func (o *seen) Changed(all ...playground.Database) {
	o.told(func() {
		if !o.synced {
			o.t.Error("Changed came before Synced")
		}
		for _, db := range all {
			if db.Phase == playground.None {
				delete(o.all, db.User)
			} else {
				o.all[db.User] = db
			}
		}
	})
}

func (o *seen) Stale(err error) {
	o.told(func() {
		if err != nil {
			o.t.Logf("the watch is stale: %v", err)
		}
	})
}

// until waits until what was told so far is as expected.
func (o *seen) until(what string, done func(all map[playground.User]playground.Database) bool) {
	o.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		o.mu.Lock()
		ok, changed := o.synced && done(o.all), o.changed
		o.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			o.mu.Lock()
			defer o.mu.Unlock()
			o.t.Fatalf("the watch never told that %s: synced %v, %+v", what, o.synced, o.all)
		}
	}
}

// watching starts a watch that ends with the returned stop, which checks its error.
func (s *suite) watching() (o *seen, stop func()) {
	o = newSeen(s.T)
	ctx, cancel := context.WithCancel(s.ctx)
	result := make(chan error, 1)
	go func() { result <- s.Watch(ctx, o) }()
	return o, func() {
		s.Helper()
		cancel()
		select {
		case err := <-result:
			if !errors.Is(err, context.Canceled) {
				s.Errorf("Watch = %v, want %v", err, context.Canceled)
			}
		case <-time.After(patience):
			s.Error("Watch did not end with its context")
		}
	}
}

func (s *suite) watch() {
	at := clock()
	bob := s.started("bob", at)
	o, stop := s.watching()
	defer stop()
	o.until("bob is there", func(all map[playground.User]playground.Database) bool {
		return len(all) == 1 && all["bob"].Address == bob.Address && hasPod(all["bob"])
	})

	s.must("Claim", s.Claim(s.ctx, ada, "", at))
	o.until("ada is claimed", func(all map[playground.User]playground.Database) bool {
		return len(all) == 2 && all[ada].LastUse.Equal(at) && all[ada].Phase == playground.Missing
	})
	s.must("Start", s.Start(s.ctx, ada))
	o.until("ada is started", func(all map[playground.User]playground.Database) bool { return hasPod(all[ada]) })

	s.must("Touch", s.Touch(s.ctx, at.Add(time.Hour), []playground.User{ada}))
	o.until("ada was used", func(all map[playground.User]playground.Database) bool {
		return all[ada].LastUse.Equal(at.Add(time.Hour))
	})
	marked := s.marked(s.get(ada), at.Add(time.Hour))
	o.until("ada is marked", func(all map[playground.User]playground.Database) bool {
		return all[ada].Record == marked.Record && all[ada].Marked.Equal(at.Add(time.Hour))
	})
	s.must("Release", s.Release(s.ctx, marked, at.Add(2*time.Hour)))
	o.until("ada is released", func(all map[playground.User]playground.Database) bool {
		return all[ada].Phase == playground.Released && all[ada].Address == marked.Address
	})

	second, stopSecond := s.watching()
	defer stopSecond()
	second.until("both are there, for a second watcher", func(all map[playground.User]playground.Database) bool {
		return len(all) == 2 && all[ada].Phase == playground.Released
	})
}

func (s *suite) watchRemoval() {
	s.started(ada, clock())
	o, stop := s.watching()
	defer stop()
	o.until("ada is there", func(all map[playground.User]playground.Database) bool { return hasPod(all[ada]) })
	s.must("Stop", s.Stop(s.ctx, s.get(ada)))
	o.until("the pod is gone", func(all map[playground.User]playground.Database) bool {
		return all[ada].Phase == playground.Missing && all[ada].Pod.UID == ""
	})
	s.must("Remove", s.Remove(s.ctx, ada, false))
	o.until("ada is gone", func(all map[playground.User]playground.Database) bool { return len(all) == 0 })
}
