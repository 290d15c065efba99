package playground_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// poolCluster is a cluster in memory with a pool: spares take startTime to come up, and
// Claim takes one if it can.
type poolCluster struct {
	*fakeCluster
	spares  playground.Spares
	changed chan struct{}
	refuses error
	breaks  bool // spares never come up
	stocked []time.Time
}

func newPoolCluster() *poolCluster {
	return &poolCluster{fakeCluster: newFakeCluster(), changed: make(chan struct{})}
}

// tell wakes those who watch the pool. p.mu is held.
func (p *poolCluster) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *poolCluster) Spares() (playground.Spares, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spares, p.changed
}

func (p *poolCluster) Restock(_ context.Context, want int, _ time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stocked = append(p.stocked, time.Now())
	if p.refuses != nil {
		return p.refuses
	}
	p.spares.Bad = 0
	p.spares.Ready = min(p.spares.Ready, want)
	if want == p.spares.Ready+p.spares.Coming {
		return nil
	}
	p.spares.Coming++
	p.tell()
	time.AfterFunc(p.startTime, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.spares.Coming--; p.breaks {
			p.spares.Bad++
		} else {
			p.spares.Ready++
		}
		p.tell()
	})
	return nil
}

func (p *poolCluster) Claim(ctx context.Context, user playground.User, client string, at time.Time) error {
	err := p.fakeCluster.Claim(ctx, user, client, at)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.spares.Ready > 0 {
		p.spares.Ready--
		p.tell()
	}
	return err
}

// calls counts the Restocks so far.
func (p *poolCluster) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.stocked)
}

func withPool(n int) func(*playground.Options) {
	return func(o *playground.Options) { o.Pool = n }
}

func TestThePoolIsFilledAndFilledAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPoolCluster()
		m := run(t, "a", p, &fakeProber{}, withPool(3))
		time.Sleep(10 * time.Second)
		if got := m.Pool(); got != (playground.PoolStatus{Want: 3, Spares: playground.Spares{Ready: 3}}) {
			t.Fatalf("the pool is %+v", got)
		}
		mustCreate(t, m, "ann")
		if got := m.Pool(); got.Ready != 2 {
			t.Errorf("after a claim the pool is %+v", got)
		}
		time.Sleep(10 * time.Second)
		if got := m.Pool(); got.Ready != 3 {
			t.Errorf("it was not filled again: %+v", got)
		}
		calls := p.calls()
		time.Sleep(10 * time.Minute)
		if more := p.calls() - calls; more > 11 { // one at each flush interval looks at the age
			t.Errorf("a full pool was restocked %d times in ten minutes", more)
		}
	})
}

func TestDatabasesThatSomebodyWaitsForComeFirst(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPoolCluster()
		p.set(func() { p.hold = true })
		m := run(t, "a", p, &fakeProber{}, func(o *playground.Options) { o.Pool, o.CreateTimeout = 2, time.Second })
		_, _ = m.Create(t.Context(), gateway, "ann") // it goes on coming up
		calls := p.calls()
		time.Sleep(5 * time.Minute)
		if more := p.calls() - calls; more > 0 {
			t.Errorf("%d spares were begun while ann waited", more)
		}
		if err := m.Delete(t.Context(), gateway, "ann", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := m.Pool(); got.Ready != 2 {
			t.Errorf("afterwards the pool is %+v", got)
		}
	})
}

func TestABrokenPoolIsNoHotLoop(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*poolCluster){
		"spares never come up":   func(p *poolCluster) { p.breaks = true },
		"the cluster refuses it": func(p *poolCluster) { p.refuses = errors.New("forbidden") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				p := newPoolCluster()
				breakIt(p)
				m := run(t, "a", p, &fakeProber{}, withPool(1))
				time.Sleep(time.Hour)
				if calls := p.calls(); calls < 5 || calls > 60 {
					t.Errorf("it was tried %d times in an hour", calls)
				}
				p.set(func() { p.breaks, p.refuses = false, nil })
				time.Sleep(25 * time.Minute)
				if got := m.Pool(); got.Ready != 1 {
					t.Errorf("mended, the pool is %+v", got)
				}
			})
		})
	}
}

func TestOnlyTheLeaderFillsThePool(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPoolCluster()
		p.set(func() { p.leader = "somebody else" })
		run(t, "a", p, &fakeProber{}, withPool(1))
		time.Sleep(10 * time.Minute)
		if calls := p.calls(); calls > 0 {
			t.Errorf("a replica that does not lead restocked %d times", calls)
		}
		p.set(func() { p.leader = "" })
		time.Sleep(2 * time.Minute)
		if p.calls() == 0 {
			t.Error("the new leader did not restock")
		}
	})
}

func TestNoPoolIsAskedForNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPoolCluster()
		m := run(t, "a", p, &fakeProber{}, func(o *playground.Options) { o.PoolMaxAge = 0 })
		time.Sleep(10 * time.Minute)
		if calls := p.calls(); calls > 0 || m.Pool() != (playground.PoolStatus{}) {
			t.Errorf("restocked %d times; the pool is %+v", calls, m.Pool())
		}
	})
}
