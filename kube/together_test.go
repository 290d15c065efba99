package kube_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

// counted counts the runs of kubectl by verb.
type counted struct {
	mu   sync.Mutex
	runs map[string]int
}

func (b *bed) count() *counted {
	n := &counted{runs: make(map[string]int)}
	b.options.Observe = func(verb, _ string, _ time.Duration) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.runs[verb]++
	}
	return n
}

func (n *counted) copy() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.runs)
}

func (n *counted) creates() int { return n.copy()["create"] }

// late has the next kubectls that create read only when the test says so.
func late(b *bed, times int) {
	plant(b, fakekubectl.Fault{Match: "^create", Late: true, Times: times})
}

// queued waits until so many wait for a run.
func queued(b *bed, c *kube.Cluster, number int) {
	b.t.Helper()
	b.fake.Eventually(fmt.Sprint(number, " wait"), func() bool { return c.Waiting() == number })
}

func TestKubectlIsAskedFirstAndItsInputMadeWhenItReads(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	late(b, 1)
	asked := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		out, err := runner(b).RunLate(t.Context(), func() []byte { close(asked); return []byte(aPod) }, "create", "--filename=-", "--output=name")
		if string(out) != "pod/p\n" || err != nil {
			t.Errorf("got %q, %v", out, err)
		}
	})
	goOn := b.fake.Held()
	select {
	case <-asked:
		t.Error("it was asked for its input before kubectl read")
	default:
	}
	goOn()
	all.Wait()
	<-asked
}

func TestInputIsNotMadeForAKubectlThatDoesNotRead(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	plant(b, fakekubectl.Fault{Match: "^create", Late: true, Do: "fail unread", Stderr: "no"})
	plant(b, fakekubectl.Fault{Match: "^create", Late: true, Times: 1})
	never := func() []byte { t.Error("it was made"); return nil }
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := runner(b).RunLate(t.Context(), never, "create", "--filename=-"); kube.ReasonOf(err) == "" {
			t.Errorf("got %v", err)
		}
	})
	b.fake.Held()()
	all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	all.Go(func() {
		if _, err := runner(b).RunLate(ctx, never, "create", "--filename=-"); kube.ReasonOf(err) != kube.Canceled {
			t.Errorf("got %v", err)
		}
	})
	goOn := b.fake.Held()
	cancel()
	all.Wait()
	goOn()
	missing := runner(b, func(o *kube.RunnerOptions) { o.Path = "/nowhere/kubectl" })
	if _, err := missing.RunLate(t.Context(), never, "create", "--filename=-"); kube.ReasonOf(err) != kube.Missing {
		t.Errorf("got %v", err)
	}
}

// Each step happens without anybody else having come.
func TestALoneCreateWaitsForNobody(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	n := b.count()
	c := b.cluster()
	late(b, 2)
	var all sync.WaitGroup
	all.Go(func() {
		if err := create(t.Context(), c, "ada"); err != nil {
			t.Error(err)
		}
	})
	b.fake.Held()() // kubectl runs, and gets its input as soon as it reads
	b.fake.Held()()
	all.Wait()
	if n.creates() != 2 || len(b.fake.Names("pods")) != 1 {
		t.Errorf("%d runs, pods %v", n.creates(), b.fake.Names("pods"))
	}
}

func create(ctx context.Context, c *kube.Cluster, user playground.User) error {
	if err := c.Claim(ctx, user, "", at); err != nil {
		return fmt.Errorf("claim %v: %w", user, err)
	}
	if err := c.Start(ctx, user); err != nil {
		return fmt.Errorf("start %v: %w", user, err)
	}
	return nil
}

func TestEightAtOnceTakeTwoRuns(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]func(*kube.Options){
		"plain": nil, "with storage": {withStorage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			n := b.count()
			c := b.cluster(change...)
			present := c.Present()
			w := b.watch(c)
			w.until("the first list", func() bool { return w.synced > 0 })
			late(b, 2)
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					if err := create(t.Context(), c, playground.User(fmt.Sprint("user", i))); err != nil {
						t.Error(err)
					}
				})
			}
			for range 2 {
				goOn := b.fake.Held()
				b.fake.Eventually("all are there", func() bool { return present() == 8 })
				goOn()
			}
			all.Wait()
			if pods := b.fake.Names("pods"); n.creates() != 2 || len(pods) != 8 || len(b.fake.Names("services")) != 8 {
				t.Errorf("%d runs, pods %v", n.creates(), pods)
			}
		})
	}
}

// claims are claims that are under way, one after the other, and their answers.
type claims struct {
	b       *bed
	c       *kube.Cluster
	all     sync.WaitGroup
	answers map[playground.User]chan error
}

// claimTogether begins a claim and, once its kubectl runs, those of the others.
func claimTogether(b *bed, c *kube.Cluster, users ...playground.User) (_ *claims, goOn func()) {
	b.t.Helper()
	together := &claims{b: b, c: c, answers: make(map[playground.User]chan error)}
	for i, user := range users {
		together.add(b.t.Context(), user)
		if i == 0 {
			goOn = b.fake.Held()
		} else {
			queued(b, c, i)
		}
	}
	return together, goOn
}

func (all *claims) add(ctx context.Context, user playground.User) {
	answer := make(chan error, 1)
	all.answers[user] = answer
	all.all.Go(func() { answer <- all.c.Claim(ctx, user, "", at) })
}

func TestEachGetsTheAnswerThatIsHis(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	n := b.count()
	c := b.cluster()
	must(t, b.cluster().Claim(t.Context(), "bob", "", at))
	before := n.creates()
	late(b, 1)
	together, goOn := claimTogether(b, c, "ada", "bob", "eve")
	goOn()
	must(t, <-together.answers["ada"])
	mustBe(t, <-together.answers["bob"], playground.ErrExists)
	must(t, <-together.answers["eve"])
	if runs := n.creates() - before; runs != 1 {
		t.Errorf("%d runs", runs)
	}
}

func TestWhoWentAlongWithARunThatFailedIsTold(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	n := b.count()
	c := b.cluster()
	plant(b, fakekubectl.Fault{Match: "^create", Late: true, Do: "fail", Stderr: "error: You must be logged in to the server (Unauthorized)"})
	together, goOn := claimTogether(b, c, "ada", "bob")
	goOn()
	for _, user := range []playground.User{"ada", "bob"} {
		mustSay(t, <-together.answers[user], playground.Unavailable, "cannot be reached")
	}
	if n.creates() != 1 {
		t.Errorf("%d runs", n.creates())
	}
}

func TestWhoWentAlongIsTriedAgainToo(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	n := b.count()
	c := b.cluster()
	plant(b, fakekubectl.Fault{Match: "^create", Late: true, Do: "fail", Stderr: `Error from server (TooManyRequests): error when creating "STDIN": the server is currently unable to handle the request`})
	together, goOn := claimTogether(b, c, "ada", "bob")
	goOn()
	must(t, <-together.answers["ada"])
	must(t, <-together.answers["bob"])
	if n.creates() != 2 || len(b.fake.Names("leases")) != 2 {
		t.Errorf("%d runs, %v", n.creates(), b.fake.Names("leases"))
	}
}

func TestARunThatEndsUnreadTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	n := b.count()
	c := b.cluster()
	plant(b, fakekubectl.Fault{Match: "^create", Late: true, Do: "fail unread", Stderr: "error: You must be logged in to the server (Unauthorized)"})
	together, goOn := claimTogether(b, c, "ada", "bob", "eve")
	goOn()
	mustSay(t, <-together.answers["ada"], playground.Unavailable, "cannot be reached")
	must(t, <-together.answers["bob"])
	must(t, <-together.answers["eve"])
	if n.creates() != 2 || len(b.fake.Names("leases")) != 2 {
		t.Errorf("%d runs, %v", n.creates(), b.fake.Names("leases"))
	}
}

func TestWhoLeavesUntilKubectlReadsIsNotMade(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	late(b, 1)
	together, goOn := claimTogether(b, c, "ada", "bob")
	ctx, cancel := context.WithCancel(t.Context())
	together.add(ctx, "eve")
	queued(b, c, 2)
	cancel()
	mustBe(t, <-together.answers["eve"], context.Canceled)
	goOn()
	must(t, <-together.answers["ada"])
	must(t, <-together.answers["bob"])
	want := []string{playground.User("ada").Name(), playground.User("bob").Name()}
	if there := b.fake.Names("leases"); !slices.Equal(there, want) {
		t.Errorf("there are %v, want %v", there, want)
	}
}

// Whose start takes more than making objects does not go along with a run that was begun
// for another, who came earlier or later.
func TestAStartThatNeedsMoreWaitsForTheNextRun(t *testing.T) {
	t.Parallel()
	const eve = playground.User("eve")
	for _, test := range []struct {
		name    string
		options func(*kube.Options)
		prepare func(*testing.T, *bed, *kube.Cluster, *watched)
		want    error
		runs    map[string]int // ada and bob take one create
	}{
		{"no record", func(*kube.Options) {}, func(*testing.T, *bed, *kube.Cluster, *watched) {},
			playground.ErrNoRecord, map[string]int{"create": 1, "patch": 1}},
		{"a mark", func(*kube.Options) {}, func(t *testing.T, _ *bed, c *kube.Cluster, w *watched) {
			must(t, c.Claim(t.Context(), eve, "", at))
			must(t, c.Mark(t.Context(), w.agrees(c, eve), at))
			w.agrees(c, eve)
		}, nil, map[string]int{"create": 2, "patch": 1}},
		{"a volume that is leaving", withStorage, func(t *testing.T, b *bed, c *kube.Cluster, w *watched) {
			must(t, create(t.Context(), c, eve))
			b.fake.Put(`{"kind": "PersistentVolumeClaim", "metadata": {"name": "` + eve.Name() + `", "deletionTimestamp": "2026-01-01T00:00:00Z"}}`)
			b.fake.Eventually("it is known", func() bool { return c.VolumeLeaves(eve) })
		}, playground.ErrLeaving, map[string]int{"create": 1}},
		{"a spare", withPool, func(t *testing.T, b *bed, c *kube.Cluster, w *watched) {
			b.stock(c, w, 1)
			must(t, c.Claim(t.Context(), eve, "", at))
		}, nil, map[string]int{"create": 1, "apply": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			n := b.count()
			c := b.cluster(test.options)
			w := b.watch(c)
			w.until("the first list", func() bool { return w.synced > 0 })
			test.prepare(t, b, c, w)
			must(t, c.Claim(t.Context(), "ada", "", at))
			must(t, c.Claim(t.Context(), "bob", "", at))
			before := n.copy()
			late(b, 1)
			answers := make(map[playground.User]chan error)
			start := func(user playground.User) {
				answer := make(chan error, 1)
				answers[user] = answer
				go func() { answer <- c.Start(t.Context(), user) }()
			}
			start("ada")
			goOn := b.fake.Held()
			start(eve)
			queued(b, c, 1)
			start("bob")
			queued(b, c, 2)
			goOn()
			must(t, <-answers["ada"])
			must(t, <-answers["bob"])
			if err := <-answers[eve]; !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			after := n.copy()
			for verb, want := range test.runs {
				if runs := after[verb] - before[verb]; runs != want {
					t.Errorf("%d runs of %s, want %d", runs, verb, want)
				}
			}
		})
	}
}

// A class whose addresses are given up in one moment does not keep a new user waiting.
func TestManyAreRemovedTogether(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
	n := b.count()
	c := b.cluster()
	const many = 30
	users := make([]playground.User, many)
	var all sync.WaitGroup
	for i := range users {
		users[i] = playground.User(fmt.Sprint("user", i))
		all.Go(func() {
			if err := create(t.Context(), c, users[i]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// What cannot be deleted of one is no fault of the others.
	plant(b, fakekubectl.Fault{Match: "^delete", Do: "fail after", Times: many, Stderr: fmt.Sprintf(
		"Error from server (InternalError): pods %q could not be deleted", users[7].Name())})
	for i, user := range users {
		all.Go(func() {
			if err := c.Remove(t.Context(), user, i%2 == 0); (err != nil) != (i == 7) {
				t.Errorf("%v: %v", user, err)
			}
		})
	}
	all.Wait()
	if runs := n.copy()["delete"]; runs > 4 {
		t.Errorf("%d runs", runs)
	}
	b.fake.Eventually("nothing is left", func() bool {
		return len(b.fake.Names("leases"))+len(b.fake.Names("pods"))+len(b.fake.Names("services")) == 0
	})
}
