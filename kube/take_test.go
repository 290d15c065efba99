package kube_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

// A class is one kubectl, and the watch tells of each service while it still runs.
func TestWhatManyTakeAtOnceIsHandedOverAtOnce(t *testing.T) {
	t.Parallel()
	const users = 20
	b := onFake(t)
	var armed atomic.Bool
	applied, goOn := make(chan struct{}), make(chan struct{})
	b.options.Observe = func(verb, _ string, _ time.Duration) {
		if verb == "apply" && armed.CompareAndSwap(true, false) {
			close(applied)
			<-goOn
		}
	}
	c := b.cluster(withPool, withStorage)
	c.SweepEvery(time.Minute)
	w := b.watch(c)
	must(t, c.Claim(t.Context(), "first", "", at)) // there is no spare for it yet
	b.stock(c, w, users)
	owners := make(map[string]playground.User)
	for i := range users {
		user := playground.User(fmt.Sprintf("student-%d", i))
		must(t, c.Claim(t.Context(), user, "", at))
		owners[b.place(user)] = user
	}

	late(b, 1)
	var all sync.WaitGroup
	start := func(user playground.User) {
		all.Go(func() {
			if err := c.Start(t.Context(), user); err != nil {
				t.Errorf("start %v: %v", user, err)
			}
		})
	}
	start("first")
	busy := b.fake.Held()
	for _, user := range owners {
		start(user)
	}
	queued(b, c, users)
	armed.Store(true)
	busy()
	<-applied
	for _, user := range owners {
		w.is(user, playground.Ready)
	}
	close(goOn)
	all.Wait()
	b.allHandedOver(owners, "services", "pods", "persistentvolumeclaims")
	if left := c.Promised(); left != 0 {
		t.Errorf("%d spares are still promised", left)
	}
}

// Nobody's volume is dropped with the spares that are broken, and the data may be a user's.
func TestDataIsKeptThoughTheVolumeIsNotHandedOverYet(t *testing.T) {
	t.Parallel()
	b, user := onFake(t), playground.User("ann")
	c := b.cluster(withPool, withStorage)
	c.SweepEvery(time.Minute)
	w := b.watch(c)
	place := b.stock(c, w, 1)[0]
	must(t, c.Claim(t.Context(), user, "", at))
	plant(b, fakekubectl.Fault{Match: "^apply"}) // she takes it
	for range 2 {                                // it is to be handed over
		plant(b, fakekubectl.Fault{Match: "^apply", Do: "fail", Stderr: "Error from server (InternalError): no leader"})
	}
	must(t, c.Start(t.Context(), user))
	w.is(user, playground.Ready)
	b.fake.Eventually("it was not handed over", func() bool { return b.fake.Planted() == 1 })

	mustSay(t, c.Remove(t.Context(), user, false), playground.Unavailable, "cannot be reached")
	if b.object("leases", user.Name()) == nil {
		t.Fatal("the database is gone, and its volume is nobody's")
	}
	must(t, c.Remove(t.Context(), user, false))
	b.handedOver(place, user, "persistentvolumeclaims")
	if b.object("leases", user.Name()) != nil {
		t.Error("the record is left")
	}
}

func TestAPromiseThatIsNotKeptLapses(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	synctest.Test(t, func(t *testing.T) {
		c := b.cluster(withPool)
		for _, step := range []struct {
			after time.Duration
			user  playground.User
			may   bool // the spare can be promised
			left  int  // promises after the sweep
		}{
			{0, "ann", true, 1},
			{0, "bob", false, 1},
			{59 * time.Second, "bob", false, 1},
			{time.Second, "bob", true, 1},
			{59 * time.Second, "ann", false, 1},
			{time.Second, "", false, 0},
		} {
			time.Sleep(step.after)
			if step.user != "" && c.Promise("sqlflow-spare-aaaaaaaaaa", step.user) != step.may {
				t.Errorf("%v: promised to %v: %v", step.after, step.user, !step.may)
			}
			if c.Forget(); c.Promised() != step.left {
				t.Errorf("%v, %v: %d promises are left", step.after, step.user, c.Promised())
			}
		}
	})
}
