package playground_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// errDenied is what a Prober says of a MySQL that lets nobody in.
var errDenied = fmt.Errorf("%w: Error 1045 (28000): Access denied for user 'root'", playground.ErrRefused)

// poorCluster is a fakeCluster that makes nothing more once a test says so.
type poorCluster struct {
	*fakeCluster
	quota error
}

func (c *poorCluster) Start(ctx context.Context, user playground.User) (err error) {
	c.set(func() { err = c.quota })
	if err != nil {
		return err
	}
	return c.fakeCluster.Start(ctx, user)
}

// A server that begins, or another replica, knows nothing of a database that is in use but
// that its pod is ready. Whatever it sees of it, the data in it is the user's.
func TestAReadyPodThatWasThereIsNeverTakenAway(t *testing.T) {
	t.Parallel()
	pings := func(err error) func(*poorCluster, *fakeProber) {
		return func(_ *poorCluster, p *fakeProber) { p.set(func() { p.ping = err }) }
	}
	for _, c := range []struct {
		name  string
		fault func(*poorCluster, *fakeProber)
		code  playground.Code // of create_db meanwhile
	}{
		{"its user changed the password", pings(errDenied), ""},
		{"connections break", pings(errors.New("connection reset by peer")), playground.StillCreating},
		{"the network leads nowhere, though it led elsewhere", pings(playground.ErrUnreachable), playground.StillCreating},
		{"its service is lost and cannot be made", func(c *poorCluster, _ *fakeProber) {
			c.set(func() { c.quota = playground.Errorf(playground.CannotStart, "exceeded quota: services") })
			c.loseService("ann")
		}, playground.CannotStart},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f, p := &poorCluster{fakeCluster: newFakeCluster()}, &fakeProber{}
				first := run(t, "a", f, p, nil)
				mustCreate(t, first, "ann")
				first.stop()
				pod := f.get("ann").Pod.UID
				m := run(t, "b", f, p, nil)
				mustCreate(t, m, "bob")
				c.fault(f, p)
				begun := time.Now()
				s, err := m.Create(t.Context(), gateway, "ann")
				if code(err) != c.code {
					t.Errorf("create_db: %v, want %q", err, c.code)
				}
				if took := time.Since(begun); err == nil && (took > 0 || s.DataSource == "") {
					t.Errorf("answered after %v with %+v, want the data source at once", took, s)
				}
				time.Sleep(16 * time.Minute)
				if db := f.get("ann"); db.Pod.UID != pod || db.Phase != playground.Ready {
					t.Fatalf("its pod was %s, and now there is %+v", pod, db)
				}
				p.set(func() { p.ping = nil })
				f.set(func() { f.quota = nil })
				time.Sleep(11 * time.Minute)
				if s := mustCreate(t, m, "ann"); s.DataSource == "" || f.get("ann").Pod.UID != pod {
					t.Errorf("%+v with the pod %s, want ready with %s", s, f.get("ann").Pod.UID, pod)
				}
			})
		})
	}
}

// A pod that hangs before its container runs holds no data. A server that begins does not
// keep it for ever because it was there.
func TestAPodThatHangsIsReplacedByTheNextServerToo(t *testing.T) {
	t.Parallel()
	for stage, stays := range map[playground.Stage]bool{playground.Pulling: false, "": false, playground.Started: true} {
		t.Run(string(stage), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				f.hold = true
				first := run(t, "a", f, &fakeProber{}, nil)
				if _, err := first.Create(t.Context(), gateway, "ann"); code(err) != playground.StillCreating {
					t.Errorf("got %v, want still_creating", err)
				}
				first.stop()
				f.set(func() { f.records["ann"].Stage = stage })
				pod := f.get("ann").Pod.UID
				m := run(t, "b", f, &fakeProber{}, nil)
				if _, err := m.Create(t.Context(), gateway, "ann"); code(err) != playground.StillCreating {
					t.Errorf("got %v, want still_creating", err)
				}
				time.Sleep(16 * time.Minute)
				if now := f.get("ann").Pod.UID; (now == pod) != stays {
					t.Errorf("the pod was %s and is %s", pod, now)
				}
			})
		})
	}
}

// A new pod that refuses root has an image that nobody can work with.
func TestANewPodThatRefusesRootIsToldAndTakenAway(t *testing.T) {
	t.Parallel()
	for name, released := range map[string]bool{"a new user": false, "a released database": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				if released {
					f.wasReleased(t, "ann")
				}
				m := run(t, "a", f, &fakeProber{ping: errDenied}, func(o *playground.Options) { o.CreateTimeout = time.Hour })
				if _, err := m.Create(t.Context(), gateway, "ann"); code(err) != playground.CannotStart {
					t.Errorf("got %v, want cannot_start", err)
				}
				if db := f.get("ann"); db.Pod.UID != "" || (db.Phase != playground.None) != released {
					t.Errorf("left behind: %+v", db)
				}
			})
		})
	}
}

// A replica that hears late of another's pod did not make it.
func TestAPodThatAnotherReplicaMadeIsNotTakenAway(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		late := &lateCluster{fakeCluster: f}
		a, b := run(t, "a", f, &fakeProber{}, nil), run(t, "b", late, &fakeProber{ping: errors.New("connection reset by peer")}, nil)
		late.hold()
		mustCreate(t, a, "ann")
		pod := f.get("ann").Pod.UID
		got := make(chan error)
		go func() { _, err := b.Create(t.Context(), gateway, "ann"); got <- err }() // claims in vain
		synctest.Wait()
		late.relist(rand.New(rand.NewPCG(1, 1)))
		if err := <-got; code(err) != playground.StillCreating {
			t.Errorf("got %v, want still_creating", err)
		}
		time.Sleep(16 * time.Minute)
		if db := f.get("ann"); db.Pod.UID != pod {
			t.Errorf("the pod was %s, and now there is %+v", pod, db)
		}
	})
}
