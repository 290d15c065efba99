package playground_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

var gateway = playground.Client{Name: "dsw", Power: playground.Gateway}

// bench is one Manager on a cluster, inside a synctest bubble.
type bench struct {
	*playground.Manager
	stop func()
}

func quiet() logrus.FieldLogger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}

// run starts a Manager named name and stops it at the end of the test.
func run(t *testing.T, name string, f playground.Cluster, p *fakeProber, change func(*playground.Options)) bench {
	t.Helper()
	return runLogged(t, name, f, p, quiet(), change)
}

func runLogged(t *testing.T, name string, f playground.Cluster, p *fakeProber, log logrus.FieldLogger, change func(*playground.Options)) bench {
	t.Helper()
	o := playground.DefaultOptions()
	o.Grace = 0
	if change != nil {
		change(&o)
	}
	m, err := playground.NewManager(f, p, o, log, playground.Silent{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), replica{}, name))
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	var once sync.Once
	b := bench{m, func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}}
	t.Cleanup(b.stop)
	synctest.Wait()
	return b
}

// inBubble runs test with virtual time.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Parallel()
	synctest.Test(t, test)
}

func code(err error) playground.Code {
	if err == nil {
		return ""
	}
	return playground.AsError(err).Code
}

func mustCreate(t *testing.T, m bench, user playground.User) playground.Status {
	t.Helper()
	s, err := m.Create(t.Context(), gateway, user)
	if err != nil {
		t.Fatalf("Create(%v): %v", user, err)
	}
	return s
}

func TestCreateAnswersWithTheDataSourceOnceTheDatabaseAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f, p := newFakeCluster(), &fakeProber{ping: errors.New("connection refused")}
		m := run(t, "a", f, p, nil)
		time.AfterFunc(5*time.Second, func() { p.set(func() { p.ping = nil }) })
		begun := time.Now()
		s := mustCreate(t, m, "ann")
		if want := playground.DataSource(f.get("ann").Address); s.DataSource != want || s.State != playground.StateReady {
			t.Errorf("status %+v, want ready with %s", s, want)
		}
		if took := time.Since(begun); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("answered after %v, though the database answered after 5s", took)
		}
		begun = time.Now()
		mustCreate(t, m, "ann")
		if took := time.Since(begun); took != 0 {
			t.Errorf("the second call took %v; it should be answered from memory", took)
		}
	})
}

func TestCallsForOneUserJoinOneCreation(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, nil)
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				if _, err := m.Create(t.Context(), gateway, "ann"); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if f.started("ann") != 1 {
			t.Errorf("%d pods were started, want 1", f.started("ann"))
		}
	})
}

func TestCreateGivesUpWaitingButTheCreationGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		f.startTime = 30 * time.Second
		m := run(t, "a", f, &fakeProber{}, nil)
		begun := time.Now()
		_, err := m.Create(t.Context(), gateway, "ann")
		e := playground.AsError(err)
		if e.Code != playground.StillCreating || e.RetryAfter <= 0 {
			t.Fatalf("got %v, want still_creating with a time to retry after", err)
		}
		if took := time.Since(begun); took != 17*time.Second {
			t.Errorf("answered after %v, want 17s", took)
		}
		mustCreate(t, m, "ann")
		if f.started("ann") != 1 {
			t.Errorf("%d pods were started, want 1: the second call should have joined", f.started("ann"))
		}
	})
}

func TestADatabaseThatCannotStartIsToldAndLeavesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		f.refuse = `Failed to pull image "nope": not found`
		m := run(t, "a", f, &fakeProber{}, nil)
		_, err := m.Create(t.Context(), gateway, "ann")
		if code(err) != playground.CannotStart || !strings.Contains(err.Error(), "not found") {
			t.Fatalf("got %v, want cannot_start in the cluster's words", err)
		}
		if db := f.get("ann"); db.Phase != playground.None {
			t.Errorf("left behind: %+v", db)
		}
		if s := m.Database("ann"); s.State != playground.StateFailed || s.Reason != f.refuse {
			t.Errorf("status %+v, want failed with the reason", s)
		}
		f.set(func() { f.refuse = "" })
		mustCreate(t, m, "ann")
		if s := m.Database("ann"); s.State != playground.StateReady {
			t.Errorf("status %+v, want ready", s)
		}
	})
}

func TestAnUnreachableClusterIsToldAtOnceAndOthersAreStillServed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, nil)
		mustCreate(t, m, "ann")
		f.set(func() { f.down = true })
		m.Stale(errors.New("connection refused"))
		if _, err := m.Create(t.Context(), gateway, "bob"); code(err) != playground.Unavailable {
			t.Errorf("a new user got %v, want cluster_unavailable", err)
		}
		if _, err := m.Create(t.Context(), gateway, "ann"); err != nil {
			t.Errorf("a user whose database answers got %v", err)
		}
		if _, err := m.Beat(gateway, "ann"); err != nil {
			t.Errorf("heart beat: %v", err)
		}
	})
}

func TestFollowTellsHowACreationGoes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, nil)
		var states []playground.State
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				s, news := m.Follow("ann")
				if n := len(states); n == 0 || states[n-1] != s.State {
					states = append(states, s.State)
				}
				if s.State == playground.StateReady {
					return
				}
				<-news
			}
		}()
		synctest.Wait()
		mustCreate(t, m, "ann")
		<-ended
		want := []playground.State{playground.StateNone, playground.StateCreating, playground.StateReady}
		if !slices.Equal(states, want) {
			t.Errorf("states %v, want %v", states, want)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("max_databases", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.MaxDatabases = 1 })
			mustCreate(t, m, "ann")
			_, err := m.Create(t.Context(), gateway, "bob")
			if e := playground.AsError(err); e.Code != playground.Full || e.RetryAfter <= 0 {
				t.Errorf("got %v, want too_many_databases with a time to retry after", err)
			}
			mustCreate(t, m, "ann")
			if err := m.Delete(t.Context(), gateway, "ann", false); err != nil {
				t.Fatal(err)
			}
			mustCreate(t, m, "bob")
		})
	})
	t.Run("maintenance", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			first := run(t, "a", f, &fakeProber{}, nil)
			mustCreate(t, first, "ann")
			m := run(t, "b", f, &fakeProber{}, func(o *playground.Options) { o.Maintenance = true })
			mustCreate(t, m, "ann")
			if _, err := m.Create(t.Context(), gateway, "bob"); code(err) != playground.Maintenance {
				t.Errorf("got %v, want maintenance", err)
			}
		})
	})
	t.Run("max_creates queue in order", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.MaxCreates = 1 })
			var mu sync.Mutex
			var served []string
			var group sync.WaitGroup
			for i := range 5 {
				user := playground.User(fmt.Sprint("u", i))
				group.Go(func() {
					mustCreate(t, m, user)
					mu.Lock()
					defer mu.Unlock()
					served = append(served, string(user))
				})
				synctest.Wait()
				if got := m.Database(user).Ahead; got != i {
					t.Errorf("%v has %d ahead, want %d", user, got, i)
				}
			}
			group.Wait()
			if got := strings.Join(served, " "); got != "u0 u1 u2 u3 u4" {
				t.Errorf("served in the order %s", got)
			}
		})
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	t.Run("of none is no error", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			m := run(t, "a", newFakeCluster(), &fakeProber{}, nil)
			if err := m.Delete(t.Context(), gateway, "ann", false); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("interrupts a creation", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			f.hold = true
			m := run(t, "a", f, &fakeProber{}, nil)
			got := make(chan error)
			go func() { _, err := m.Create(t.Context(), gateway, "ann"); got <- err }()
			synctest.Wait()
			if err := m.Delete(t.Context(), gateway, "ann", false); err != nil {
				t.Error(err)
			}
			if err := <-got; code(err) != playground.Interrupted {
				t.Errorf("the creation ended with %v, want interrupted", err)
			}
			if db := f.get("ann"); db.Phase != playground.None {
				t.Errorf("left behind: %+v", db)
			}
		})
	})
	t.Run("a beat afterwards creates nothing", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			m := run(t, "a", f, &fakeProber{}, nil)
			mustCreate(t, m, "ann")
			if err := m.Delete(t.Context(), gateway, "ann", false); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Beat(gateway, "ann"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			if db := f.get("ann"); db.Phase != playground.None {
				t.Errorf("a heart beat made %+v", db)
			}
		})
	})
}

func TestHealing(t *testing.T) {
	t.Parallel()
	t.Run("a vanished pod is made anew at once, at its address", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			m := run(t, "a", f, &fakeProber{}, nil)
			before := mustCreate(t, m, "ann")
			f.vanish("ann", "")
			synctest.Wait()
			if s := m.Database("ann"); s.State != playground.StateCreating {
				t.Errorf("state %s right after the pod vanished, want creating", s.State)
			}
			if after := mustCreate(t, m, "ann"); after.DataSource != before.DataSource {
				t.Errorf("moved from %s to %s", before.DataSource, after.DataSource)
			}
			if f.started("ann") != 2 {
				t.Errorf("%d starts, want 2", f.started("ann"))
			}
		})
	})
	t.Run("a service that somebody deleted is made anew", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			m := run(t, "a", f, &fakeProber{}, nil)
			mustCreate(t, m, "ann")
			f.loseService("ann")
			time.Sleep(time.Minute)
			if s := m.Database("ann"); s.State != playground.StateReady || s.DataSource == "" {
				t.Errorf("status %+v, want ready with an address", s)
			}
		})
	})
	t.Run("what a killed server left half-made is finished by the next", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			if err := f.Claim(t.Context(), "ann", "", time.Now()); err != nil {
				t.Fatal(err)
			}
			m := run(t, "b", f, &fakeProber{}, nil)
			time.Sleep(3 * time.Minute)
			if s := m.Database("ann"); s.State != playground.StateReady {
				t.Errorf("state %s, want ready", s.State)
			}
		})
	})
	t.Run("what cannot be healed is tried ever more rarely", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			m := run(t, "a", f, &fakeProber{}, nil)
			mustCreate(t, m, "ann")
			f.set(func() { f.refuse = "crash loop" })
			f.vanish("ann", "")
			time.Sleep(2 * time.Hour)
			if n := f.started("ann"); n < 5 || n > 25 {
				t.Errorf("%d starts in two hours, want a handful", n)
			}
			if s := m.Database("ann"); s.State != playground.StateFailed || s.Reason != "crash loop" {
				t.Errorf("status %+v, want failed with the reason", s)
			}
		})
	})
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	t.Run("writes the last heart beats and leaves the databases", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			m := run(t, "a", f, &fakeProber{}, nil)
			mustCreate(t, m, "ann")
			time.Sleep(30 * time.Second)
			at := time.Now()
			if _, err := m.Beat(gateway, "ann"); err != nil {
				t.Fatal(err)
			}
			m.stop()
			if db := f.get("ann"); !db.LastUse.Equal(at) || db.Phase != playground.Ready {
				t.Errorf("left %+v, want a ready database last used at %v", db, at)
			}
		})
	})
	t.Run("is bounded", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			f := newFakeCluster()
			f.hold = true
			m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.CreateTimeout = time.Hour })
			got := make(chan error)
			go func() { _, err := m.Create(t.Context(), gateway, "ann"); got <- err }()
			synctest.Wait()
			begun := time.Now()
			go m.stop()
			if err := <-got; code(err) != playground.Interrupted {
				t.Errorf("the creation ended with %v, want interrupted", err)
			}
			if took := time.Since(begun); took > 25*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	})
}

func TestTwoManagersNeverMakeTwoDatabasesForOneUser(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		a, b := run(t, "a", f, &fakeProber{}, nil), run(t, "b", f, &fakeProber{}, nil)
		var group sync.WaitGroup
		sources := make([]string, 20)
		for i := range sources {
			m := []bench{a, b}[i%2]
			group.Go(func() { sources[i] = mustCreate(t, m, "ann").DataSource })
		}
		group.Wait()
		for _, s := range sources {
			if s != sources[0] {
				t.Errorf("two data sources: %s and %s", sources[0], s)
			}
		}
		if f.started("ann") != 1 {
			t.Errorf("%d pods, want 1", f.started("ann"))
		}
	})
}

// A network that swallows packets is only told from a slow database by waiting.
func TestAPodIsTakenOnTrustWhereTheNetworkSwallowsPackets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{ping: playground.ErrUnreachable, pingTakes: 2 * time.Second}, nil)
		mustCreate(t, m, "ann")
		if w := m.Warnings(); len(w) != 1 {
			t.Errorf("warnings %q, want one that says databases cannot be reached", w)
		}
	})
}

func TestAPodIsTakenOnTrustWhereTheNetworkLeadsNowhere(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f, p := newFakeCluster(), &fakeProber{ping: playground.ErrUnreachable}
		m := run(t, "a", f, p, nil)
		mustCreate(t, m, "ann")
		if w := m.Warnings(); len(w) != 1 {
			t.Errorf("warnings %q, want one that says databases cannot be reached", w)
		}
		p.set(func() { p.ping = nil })
		mustCreate(t, m, "bob")
		if w := m.Warnings(); len(w) != 0 {
			t.Errorf("warnings %q after an address answered", w)
		}
	})
}
