package playground_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// becomes has the cluster say that user's pod, the same as before, is in phase.
func (f *fakeCluster) becomes(user playground.User, phase playground.Phase) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records[user].Phase = phase
	f.change(user)
}

// A node that dies takes many databases with it, and Kubernetes does not let go of their
// pods before it is back. Their users wait for that, and nobody else does.
func TestWhoWaitsForAnOldPodIsInNobodysWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		phase playground.Phase // what the cluster says of the pod on the dead node
		back  func(*poolCluster)
		pods  int // that were made for ann in the end
	}{
		{"it is not ready and comes back", playground.Starting, func(p *poolCluster) { p.becomes("ann", playground.Ready) }, 1},
		{"it is not ready and goes", playground.Starting, func(p *poolCluster) { p.vanish("ann", "") }, 2},
		{"it is leaving and goes", playground.Leaving, func(p *poolCluster) { p.vanish("ann", "") }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPoolCluster()
				m := run(t, "a", p, &fakeProber{}, func(o *playground.Options) { o.MaxCreates, o.Pool = 1, 1 })
				mustCreate(t, m, "ann")
				time.Sleep(time.Minute)
				p.becomes("ann", c.phase)
				p.set(func() { p.spares = playground.Spares{} }) // it was on that node too
				_, err := m.Create(t.Context(), gateway, "ann")
				if e := playground.AsError(err); e.Code != playground.StillCreating || e.Ahead != 0 {
					t.Fatalf("ann got %v with %d ahead, want still_creating with none", err, e.Ahead)
				}
				begun := time.Now()
				mustCreate(t, m, "bob")
				if took := time.Since(begun); took > p.startTime {
					t.Errorf("bob waited %v, want %v", took, p.startTime)
				}
				time.Sleep(2 * time.Minute)
				if got := m.Pool(); got.Ready != 1 {
					t.Errorf("the pool is %+v while ann waits, want it full", got)
				}
				c.back(p)
				mustCreate(t, m, "ann")
				if n := p.started("ann"); n != c.pods {
					t.Errorf("%d pods were made for ann, want %d", n, c.pods)
				}
			})
		})
	}
}

// When the old pod has gone, its user lines up like everybody else.
func TestWhoWaitedForAnOldPodTakesATurnBeforeTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.MaxCreates, o.CreateTimeout = 1, time.Second })
		create := func(user playground.User) { _, _ = m.Create(t.Context(), gateway, user) } // it goes on
		create("ann")
		time.Sleep(time.Minute)
		f.becomes("ann", playground.Leaving)
		create("ann")
		f.set(func() { f.hold = true })
		create("bob")
		create("cid")
		f.vanish("ann", "")
		synctest.Wait()
		create("dan")
		for user, want := range map[playground.User]int{"bob": 0, "cid": 1, "ann": 2, "dan": 3} {
			if s := m.Database(user); s.Ahead != want || s.State != playground.StateCreating {
				t.Errorf("%v is %s with %d ahead, want creating with %d", user, s.State, s.Ahead, want)
			}
		}
		f.set(func() { f.hold = false })
		if err := m.Delete(t.Context(), gateway, "bob", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for _, user := range []playground.User{"cid", "ann", "dan"} {
			if s := m.Database(user); s.State != playground.StateReady {
				t.Errorf("%v is %s, want ready", user, s.State)
			}
		}
		if want := []playground.User{"ann", "bob", "cid", "ann", "dan"}; !slices.Equal(f.begun, want) {
			t.Errorf("pods were made in the order %v, want %v", f.begun, want)
		}
	})
}

// Who gives up while waiting, in line or not, leaves everybody else their turn.
func TestWhoGivesUpWaitingTakesNobodysTurn(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"for an old pod": false, "for a turn after it": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.MaxCreates, o.CreateTimeout = 1, time.Minute })
				mustCreate(t, m, "ann")
				f.becomes("ann", playground.Leaving)
				got := make(chan error)
				go func() { _, err := m.Create(t.Context(), gateway, "ann"); got <- err }()
				synctest.Wait()
				served := make(chan error)
				go func() { _, err := m.Create(t.Context(), gateway, "bob"); served <- err }()
				synctest.Wait()
				if gone {
					f.vanish("ann", "")
					synctest.Wait()
				}
				if err := m.Delete(t.Context(), gateway, "ann", false); err != nil {
					t.Fatal(err)
				}
				if err := <-got; code(err) != playground.Interrupted {
					t.Errorf("ann got %v, want interrupted", err)
				}
				if err := <-served; err != nil {
					t.Errorf("bob got %v", err)
				}
				for _, user := range []playground.User{"cid", "dan"} { // one turn, not two and not none
					go m.Create(t.Context(), gateway, user)
					synctest.Wait()
				}
				if c, d := m.Database("cid").Ahead, m.Database("dan").Ahead; c != 0 || d != 1 {
					t.Errorf("cid has %d ahead and dan %d, want 0 and 1", c, d)
				}
			})
		})
	}
}
