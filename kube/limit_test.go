package kube_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

// answering is a Prober for databases that always answer and that nobody uses.
type answering struct{}

func (answering) Ping(context.Context, string) error { return nil }
func (answering) Activity(context.Context, string) (playground.Activity, error) {
	return playground.Activity{}, nil
}

// manager is one more server on the bed.
func (b *bed) manager(change func(*playground.Options)) *playground.Manager {
	b.t.Helper()
	o := playground.DefaultOptions()
	change(&o)
	log := logrus.New()
	log.SetOutput(io.Discard)
	m, err := playground.NewManager(b.cluster(func(o *kube.Options) { o.Log = log }), answering{}, o, log, playground.Silent{})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("Run ended with %v", err)
		}
	})
	return m
}

// order is an Observer that keeps in which order records and pods came, and how many pods
// there were at most at once.
type order struct {
	mu          sync.Mutex
	came, began []playground.User
	pods        map[playground.User]bool
	most        int
	synced      chan struct{}
	news        chan struct{}
}

func (o *order) Synced([]playground.Database) { close(o.synced) }
func (o *order) Stale(error)                  {}
func (o *order) Changed(all ...playground.Database) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, db := range all {
		if db.Record.UID != "" && !slices.Contains(o.came, db.User) {
			o.came = append(o.came, db.User)
		}
		if delete(o.pods, db.User); db.Pod.UID != "" {
			o.pods[db.User] = true
			if !slices.Contains(o.began, db.User) {
				o.began = append(o.began, db.User)
			}
		}
		o.most = max(o.most, len(o.pods))
	}
	select {
	case o.news <- struct{}{}:
	default:
	}
}

// until waits, at most 30 seconds, until so many pods are there; o.mu is held afterwards,
// until the test ends.
func (o *order) until(t *testing.T, pods int) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		o.mu.Lock()
		if len(o.pods) >= pods {
			t.Cleanup(o.mu.Unlock)
			return
		}
		o.mu.Unlock()
		select {
		case <-o.news:
		case <-late:
			t.Fatalf("there are never %d pods", pods)
		}
	}
}

// ordered watches the bed's databases come.
func (b *bed) ordered() *order {
	b.t.Helper()
	o := &order{pods: make(map[playground.User]bool), synced: make(chan struct{}), news: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	c := b.cluster()
	go func() { ended <- c.Watch(ctx, o) }()
	b.t.Cleanup(func() { cancel(); <-ended })
	<-o.synced
	return o
}

// Two servers race for the last places of one cluster: whose lease was there first has one.
func TestTwoServersNeverGiveMorePlacesThanThereAre(t *testing.T) {
	t.Parallel()
	const limit, users = 4, 12
	for name, each := range map[string]struct {
		limits func(*playground.Options)
		client func(i int) playground.Client
	}{
		"of all": {
			func(o *playground.Options) { o.MaxDatabases = limit },
			func(i int) playground.Client {
				return playground.Client{Power: playground.OneUser, User: playground.User(fmt.Sprint("u", i))}
			},
		},
		"of one gateway": {
			func(o *playground.Options) { o.MaxPerGateway = limit },
			func(int) playground.Client {
				return playground.Client{Name: "DSW: 雲 #1", Power: playground.Gateway}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
			seen := b.ordered()
			servers := []*playground.Manager{b.manager(each.limits), b.manager(each.limits)}
			for _, m := range servers { // both are up once both gave the first place to one user
				_, err := m.Create(t.Context(), each.client(0), "u0")
				must(t, err)
			}
			served := []playground.User{"u0"}
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := 1; i < users; i++ {
				all.Go(func() {
					user := playground.User(fmt.Sprint("u", i))
					_, err := servers[i%2].Create(t.Context(), each.client(i), user)
					switch e := playground.AsError(err); {
					case err == nil:
						mu.Lock()
						defer mu.Unlock()
						served = append(served, user)
					case e.Code != playground.Full || e.RetryAfter <= 0:
						t.Errorf("%v got %v, want too_many_databases", user, err)
					}
				})
			}
			all.Wait()
			seen.until(t, limit)
			if seen.most > limit {
				t.Errorf("there were %d pods at once, the limit is %d", seen.most, limit)
			}
			first := slices.Sorted(slices.Values(seen.came[:min(limit, len(seen.came))]))
			if slices.Sort(served); !slices.Equal(served, first) {
				t.Errorf("%v were served; the leases came in the order %v", served, seen.came)
			}
			t.Logf("%d asked for a place in the cluster, %d got one", len(seen.came), len(served))
		})
	}
}

// Two servers bring released databases back and keep the limit, and what found no place
// is released as before.
func TestTwoServersKeepTheLimitWhenTheyBringBack(t *testing.T) {
	t.Parallel()
	const limit, users = 3, 8
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
	for i := range users {
		user := playground.User(fmt.Sprint("u", i))
		b.fake.Put(lease(user.Name(), string(user), `,"sqlflow.org/released":"`+time.Now().UTC().Format(time.RFC3339)+`"`))
	}
	limits := func(o *playground.Options) { o.MaxDatabases = limit }
	seen := b.ordered()
	servers := []*playground.Manager{b.manager(limits), b.manager(limits)}
	for _, m := range servers {
		_, err := m.Create(t.Context(), playground.Client{Power: playground.Gateway}, "u0")
		must(t, err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	served := 1
	for i := 1; i < users; i++ {
		all.Go(func() {
			user := playground.User(fmt.Sprint("u", i))
			_, err := servers[i%2].Create(t.Context(), playground.Client{Power: playground.Gateway}, user)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				served++
			} else if playground.AsError(err).Code != playground.Full {
				t.Errorf("%v got %v, want too_many_databases", user, err)
			}
		})
	}
	all.Wait()
	seen.until(t, limit)
	if seen.most > limit || served != limit {
		t.Errorf("there were %d pods at once and %d were served, the limit is %d", seen.most, served, limit)
	}
	released := 0
	for i := range users {
		o := b.object("leases", playground.User(fmt.Sprint("u", i)).Name())
		notes := o["metadata"].(map[string]any)["annotations"].(map[string]any)
		if notes["sqlflow.org/released"] != nil {
			released++
		}
	}
	if released != users-limit {
		t.Errorf("%d are released, want %d", released, users-limit)
	}
}

// The queue and the batches of kubectl together serve in the order of arrival: nobody is
// overtaken by more than what runs at once.
func TestFirstComeFirstServedAcrossBatches(t *testing.T) {
	t.Parallel()
	const users, together = 24, 4
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
	var asked []playground.User
	for i := range users {
		user := playground.User(fmt.Sprintf("u%02d", i*7%users))
		asked = append(asked, user)
		b.fake.Put(lease(user.Name(), string(user), `,"sqlflow.org/released":"`+time.Now().UTC().Format(time.RFC3339)+`"`))
	}
	seen := b.ordered()
	m := b.manager(func(o *playground.Options) { o.MaxCreates = together })
	gateway := playground.Client{Power: playground.Gateway}
	_, err := m.Create(t.Context(), gateway, asked[0])
	must(t, err)
	for _, user := range asked[1:] { // a heart beat brings back and does not wait
		_, err := m.Beat(gateway, string(user))
		must(t, err)
	}
	seen.until(t, users)
	for i, user := range asked {
		overtaken := 0
		for _, later := range asked[i+1:] {
			if slices.Index(seen.began, later) < slices.Index(seen.began, user) {
				overtaken++
			}
		}
		if overtaken >= together {
			t.Errorf("%v was overtaken by %d: they were asked for in the order %v and began in the order %v", user, overtaken, asked, seen.began)
		}
	}
}

// gatherer is an Observer that keeps how many new users each call told of.
type gatherer struct {
	*watched
	calls chan int
}

func (g gatherer) Changed(all ...playground.Database) {
	g.watched.Changed(all...)
	if all[0].Phase == playground.Missing {
		g.calls <- len(all)
	}
}

// A list says nothing of the order in which its records came, so they are told at once.
func TestWhatAListBringsIsToldAtOnce(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	w := &watched{t: t, news: make(chan struct{}, 1), all: make(map[playground.User]playground.Database), past: make(map[playground.User][]playground.Phase)}
	g := gatherer{w, make(chan int, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Watch(ctx, g) }()
	t.Cleanup(func() { cancel(); <-ended })
	w.until("the first list", func() bool { return w.synced == 1 })
	must(t, c.Claim(t.Context(), "ada", "", at))
	if n := <-g.calls; n != 1 {
		t.Errorf("%d records were told by one call as they came, want 1", n)
	}

	b.fake.Down()
	w.until("stale", func() bool { return len(w.stale) == 1 })
	const missed = 5
	for i := range missed {
		user := playground.User(fmt.Sprint("u", i))
		b.fake.Put(lease(user.Name(), string(user), ""))
	}
	b.fake.Up()
	if n := <-g.calls; n != missed {
		t.Errorf("a list told of %d by its first call, want all %d", n, missed)
	}
}
