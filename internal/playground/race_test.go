package playground_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// slowCluster is a fakeCluster as one replica sees it over a network and a kubectl:
// writes arrive later than they were sent, and news come later than they happened.
type slowCluster struct {
	*fakeCluster
	mu     sync.Mutex // guards random
	random *rand.Rand
	most   time.Duration
	news   chan func() // in order
}

func (s *slowCluster) lag() {
	s.mu.Lock()
	pause := time.Duration(s.random.Int64N(int64(s.most)))
	s.mu.Unlock()
	time.Sleep(pause)
}

func (s *slowCluster) Claim(ctx context.Context, user playground.User, client string, at time.Time) error {
	s.lag()
	defer s.lag()
	return s.fakeCluster.Claim(ctx, user, client, at)
}

func (s *slowCluster) Reclaim(ctx context.Context, user playground.User) error {
	s.lag()
	return s.fakeCluster.Reclaim(ctx, user)
}

func (s *slowCluster) Remove(ctx context.Context, user playground.User, purge bool) error {
	s.lag()
	defer s.lag()
	return s.fakeCluster.Remove(ctx, user, purge)
}

func (s *slowCluster) Touch(ctx context.Context, at time.Time, users []playground.User) error {
	s.lag()
	return s.fakeCluster.Touch(ctx, at, users)
}

func (s *slowCluster) Mark(ctx context.Context, db playground.Database, at time.Time) error {
	s.lag()
	return s.fakeCluster.Mark(ctx, db, at)
}

func (s *slowCluster) Release(ctx context.Context, db playground.Database, at time.Time) error {
	s.lag()
	return s.fakeCluster.Release(ctx, db, at)
}

func (s *slowCluster) Watch(ctx context.Context, o playground.Observer) error {
	told := make(chan struct{})
	go func() {
		defer close(told)
		for tell := range s.news {
			s.lag()
			tell()
		}
	}()
	defer func() { close(s.news); <-told }()
	return s.fakeCluster.Watch(ctx, &lateObserver{o, s.news})
}

// lateCluster is a fakeCluster as a replica sees it whose watch stands still when a test
// says so.
type lateCluster struct {
	*fakeCluster
	startTakes time.Duration

	mu       sync.Mutex
	held     bool
	observer playground.Observer
	news     []func()
}

func (l *lateCluster) Start(ctx context.Context, user playground.User) error {
	time.Sleep(l.startTakes)
	return l.fakeCluster.Start(ctx, user)
}

func (l *lateCluster) Watch(ctx context.Context, o playground.Observer) error {
	l.observer = o
	return l.fakeCluster.Watch(ctx, &standing{o, l})
}

func (l *lateCluster) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// next tells what has been held back longest; false if that was all.
func (l *lateCluster) next() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.news) == 0 {
		l.held = false
		return false
	}
	l.news[0]()
	l.news = l.news[1:]
	return true
}

// relist tells of all that is there at once, in no order, and goes on from there.
func (l *lateCluster) relist(random *rand.Rand) {
	l.set(func() {
		var all []playground.Database
		for _, r := range l.records {
			all = append(all, *r)
		}
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		l.mu.Lock()
		defer l.mu.Unlock()
		l.observer.Changed(all...)
		l.held, l.news = false, nil
	})
}

type standing struct {
	playground.Observer
	cluster *lateCluster
}

func (s *standing) Changed(all ...playground.Database) {
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	if s.cluster.held {
		s.cluster.news = append(s.cluster.news, func() { s.Observer.Changed(all...) })
		return
	}
	s.Observer.Changed(all...)
}

type lateObserver struct {
	playground.Observer
	news chan func()
}

func (l *lateObserver) Changed(all ...playground.Database) {
	l.news <- func() { l.Observer.Changed(all...) }
}

// slowReplicas are n Managers that run on f until the test ends.
func slowReplicas(t *testing.T, f *fakeCluster, seed uint64, n int, change func(*playground.Options)) []*playground.Manager {
	t.Helper()
	replicas := make([]*playground.Manager, n)
	for i := range replicas {
		o := playground.DefaultOptions()
		o.Grace = 0
		change(&o)
		c := &slowCluster{fakeCluster: f, random: rand.New(rand.NewPCG(seed, uint64(i+2))), most: 3 * time.Second, news: make(chan func(), 1000)}
		m, err := playground.NewManager(c, &fakeProber{}, o, quiet(), playground.Silent{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), replica{}, string(rune('a'+i))))
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		synctest.Wait()
		replicas[i] = m
	}
	return replicas
}

// A heart beat at one replica races the other's reaper, a thousand times at moments
// that chance chooses. Whoever wins: once the dust has settled the database is there,
// and it took no second beat.
func TestABeatThatRacesTheReaperNeverLosesTheDatabase(t *testing.T) {
	t.Parallel()
	const races, settled = 1000, time.Minute
	lost, kept := 0, 0
	for seed := range uint64(races) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			f := newFakeCluster()
			replicas := slowReplicas(t, f, seed, 2, func(o *playground.Options) {
				o.IdleTimeout, o.MaxIdle, o.FlushInterval = 2*time.Minute, time.Hour, 5*time.Second
			})
			if _, err := replicas[0].Create(t.Context(), gateway, "ann"); err != nil {
				t.Fatal(err)
			}
			pod := f.get("ann").Pod
			for f.get("ann").Marked.IsZero() {
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(time.Duration(random.Int64N(int64(15 * time.Second))))
			if _, err := replicas[random.IntN(2)].Beat(gateway, "ann"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(settled)
			switch db := f.get("ann"); {
			case db.Phase != playground.Ready:
				lost++
			case db.Pod == pod:
				kept++
			}
		})
	}
	if lost > 0 {
		t.Errorf("%d of %d databases were lost", lost, races)
	}
	if kept == 0 || kept == races {
		t.Errorf("the beat won %d of %d races, which is no race", kept, races)
	}
	t.Logf("%d races: %d kept their pod, %d came back with a new one, %d were lost", races, kept, races-kept-lost, lost)
}

// The replica that answers a beat may hear of the release long after it happened, on a
// busy machine later than a short time-out: the beat counts all the same.
func TestABeatCountsHoweverLateTheReleaseIsHeardOf(t *testing.T) {
	for name, beats := range map[string]func(beat, release func()){
		"the beat is first":    func(beat, release func()) { beat(); time.Sleep(time.Second); release() },
		"the release is first": func(beat, release func()) { release(); time.Sleep(time.Second); beat() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				const idle = 10 * time.Second
				f := newFakeCluster()
				l := &lateCluster{fakeCluster: f}
				m := run(t, "a", l, &fakeProber{}, func(o *playground.Options) { o.IdleTimeout, o.FlushInterval = idle, time.Hour })
				mustCreate(t, m, "ann")
				time.Sleep(idle)
				l.hold()
				beats(func() {
					if _, err := m.Beat(gateway, "ann"); err != nil {
						t.Error(err)
					}
				}, func() { // another replica's reaper, before the beat is written
					if err := f.Release(t.Context(), f.get("ann"), time.Now()); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(5 * idle)
				for l.next() {
				}
				time.Sleep(idle)
				if db := f.get("ann"); db.Phase != playground.Ready {
					t.Errorf("a beat was answered hello, and the database is %q", db.Phase)
				}
			})
		})
	}
}
