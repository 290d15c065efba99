package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// Four users of two replicas with a short time-out: only who does nothing at all
// loses the pod. Each begins to use the database when it is there, whatever the
// others wait for, and so often that a busy machine's pauses do not look like idleness.
func TestIdle(t *testing.T) {
	beside(t, 105*time.Second)
	const timeout = 30 * time.Second
	s := newSite(t)
	servers := s.replicas(t, "--idle_timeout="+timeout.String())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	// often does something now, and then again and again in the background.
	often := func(do func(i int) error) error {
		if err := do(0); err != nil {
			return err
		}
		busy.Go(func() {
			for i := 1; sleep(ctx, timeout/6) == nil; i++ {
				if err := do(i); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
		return nil
	}
	var connection *sql.Conn
	users := []struct {
		name, why string
		use       func(source string) error
	}{
		{"connected", "an open connection that says nothing", func(source string) (err error) {
			db := connect(t, strings.TrimSuffix(dsn(source), "&readTimeout=30s&writeTimeout=30s"))
			connection, err = db.Conn(t.Context())
			return err
		}},
		{"beating", "heart beats, to both replicas in turn", func(string) error {
			return often(func(i int) error {
				_, err := servers[i%2].beat(ctx, servers[i%2].clients, "beating")
				return err
			})
		}},
		{"querying", "a short query now and then", func(source string) error {
			return often(func(int) error { return works(ctx, source) })
		}},
		{"idle", "", func(string) error { return nil }},
	}
	sources, pods := make([]string, len(users)), make([]string, len(users))
	begun := time.Now() // in the end, when the idle user had a database
	var creating sync.WaitGroup
	for i, user := range users {
		creating.Go(func() {
			var err error
			if sources[i], err = servers[i%2].createPatiently(ctx, user.name); err != nil {
				t.Error(err)
				return
			}
			if user.why == "" {
				begun = time.Now()
				return
			}
			if err := user.use(sources[i]); err != nil {
				t.Errorf("%s: %v", user.name, err)
				return
			}
			o, err := s.pod(ctx, user.name)
			if err != nil {
				t.Error(err)
			}
			pods[i] = o.Metadata.UID
		})
	}
	creating.Wait()
	if t.Failed() {
		return
	}

	s.released(t, "idle")
	record(t, "5", "nobody uses a database: its pod is released after", brief(time.Since(begun)), "time-out of "+brief(timeout)+", two passes")
	pause(t, max(0, 3*timeout-time.Since(begun)))
	for i, user := range users[:3] {
		if s.uid(t, user.name) != pods[i] {
			t.Errorf("%s did not keep the database", user.why)
		}
		record(t, "5", user.why+": the pod is kept over", brief(time.Since(begun)), "time-out of "+brief(timeout))
	}
	if err := connection.PingContext(t.Context()); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	_ = connection.Close()

	begun = time.Now()
	if _, err := servers[1].beat(t.Context(), servers[1].clients, "idle"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a heart beat brings it back", patience, func() error { return works(t.Context(), sources[3]) })
	measured(t, "5", "one heart beat for a released database: it answers at its old address after", time.Since(begun), 10*time.Second)
}

// createPatiently asks for a database until it is there.
func (s *server) createPatiently(ctx context.Context, user string) (source string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		a, err := s.create(ctx, s.clients, user)
		if err != nil {
			return "", err
		}
		if source := a.source(); source != "" {
			return source, nil
		}
		if a.retryAfter == "" {
			return "", errors.New(a.String())
		}
		select {
		case <-ctx.Done():
			return "", errors.New(a.String())
		case <-time.After(time.Second):
		}
	}
}
