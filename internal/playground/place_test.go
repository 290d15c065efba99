package playground_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Replicas that hear of each other late race for the last places, at moments that chance
// chooses: the places go to those whose claims the cluster took first.
func TestReplicasThatRaceForTheLastPlacesGiveThemToTheFirst(t *testing.T) {
	t.Parallel()
	const limit, users, races = 3, 10, 200
	over := 0
	for seed := range uint64(races) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			f := newFakeCluster()
			replicas := slowReplicas(t, f, seed, 3, func(o *playground.Options) { o.MaxDatabases, o.CreateTimeout = limit, time.Minute })
			var mu sync.Mutex
			var served []playground.User
			var all sync.WaitGroup
			for i := range users {
				user, m, at := playground.User(fmt.Sprint("u", i)), replicas[random.IntN(len(replicas))], time.Duration(random.Int64N(int64(time.Second)))
				all.Go(func() {
					time.Sleep(at)
					_, err := m.Create(t.Context(), gateway, user)
					switch e := playground.AsError(err); {
					case err == nil:
						mu.Lock()
						defer mu.Unlock()
						served = append(served, user)
					case e.Code != playground.Full || e.RetryAfter < 30*time.Second:
						t.Errorf("%v got %v, want too_many_databases with a time to retry after", user, err)
					}
				})
			}
			all.Wait()
			time.Sleep(5 * time.Minute)
			f.set(func() {
				if f.mostPods > limit || len(f.records) != limit {
					t.Errorf("there were %d at once and %d are left, the limit is %d", f.mostPods, len(f.records), limit)
				}
				first := slices.Sorted(slices.Values(f.claims[:limit]))
				if slices.Sort(served); !slices.Equal(served, first) {
					t.Errorf("%v were served; the claims were %v", served, f.claims)
				}
				over += len(f.claims) - limit
			})
		})
	}
	if over == 0 {
		t.Error("nobody ever claimed in vain, which is no race")
	}
}

// Who is sent away and asks again gets a place in the end, however many want one.
func TestNobodyIsStarvedByTheOthers(t *testing.T) {
	t.Parallel()
	const limit, users = 2, 12
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			replicas := slowReplicas(t, f, seed, 2, func(o *playground.Options) { o.MaxDatabases = limit })
			begun := time.Now()
			var all sync.WaitGroup
			for i := range users {
				user, own := playground.User(fmt.Sprint("u", i)), rand.New(rand.NewPCG(seed, uint64(10+i)))
				all.Go(func() {
					for {
						m := replicas[own.IntN(len(replicas))]
						_, err := m.Create(t.Context(), gateway, user)
						if err == nil {
							time.Sleep(time.Minute)
							if err := m.Delete(t.Context(), gateway, user, false); err != nil {
								t.Error(err)
							}
							return
						}
						if time.Since(begun) > 3*time.Hour {
							t.Errorf("%v still waits: %v", user, err)
							return
						}
						time.Sleep(playground.AsError(err).RetryAfter)
					}
				})
			}
			all.Wait()
			f.set(func() {
				if f.mostPods != limit || len(f.records) != 0 {
					t.Errorf("there were %d at once, the limit is %d; left are %v", f.mostPods, limit, f.records)
				}
			})
		})
	}
}

// Heart beats and creations bring released databases back at two replicas at once.
func TestReplicasThatRaceToBringBackKeepTheLimit(t *testing.T) {
	t.Parallel()
	const limit, users, races = 2, 6, 100
	back := 0
	for seed := range uint64(races) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			f := newFakeCluster()
			replicas := slowReplicas(t, f, seed, 2, func(o *playground.Options) { o.MaxDatabases = limit })
			for i := range users {
				f.wasReleased(t, playground.User(fmt.Sprint("u", i)))
			}
			time.Sleep(time.Minute)
			var all sync.WaitGroup
			for i := range users {
				user, m, at := playground.User(fmt.Sprint("u", i)), replicas[random.IntN(2)], time.Duration(random.Int64N(int64(2*time.Second)))
				all.Go(func() {
					time.Sleep(at)
					if i%2 == 0 {
						if _, err := m.Beat(gateway, string(user)); err != nil {
							t.Error(err)
						}
					} else if _, err := m.Create(t.Context(), gateway, user); err != nil && code(err) != playground.Full {
						t.Error(err)
					}
				})
			}
			all.Wait()
			time.Sleep(5 * time.Minute)
			f.set(func() {
				ready, released := 0, 0
				for _, db := range f.records {
					switch db.Phase {
					case playground.Ready:
						ready++
					case playground.Released:
						released++
					}
				}
				if f.mostPods > limit || ready != limit || released != users-limit {
					t.Errorf("there were %d at once, the limit is %d; %d are ready, %d released", f.mostPods, limit, ready, released)
				}
				back += len(f.begun)
			})
		})
	}
	if back == 0 {
		t.Error("nothing came back")
	}
}

// After a watch that broke a replica hears of all at once and in no order.
func TestAReplicaThatMissedTheOrderGivesNoPlaceTwice(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			f := newFakeCluster()
			limit := func(o *playground.Options) { o.MaxDatabases = 1 }
			late := &lateCluster{fakeCluster: f, startTakes: 5 * time.Second}
			a, b := run(t, "a", late, &fakeProber{}, limit), run(t, "b", &lateCluster{fakeCluster: f, startTakes: 5 * time.Second}, &fakeProber{}, limit)
			late.hold()
			var all sync.WaitGroup
			ask := func(m bench, user playground.User, want playground.Code) {
				all.Go(func() {
					if _, err := m.Create(t.Context(), gateway, user); code(err) != want {
						t.Errorf("%v got %v, want %q", user, err, want)
					}
				})
				synctest.Wait()
			}
			ask(b, "bob", "")
			ask(a, "ann", playground.Full)
			late.relist(rand.New(rand.NewPCG(seed, 1)))
			all.Wait()
			if f.mostPods != 1 {
				t.Errorf("there were %d pods", f.mostPods)
			}
		})
	}
}

// A replica that hears late of a record that is gone does not take that for news of the
// next record of the same user.
func TestLateNewsOfAnEarlierRecordGiveNoPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		limit := func(o *playground.Options) { o.MaxDatabases = 1 }
		late := &lateCluster{fakeCluster: f}
		a, b := run(t, "a", late, &fakeProber{}, limit), run(t, "b", f, &fakeProber{}, limit)
		mustCreate(t, a, "ann")
		late.hold()
		if err := f.Touch(t.Context(), time.Now(), []playground.User{"ann"}); err != nil {
			t.Fatal(err)
		}
		if err := a.Delete(t.Context(), gateway, "ann", false); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, b, "bob")
		got := make(chan error)
		go func() { _, err := a.Create(t.Context(), gateway, "ann"); got <- err }()
		synctest.Wait()
		for late.next() {
			synctest.Wait()
		}
		if err := <-got; code(err) != playground.Full {
			t.Errorf("ann got %v, want too_many_databases", err)
		}
		if f.mostPods != 1 || f.get("ann").Phase != playground.None {
			t.Errorf("there were %d pods; left of ann is %+v", f.mostPods, f.get("ann"))
		}
	})
}

// What a replica read itself does not say who was before it.
func TestALookAtTheClusterGivesNoPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		limit := func(o *playground.Options) { o.MaxDatabases = 1 }
		if err := f.Claim(t.Context(), "ann", "", time.Now()); err != nil {
			t.Fatal(err)
		}
		f.set(func() { f.records["ann"].Phase = playground.Leaving })
		late := &lateCluster{fakeCluster: f}
		a, b := run(t, "a", late, &fakeProber{}, limit), run(t, "b", f, &fakeProber{}, limit)
		late.hold()
		a.Stale(errors.New("the watch broke"))
		got := make(chan error)
		go func() { _, err := a.Create(t.Context(), gateway, "ann"); got <- err }()
		synctest.Wait()
		f.set(func() { f.records["ann"].Phase = playground.Released; f.change("ann") })
		mustCreate(t, b, "bob")
		if err := f.Reclaim(t.Context(), "ann"); err != nil { // a third replica's, after bob's
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		for late.next() {
			synctest.Wait()
		}
		if err := <-got; code(err) != playground.Full {
			t.Errorf("ann got %v, want too_many_databases", err)
		}
		if f.mostPods != 1 {
			t.Errorf("there were %d pods", f.mostPods)
		}
	})
}

func TestALimitPerGateway(t *testing.T) {
	limits := func(o *playground.Options) { o.MaxPerGateway, o.MaxDatabases = 2, 5 }
	east := playground.Client{Name: "east", Serial: "1", Power: playground.Gateway}
	renewed := playground.Client{Name: "east", Serial: "2", Power: playground.Gateway}
	old := playground.Client{Name: "west", Serial: "3", Power: playground.Unmarked}
	nameless := playground.Client{Serial: "4", Power: playground.Unmarked}
	own := func(user playground.User) playground.Client {
		return playground.Client{Name: string(user), Power: playground.OneUser, User: user}
	}
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		a := run(t, "a", f, &fakeProber{}, limits)
		step := func(m bench, c playground.Client, user playground.User, says string) {
			t.Helper()
			s, err := m.Create(t.Context(), c, user)
			switch e := playground.AsError(err); {
			case says == "" && err != nil:
				t.Errorf("%v for %q: %v", user, c.Name, err)
			case says != "" && (e.Code != playground.Full || !strings.Contains(e.Message, says) || e.RetryAfter <= 0):
				t.Errorf("%v for %q: %v, %v, want too_many_databases that speaks of %s", user, c.Name, s, err, says)
			}
		}
		step(a, east, "e1", "")
		step(a, east, "e2", "")
		step(a, east, "e3", `"east"`)
		step(a, renewed, "e3", `"east"`)
		step(a, east, "e1", "") // it is there
		step(a, old, "w1", "")
		step(a, old, "e2", "") // it is there, and stays the east's
		a.stop()

		b := run(t, "b", f, &fakeProber{}, limits)
		step(b, renewed, "e3", `"east"`)
		step(b, own("e3"), "e3", "")
		step(b, own("eve"), "eve", "")
		step(b, own("fay"), "fay", "5 databases of this playground")
		if err := b.Delete(t.Context(), own("eve"), "eve", false); err != nil {
			t.Fatal(err)
		}
		step(b, nameless, "n1", "")
		if err := b.Delete(t.Context(), east, "e1", false); err != nil {
			t.Fatal(err)
		}
		step(b, renewed, "e4", "")
		want := map[playground.User]string{"e2": "east", "e3": "", "e4": "east", "w1": "west", "n1": "serial 4"}
		got := map[playground.User]string{}
		for _, s := range b.Databases() {
			got[s.User] = s.Client
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("clients are %v, want %v", got, want)
		}
	})
}

func TestALimitThatIsLoweredTakesNobodysDatabase(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		a := run(t, "a", f, &fakeProber{}, nil)
		for _, user := range []playground.User{"ann", "bob", "cal"} {
			mustCreate(t, a, user)
		}
		a.stop()
		b := run(t, "b", f, &fakeProber{}, func(o *playground.Options) { o.MaxDatabases, o.MaxPerGateway = 1, 1 })
		for _, user := range []playground.User{"ann", "bob", "cal"} {
			mustCreate(t, b, user)
		}
		f.vanish("bob", "")
		mustCreate(t, b, "bob")
		if _, err := b.Create(t.Context(), gateway, "dan"); code(err) != playground.Full {
			t.Errorf("dan got %v, want too_many_databases", err)
		}
		if n := len(b.Databases()); n != 3 {
			t.Errorf("there are %d", n)
		}
	})
}

// A server that was killed between a claim and its decision leaves a record without a pod.
// It keeps its place in line: the first gets the first free place, and nobody two.
func TestWhatAKilledServerClaimedWaitsInLine(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		limits := func(o *playground.Options) { o.MaxDatabases = 1 }
		a := run(t, "a", f, &fakeProber{}, limits)
		b := run(t, "b", f, &fakeProber{}, limits)
		mustCreate(t, a, "ann")
		for _, user := range []playground.User{"zoe", "yan"} {
			if err := f.Claim(t.Context(), user, "", time.Now()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		for _, m := range []bench{a, b} {
			if _, err := m.Create(t.Context(), gateway, "yan"); code(err) != playground.Full {
				t.Errorf("yan got %v while ann is there and zoe before him", err)
			}
			m.stop()
		}
		time.Sleep(time.Minute)
		c := run(t, "c", f, &fakeProber{}, limits) // knows what is there, and in no order
		time.Sleep(10 * time.Minute)
		if f.started("zoe")+f.started("yan") > 0 {
			t.Error("they were brought up though there is no place")
		}
		for _, step := range []struct{ leaves, comes, waits playground.User }{{"ann", "zoe", "yan"}, {"zoe", "yan", ""}} {
			if err := c.Delete(t.Context(), gateway, step.leaves, false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			if f.get(step.comes).Phase != playground.Ready || step.waits != "" && f.started(step.waits) > 0 {
				t.Errorf("after %v left %v is %+v, and %v was started %d times", step.leaves, step.comes, f.get(step.comes), step.waits, f.started(step.waits))
			}
		}
		if f.mostPods != 1 {
			t.Errorf("there were %d at once", f.mostPods)
		}
	})
}

// A server that begins does not know who of two that another replica is about to decide on
// came first.
func TestAServerThatBeginsDoesNotGuessTheOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		for _, user := range []playground.User{"zoe", "yan"} {
			if err := f.Claim(t.Context(), user, "", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.MaxDatabases = 1 })
		for _, user := range []playground.User{"zoe", "yan"} {
			if _, err := m.Create(t.Context(), gateway, user); code(err) != playground.Full {
				t.Errorf("%v got %v, want too_many_databases", user, err)
			}
		}
		time.Sleep(5 * time.Minute)
		if f.get("yan").Phase != playground.Ready || f.mostPods != 1 {
			t.Errorf("nobody decided on them, and yan is %+v; there were %d pods", f.get("yan"), f.mostPods)
		}
	})
}

// A record that its replica is about to take back is left alone by the others.
func TestADoomedClaimIsNotHealed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		limits := func(o *playground.Options) { o.MaxDatabases = 1 }
		a, b := run(t, "a", f, &fakeProber{}, limits), run(t, "b", f, &fakeProber{}, limits)
		if err := f.Claim(t.Context(), "zoe", "", time.Now()); err != nil { // another replica's
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := a.Create(t.Context(), gateway, "ann"); code(err) != playground.Full {
			t.Errorf("ann got %v, want too_many_databases", err)
		}
		time.Sleep(20 * time.Second)
		if err := f.Remove(t.Context(), "zoe", false); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, b, "ann")
		if f.started("zoe") != 0 || f.mostPods != 1 {
			t.Errorf("zoe was started %d times, and there were %d pods", f.started("zoe"), f.mostPods)
		}
	})
}

// What another replica takes back from a release may be given back the next moment.
func TestADoomedReclaimIsNotHealed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.MaxDatabases = 1 })
		f.wasReleased(t, "zoe")
		time.Sleep(time.Hour)
		if err := f.Reclaim(t.Context(), "zoe"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if n := f.started("zoe"); n != 0 {
			t.Errorf("started %d times while another replica decides", n)
		}
		time.Sleep(5 * time.Minute)
		if f.get("zoe").Phase != playground.Ready {
			t.Errorf("nobody decided, and there is %+v", f.get("zoe"))
		}
	})
}

// Who comes first is served first, also when nobody gives the server time between them.
func TestFirstComeFirstServed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const users = 60
		f := newFakeCluster()
		var want []playground.User
		for i := range users {
			user := playground.User(fmt.Sprintf("u%02d", (i*37)%users))
			want = append(want, user)
			f.wasReleased(t, user)
		}
		m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { o.MaxCreates = 1 })
		for i, user := range want {
			if _, err := m.Beat(gateway, string(user)); err != nil { // brings it back, and does not wait
				t.Fatal(err)
			}
			if ahead := m.Database(user).Ahead; ahead != i {
				t.Errorf("%v has %d before it, want %d", user, ahead, i)
			}
		}
		time.Sleep(time.Hour)
		f.set(func() {
			if !slices.Equal(f.begun, want) {
				t.Errorf("served %v, want %v", f.begun, want)
			}
		})
	})
}
