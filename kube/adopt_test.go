package kube_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

// original is the pod that the Python server makes for a user, as that server wrote it.
func original(user string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"sqlflow-mysql-%s"},"spec":{"schedulerName":"nobody","containers":[{"name":"mysql",
		"image":"sqlflow/sqlflow:mysql","imagePullPolicy":"IfNotPresent","ports":[{"containerPort":3306,"protocol":"TCP"}],
		"env":[{"name":"MYSQL_HOST","value":"0.0.0.0"},{"name":"MYSQL_PORT","value":"3306"}],
		"readinessProbe":{"exec":{"command":["cat","/work/mysql-inited"]},"initialDelaySeconds":1,"periodSeconds":1}}]}}`, user)
}

func TestPodsOfTheOldServerAreAdopted(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		c := b.cluster()
		b.put(original("old"))
		b.put(original("older"))
		b.ready("old")
		foreign := map[string]string{
			"a label":         strings.Replace(original("f1"), `"metadata":{`, `"metadata":{"labels":{"app":"x"},`, 1),
			"an owner":        strings.Replace(original("f2"), `"metadata":{`, `"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"0a5cf973-760b-4d33-8e4b-e9b8c5ffb19c"}],`, 1),
			"another image":   strings.Replace(original("f3"), "sqlflow/sqlflow:mysql", "mysql:8", 1),
			"another env":     strings.Replace(original("f4"), "0.0.0.0", "127.0.0.1", 1),
			"two containers":  strings.Replace(original("f5"), `"containers":[`, `"containers":[{"name":"x","image":"x"},`, 1),
			"a hashed name":   original("x--aaaaaaaaaaaaaaaa"),
			"a dotted suffix": original("a.b"),
		}
		for _, pod := range foreign {
			if b.fake != nil && strings.Contains(pod, "a.b") {
				continue // the fake has no names with dots
			}
			b.put(pod)
		}
		users, err := c.Adopt(t.Context())
		must(t, err)
		slices.Sort(users)
		if !slices.Equal(users, []playground.User{"old", "older"}) {
			t.Errorf("adopted %v", users)
		}
		w := b.watch(c)
		db := w.is("old", playground.Ready)
		if db.Record.UID == "" || db.Address == "" {
			t.Errorf("adopted: %+v", db)
		}
		w.is("older", playground.Starting)
		if len(w.all) != 2 {
			t.Errorf("there is %+v", w.all)
		}
		users, err = c.Adopt(t.Context())
		must(t, err)
		if len(users) != 0 {
			t.Errorf("adopted %v a second time", users)
		}
	})
}

// What Kubernetes refuses of one pod keeps no server from running.
func TestAPodThatCannotBeAdoptedIsLeftForLater(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	for i := range 20 {
		b.put(original(fmt.Sprint("old", i)))
	}
	plant(b, fakekubectl.Fault{Match: "^patch", Do: "fail", Stderr: `Error from server (Forbidden): leases.coordination.k8s.io "x" is forbidden: not on Mondays`})
	c := b.cluster()
	for i, want := range []int{19, 1, 0} {
		users, err := c.Adopt(t.Context())
		if err != nil || len(users) != want {
			t.Errorf("try %d: %d are adopted, %v; want %d", i, len(users), err, want)
		}
	}
	b.put(original("last"))
	plant(b, fakekubectl.Fault{Match: "^patch", Do: "fail", Stderr: "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"})
	if users, err := c.Adopt(t.Context()); playground.AsError(err).Code != playground.Unavailable {
		t.Errorf("without a cluster: %v, %v", users, err)
	}
}

// The old server still runs, and makes a pod for a user who has a database from the pool.
func TestWhoHasADatabaseFromThePoolKeepsIt(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		c := b.cluster(withPool)
		w := b.watch(c)
		spare := b.stock(c, w, 1)[0]
		must(t, create(t.Context(), c, "bob"))
		w.is("bob", playground.Ready)
		must(t, c.Claim(t.Context(), "eve", "", at)) // and nothing more
		b.patch("coordination.k8s.io/v1", "Lease", playground.User("eve").Name(), `{"metadata":{"annotations":{"sqlflow.org/service":"`+spare+`"}}}`)
		b.put(original("bob"))
		b.put(original("eve"))

		users, err := b.cluster(withPool).Adopt(t.Context())
		must(t, err)
		if !slices.Equal(users, []playground.User{"eve"}) {
			t.Errorf("adopted %v", users)
		}
		if place := b.place("bob"); place != spare {
			t.Errorf("the record says that bob's database is at %q, it is at %s", place, spare)
		}
		meta := b.object("pods", playground.User("bob").Name())["metadata"].(map[string]any)
		if meta["labels"] != nil || meta["ownerReferences"] != nil {
			t.Errorf("the pod of the old server was changed: %v", meta)
		}
		if db := w.agrees(c, "bob"); db.Phase != playground.Ready || db.Place != spare {
			t.Errorf("bob has %+v", db)
		}
		w.until("eve's pod is adopted", func() bool {
			return w.all["eve"].Place == playground.User("eve").Name() && w.all["eve"].Phase == playground.Starting
		})
	})
}

func TestStartAdoptsAPodOfTheOldServer(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		c := b.cluster()
		b.put(original("ada"))
		must(t, c.Claim(t.Context(), "ada", "", at))
		must(t, c.Start(t.Context(), "ada"))
		w := b.watch(c)
		db := w.is("ada", playground.Starting)
		if db.Record.UID == "" || db.Address == "" {
			t.Errorf("adopted: %+v", db)
		}
	})
}

func TestForeignObjectsAreLeftAlone(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		c := b.cluster()
		b.put(strings.Replace(original("ada"), "0.0.0.0", "1.2.3.4", 1))
		b.put(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"sqlflow-mysql-bob"},"spec":{"ports":[{"port":80}]}}`)
		for user, what := range map[playground.User]string{"ada": "a pod named sqlflow-mysql-ada", "bob": "a service named sqlflow-mysql-bob"} {
			must(t, c.Claim(t.Context(), user, "", at))
			mustSay(t, c.Start(t.Context(), user), playground.CannotStart, what+" that is not the playground's is in the way")
			must(t, c.Remove(t.Context(), user, false))
		}
		if b.fake != nil {
			b.finish("bob") // its pod, which was deleted
		}
		if b.object("pods", "sqlflow-mysql-ada") == nil || b.object("services", "sqlflow-mysql-bob") == nil {
			t.Error("what is foreign was deleted")
		}
		if b.object("pods", "sqlflow-mysql-bob") != nil {
			t.Error("the pod made beside the foreign service was left")
		}
	})
}

func TestWhatAnEarlierRecordLeftIsNotTaken(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		c := b.cluster()
		w := b.watch(c)
		must(t, c.Claim(t.Context(), "ada", "", at))
		must(t, c.Start(t.Context(), "ada"))
		b.ready("ada")
		old := w.is("ada", playground.Ready)
		// Somebody deletes the record alone, and the user comes back before Kubernetes'
		// garbage collector has deleted the rest.
		b.kubectl("delete", "leases.coordination.k8s.io", "--selector="+kube.DatabaseSelector(playground.User("ada").Name()), "--wait=false")
		w.until("no record", func() bool { return w.all["ada"].Record == playground.Version{} })
		must(t, c.Claim(t.Context(), "ada", "", at))
		if b.fake != nil { // a real collector may be faster than the watch
			w.is("ada", playground.Leaving)
		}
		for range 20 {
			err := c.Start(t.Context(), "ada")
			if err == nil {
				break
			}
			mustBe(t, err, playground.ErrLeaving)
			if b.fake != nil && b.object("pods", old.User.Name()) != nil {
				b.finish("ada")
			}
		}
		b.ready("ada")
		if db := w.is("ada", playground.Ready); db.Pod.UID == old.Pod.UID || db.Record.UID == old.Record.UID {
			t.Errorf("it is still %+v", db)
		}
	})
}

func TestStartWhileThePodIsLeaving(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	must(t, c.Claim(t.Context(), "ada", "", at))
	must(t, c.Start(t.Context(), "ada"))
	b.fake.Delete("pods", playground.User("ada").Name())
	mustBe(t, c.Start(t.Context(), "ada"), playground.ErrLeaving)
	b.finish("ada")
	must(t, c.Start(t.Context(), "ada"))
}
