package playground_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// told checks how m tells of ann's database.
func told(t *testing.T, m bench, when string, want playground.State, reason string) {
	t.Helper()
	synctest.Wait()
	if s := m.Database("ann"); s.State != want || s.Reason != reason {
		t.Errorf("%s it is told as %s (%q), want %s (%q)", when, s.State, s.Reason, want, reason)
	}
}

// The replica that failed goes on telling of it only until the next try, whichever
// replica makes that.
func TestAFailureIsToldUntilTheNextTry(t *testing.T) {
	t.Parallel()
	const quota = "exceeded quota: pods"
	failed := func(t *testing.T, released bool) (*fakeCluster, bench, bench) {
		f := newFakeCluster()
		if released {
			f.wasReleased(t, "ann")
		}
		f.refuse = quota
		a, b := run(t, "a", f, &fakeProber{}, nil), run(t, "b", f, &fakeProber{}, nil)
		if _, err := a.Create(t.Context(), gateway, "ann"); code(err) != playground.CannotStart {
			t.Fatalf("got %v, want cannot_start", err)
		}
		told(t, a, "after it failed", playground.StateFailed, quota)
		f.set(func() { f.refuse = "" })
		return f, a, b
	}
	for name, was := range map[string]bool{"of a new user": false, "of a released database": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f, a, b := failed(t, was)
				go b.Create(t.Context(), gateway, "ann")
				synctest.Wait()
				told(t, a, "while it comes up at the other replica", playground.StateCreating, "starting")
				time.Sleep(f.startTime)
				told(t, a, "once it is ready there", playground.StateReady, "")
				for f.get("ann").Phase != playground.Released { // it is idle
					time.Sleep(time.Hour)
				}
				told(t, a, "once it is released", playground.StateNone, "")
			})
		})
	}
	t.Run("until somebody deletes what the next try made", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			_, a, b := failed(t, false)
			mustCreate(t, b, "ann")
			if err := b.Delete(t.Context(), gateway, "ann", false); err != nil {
				t.Fatal(err)
			}
			told(t, a, "once it is deleted", playground.StateNone, "")
		})
	})
}

// The pod that was there before and is let be may come back by itself.
func TestAFailureIsForgottenWhenTheOldPodComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.CreateTimeout = time.Hour })
		mustCreate(t, m, "ann")
		f.becomes("ann", playground.Starting)
		if _, err := m.Create(t.Context(), gateway, "ann"); code(err) != playground.CannotStart {
			t.Fatalf("got %v, want cannot_start", err)
		}
		f.becomes("ann", playground.Starting)
		told(t, m, "while the cluster tells the same", playground.StateFailed, "the database was not ready after 15m0s")
		f.becomes("ann", playground.Ready)
		told(t, m, "once its pod is ready", playground.StateReady, "")
		f.becomes("ann", playground.Released)
		told(t, m, "once it is released", playground.StateNone, "")
	})
}

// strictCluster is a lateCluster that makes no pod.
type strictCluster struct{ *lateCluster }

func (strictCluster) Start(context.Context, playground.User) error {
	return playground.Errorf(playground.CannotStart, "admission webhook denied the request")
}

// What the watch tells late of the try that failed is no news.
func TestAFailureIsNotForgottenForOldNews(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := strictCluster{&lateCluster{fakeCluster: newFakeCluster()}}
		m := run(t, "a", l, &fakeProber{}, nil)
		l.hold()
		_, err := m.Create(t.Context(), gateway, "ann")
		var refused *playground.Error
		if !errors.As(err, &refused) || refused.Code != playground.CannotStart {
			t.Fatalf("got %v, want cannot_start", err)
		}
		told(t, m, "after it failed", playground.StateFailed, refused.Message)
		news := 0
		for ; l.next(); news++ {
			told(t, m, "after old news", playground.StateFailed, refused.Message)
		}
		if news < 2 {
			t.Errorf("there were %d old news, want the record that came and went", news)
		}
		if err := l.fakeCluster.Claim(t.Context(), "ann", "", time.Now()); err != nil {
			t.Fatal(err)
		}
		told(t, m, "after a new record", playground.StateCreating, "")
	})
}

// slowStop is a fakeCluster as a replica sees it whose kubectl takes long to say that the
// pod was deleted.
type slowStop struct{ *fakeCluster }

func (s slowStop) Stop(ctx context.Context, db playground.Database) error {
	defer time.Sleep(5 * time.Second)
	return s.fakeCluster.Stop(ctx, db)
}

// The other replica may have tried again before the one that failed has cleaned up.
func TestAFailureIsForgottenForATryThatWasFaster(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		f.wasReleased(t, "ann")
		f.refuse = "exceeded quota: pods"
		a, b := run(t, "a", slowStop{f}, &fakeProber{}, nil), run(t, "b", f, &fakeProber{}, nil)
		got := make(chan error)
		go func() { _, err := a.Create(t.Context(), gateway, "ann"); got <- err }()
		time.Sleep(f.startTime + time.Second)
		f.set(func() { f.refuse, f.startTime = "", 10*time.Second })
		go b.Create(t.Context(), gateway, "ann")
		if err := <-got; code(err) != playground.CannotStart {
			t.Fatalf("got %v, want cannot_start", err)
		}
		told(t, a, "while it comes up at the other replica", playground.StateCreating, "starting")
		time.Sleep(10 * time.Second)
	})
}
