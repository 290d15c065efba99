package kube_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

// readTogether begins a look at the first user's database and, once its kubectl runs, at
// those of the others.
func readTogether(b *bed, c *kube.Cluster, users ...playground.User) (read map[playground.User]func() (playground.Database, error), goOn func()) {
	b.t.Helper()
	read = make(map[playground.User]func() (playground.Database, error))
	for i, user := range users {
		var db playground.Database
		var err error
		var done sync.WaitGroup
		done.Go(func() { db, err = c.Get(b.t.Context(), user) })
		read[user] = func() (playground.Database, error) { done.Wait(); return db, err }
		if i == 0 {
			goOn = b.fake.Held()
		} else {
			queued(b, c, i)
		}
	}
	return read, goOn
}

func TestManyAreReadTogether(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][]func(*kube.Options){
		"plain": nil, "with storage": {withStorage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			n := b.count()
			c := b.cluster(change...)
			w := b.watch(c)
			w.until("the first list", func() bool { return w.synced > 0 })
			users := []playground.User{"first"}
			for i := range 20 {
				users = append(users, playground.User(fmt.Sprint("user", i)))
			}
			for _, user := range users {
				must(t, create(t.Context(), c, user))
			}
			users = append(users, "nobody")
			before := n.copy()["get"]
			plant(b, fakekubectl.Fault{Match: "^get --filename", Late: true})
			read, goOn := readTogether(b, c, users...)
			goOn()
			for _, user := range users {
				db, err := read[user]()
				must(t, err)
				want := b.object("pods", user.Name())
				switch {
				case db.User != user:
					t.Errorf("%v is told of %v", user, db.User)
				case user == "nobody" && db != playground.Database{User: user}:
					t.Errorf("nobody has %+v", db)
				case user != "nobody" && db.Pod.UID != want["metadata"].(map[string]any)["uid"]:
					t.Errorf("%v is told of pod %s", user, db.Pod.UID)
				}
			}
			if runs := n.copy()["get"] - before - len(users); runs != 2 { // less the test's own look at each pod
				t.Errorf("%d runs", runs)
			}
		})
	}
}

func TestAFailedReadIsEverybodys(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	plant(b, fakekubectl.Fault{Match: "^get --filename", Late: true})
	plant(b, fakekubectl.Fault{Match: "^get --filename", Do: "fail", Stderr: "Unable to connect to the server: EOF"})
	read, goOn := readTogether(b, c, "ada", "bob", "eve")
	goOn()
	_, err := read["ada"]()
	must(t, err)
	for _, user := range []playground.User{"bob", "eve"} {
		_, err := read[user]()
		mustSay(t, err, playground.Unavailable, "cannot be reached")
	}
}

func TestWhoLeavesAReadDoesNotDisturbTheOthers(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	must(t, create(t.Context(), c, "bob"))
	plant(b, fakekubectl.Fault{Match: "^get --filename", Late: true})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := c.Get(ctx, "ada"); gone <- err }()
	goOn := b.fake.Held()
	var db playground.Database
	var err error
	var bob sync.WaitGroup
	bob.Go(func() { db, err = c.Get(t.Context(), "bob") })
	queued(b, c, 1)
	cancel()
	<-gone
	goOn()
	bob.Wait()
	must(t, err)
	if db.Pod.UID == "" {
		t.Errorf("bob is told of %+v", db)
	}
}
