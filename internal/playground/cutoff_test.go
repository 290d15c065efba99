package playground_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// stuckCluster is a fakeCluster of which one call hangs until its caller gives up.
type stuckCluster struct {
	*fakeCluster
	call string
	says func(context.Context) error
}

func (c *stuckCluster) hang(ctx context.Context, call string) error {
	if call != c.call {
		return nil
	}
	<-ctx.Done()
	return fmt.Errorf("kubectl: %w", c.says(ctx))
}

func (c *stuckCluster) Claim(ctx context.Context, user playground.User, client string, at time.Time) error {
	if err := c.hang(ctx, "claim"); err != nil {
		return err
	}
	return c.fakeCluster.Claim(ctx, user, client, at)
}

func (c *stuckCluster) Start(ctx context.Context, user playground.User) error {
	if err := c.hang(ctx, "start"); err != nil {
		return err
	}
	return c.fakeCluster.Start(ctx, user)
}

func (c *stuckCluster) Get(ctx context.Context, user playground.User) (playground.Database, error) {
	if err := c.hang(ctx, "get"); err != nil {
		return playground.Database{}, err
	}
	return c.fakeCluster.Get(ctx, user)
}

// Whatever call is cut off, the caller hears why.
func TestACreationThatIsCutOffTellsTheCause(t *testing.T) {
	t.Parallel()
	ends := []struct {
		name string
		end  func(*testing.T, bench)
		code playground.Code
	}{
		{"deleted", func(t *testing.T, m bench) {
			if err := m.Delete(t.Context(), gateway, "ann", false); err != nil {
				t.Error(err)
			}
		}, playground.Interrupted},
		{"shut down", func(_ *testing.T, m bench) { m.stop() }, playground.Interrupted},
		{"too late", func(*testing.T, bench) { time.Sleep(16 * time.Minute) }, playground.CannotStart},
	}
	for _, call := range []string{"claim", "start", "get"} {
		for how, says := range map[string]func(context.Context) error{"its error": context.Context.Err, "its cause": context.Cause} {
			for _, c := range ends {
				t.Run(c.name+" in "+call+", which tells "+how, func(t *testing.T) {
					inBubble(t, func(t *testing.T) {
						f := &stuckCluster{newFakeCluster(), call, says}
						f.fakeCluster.hold = true
						m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.CreateTimeout = time.Hour })
						if call == "get" {
							m.Stale(errors.New("the watch broke"))
						}
						got := make(chan error, 1)
						go func() { _, err := m.Create(t.Context(), gateway, "ann"); got <- err }()
						time.Sleep(10 * time.Second)
						synctest.Wait()
						c.end(t, m)
						synctest.Wait()
						if err := <-got; code(err) != c.code {
							t.Errorf("got %v, want %q", err, c.code)
						}
						if db := f.get("ann"); c.name != "shut down" && db.Phase != playground.None {
							t.Errorf("left behind: %+v", db)
						}
						if s := m.Database("ann"); c.name == "too late" && s.State != playground.StateFailed {
							t.Errorf("status %+v, want failed", s)
						}
					})
				})
			}
		}
	}
}

// slowWriter is a fakeCluster that takes its time to write last uses, and a moment to give up.
type slowWriter struct {
	*fakeCluster
	begun chan struct{}
}

func (s *slowWriter) Touch(ctx context.Context, at time.Time, users []playground.User) error {
	s.begun <- struct{}{}
	select {
	case <-time.After(2 * time.Second):
		return s.fakeCluster.Touch(ctx, at, users)
	case <-ctx.Done():
		time.Sleep(10 * time.Millisecond)
		return ctx.Err()
	}
}

func TestHeartBeatsWhoseWriteIsCutOffAreWrittenAllTheSame(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &slowWriter{newFakeCluster(), make(chan struct{}, 10)}
		m := run(t, "a", f, &fakeProber{}, nil)
		mustCreate(t, m, "ann")
		<-f.begun
		time.Sleep(10 * time.Second)
		at := time.Now()
		if _, err := m.Beat(gateway, "ann"); err != nil {
			t.Fatal(err)
		}
		<-f.begun
		m.stop()
		if db := f.get("ann"); db.LastUse.Before(at) {
			t.Errorf("the record says %v, the last beat was at %v", db.LastUse, at)
		}
	})
}
