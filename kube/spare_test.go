package kube_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/templates"
)

const spareSelector = "sqlflow.org/pool=spare"

func mustLoad(t testing.TB, dir string) *templates.Set {
	t.Helper()
	set, err := templates.Load(dir)
	must(t, err)
	return set
}

func withPool(o *kube.Options)    { o.Pool = true }
func withStorage(o *kube.Options) { o.Storage = "1Gi" }

// spares waits until c counts the spares so.
func (w *watched) spares(c *kube.Cluster, want playground.Spares) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Second)
	defer cancel()
	for {
		got, changed := c.Spares()
		if got == want {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			w.t.Fatalf("there are %+v, want %+v", got, want)
		}
	}
}

// stock makes n spares that are ready, and returns their names.
func (b *bed) stock(c *kube.Cluster, w *watched, n int) []string {
	b.t.Helper()
	w.until("the first list", func() bool { return w.synced > 0 })
	ready := make(map[string]bool)
	for {
		must(b.t, c.Restock(b.t.Context(), n, 0))
		names := b.listed("pods", spareSelector)
		b.podsStatus(readyStatus, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return ready[name] })...)
		for _, name := range names {
			ready[name] = true
		}
		w.spares(c, playground.Spares{Ready: len(names)})
		if len(names) == n {
			return names
		}
	}
}

// place is where the user's record says that the database is.
func (b *bed) place(user playground.User) string {
	b.t.Helper()
	return note(b.object("leases", user.Name()), "sqlflow.org/service")
}

// note is an annotation of an object.
func note(o map[string]any, key string) string {
	meta, _ := o["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	value, _ := notes[key].(string)
	return value
}

// handedOver waits until everything at the place says whose it is.
func (b *bed) handedOver(place string, user playground.User, resources ...string) {
	b.t.Helper()
	b.allHandedOver(map[string]playground.User{place: user}, resources...)
}

// allHandedOver waits until everything at these places says whose it is.
func (b *bed) allHandedOver(owners map[string]playground.User, resources ...string) {
	b.t.Helper()
	late := time.Now().Add(15 * time.Second)
	for _, resource := range resources {
		for {
			left := b.notHandedOver(owners, resource)
			if left == "" {
				break
			}
			if time.Now().After(late) {
				b.t.Fatalf("some of the %s were never handed over: %s", resource, left)
			}
		}
	}
}

func (b *bed) notHandedOver(owners map[string]playground.User, resource string) (left string) {
	b.t.Helper()
	all := b.objects(resource)
	for place, user := range owners {
		o := all[place]
		meta, _ := o["metadata"].(map[string]any)
		labels, _ := meta["labels"].(map[string]any)
		_, owned := meta["ownerReferences"]
		if note(o, "sqlflow.org/user") != string(user) || labels["sqlflow.org/pool"] != "taken" || owned != (resource != "persistentvolumeclaims") {
			left += fmt.Sprintf("%v: %v\n", user, o)
		}
	}
	return left
}

func TestASpareIsTakenAndIsADatabaseLikeAnyOther(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx, user := t.Context(), playground.User("ann@example.org")
		c := b.cluster(withPool)
		w := b.watch(c)
		spares := b.stock(c, w, 2)
		if len(w.all) != 0 {
			t.Errorf("a spare is told as a database: %v", w.all)
		}

		must(t, c.Claim(ctx, user, "", at))
		must(t, c.Start(ctx, user))
		db := w.is(user, playground.Ready) // nobody made it ready now
		place := b.place(user)
		if db.Place != place || !strings.Contains(strings.Join(spares, " "), place) || !db.LastUse.Equal(at) {
			t.Errorf("the database is %+v, the spares were %v", db, spares)
		}
		w.spares(c, playground.Spares{Ready: 1})
		b.handedOver(place, user, "pods", "services")
		w.agrees(c, user)
		must(t, c.Start(ctx, user)) // joins

		other := b.cluster(withPool)
		seen := b.watch(other)
		if there := seen.is(user, playground.Ready); there.Address != db.Address {
			t.Errorf("another replica says %+v", there)
		}

		db = w.agrees(c, user)
		must(t, c.Release(ctx, db, at))
		b.finishPod(place)
		w.is(user, playground.Released)
		must(t, c.Start(ctx, user))
		b.podStatus(place, readyStatus)
		if back := w.is(user, playground.Ready); back.Address != db.Address || back.Place != place || back.Pod.UID == db.Pod.UID {
			t.Errorf("brought back: %+v, was %+v", back, db)
		}

		must(t, c.Remove(ctx, user, false))
		b.finishPod(place)
		w.is(user, playground.None)
		for _, resource := range []string{"pods", "services"} {
			if o := b.object(resource, place); o != nil && o["metadata"].(map[string]any)["deletionTimestamp"] == nil {
				t.Errorf("after Remove there is %v", o)
			}
		}
		w.spares(c, playground.Spares{Ready: 1})
	})
}

// A record may be taken back before anything was done for it: there was no place. The spare
// that it names stays for another, who may have it already.
func TestARecordThatIsTakenBackLeavesItsSpare(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx := t.Context()
		c, other := b.cluster(withPool), b.cluster(withPool)
		w, seen := b.watch(c), b.watch(other)
		spare := b.stock(c, w, 1)[0]
		seen.spares(other, playground.Spares{Ready: 1})

		claim := func(c *kube.Cluster, user playground.User) {
			t.Helper()
			must(t, c.Claim(ctx, user, "", at))
			if place := b.place(user); place != spare {
				t.Fatalf("%v was promised %s, want %s", user, place, spare)
			}
		}
		claim(c, "ann")
		must(t, c.Remove(ctx, "ann", false))
		w.spares(c, playground.Spares{Ready: 1})

		claim(c, "ann")
		claim(other, "bob")
		must(t, other.Start(ctx, "bob"))
		must(t, c.Remove(ctx, "ann", false))
		b.handedOver(spare, "bob", "pods", "services")
		db := seen.is("bob", playground.Ready)
		if got, err := other.Get(ctx, "bob"); err != nil || got.Phase != playground.Ready || got.Pod.UID != db.Pod.UID {
			t.Errorf("bob has %+v, %v", got, err)
		}
		if o := b.object("pods", spare); o == nil || o["metadata"].(map[string]any)["deletionTimestamp"] != nil {
			t.Errorf("the pod of bob is %v", o)
		}
	})
}

// Forty users of two replicas want thirty spares at the same moment.
func TestNobodySharesASpare(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		const users, spares = 40, 30
		ctx := t.Context()
		replicas := []*kube.Cluster{b.cluster(withPool), b.cluster(withPool)}
		watches := []*watched{b.watch(replicas[0]), b.watch(replicas[1])}
		b.stock(replicas[0], watches[0], spares)
		watches[1].spares(replicas[1], playground.Spares{Ready: spares})

		errs := make([]error, users)
		var all sync.WaitGroup
		for i := range users {
			all.Go(func() {
				user, c := playground.User(fmt.Sprintf("student-%d", i)), replicas[i%2]
				if errs[i] = c.Claim(ctx, user, "", at); errs[i] == nil {
					errs[i] = c.Start(ctx, user)
				}
			})
		}
		all.Wait()
		owners, fromPool := make(map[string]playground.User), make(map[string]playground.User)
		leases, services := b.objects("leases"), b.objects("services")
		for i, err := range errs {
			must(t, err)
			user := playground.User(fmt.Sprintf("student-%d", i))
			place := note(leases[user.Name()], "sqlflow.org/service")
			if place == "" {
				place = user.Name()
			} else if place != user.Name() {
				fromPool[place] = user
			}
			if other, taken := owners[place]; taken {
				t.Errorf("%v and %v share %s", user, other, place)
			}
			owners[place] = user
			if owner := note(services[place], "sqlflow.org/user"); owner != string(user) {
				t.Errorf("the service of %v is that of %v", user, owner)
			}
		}
		if left := len(b.listed("services", spareSelector)); len(fromPool) < spares*2/3 || len(fromPool)+left != spares {
			t.Errorf("of %d spares %d were taken, and %d are left", spares, len(fromPool), left)
		}
		b.allHandedOver(fromPool, "pods")
	})
}

func TestThePoolIsKeptInShape(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx := t.Context()
		c := b.cluster(withPool)
		w := b.watch(c)
		spares := b.stock(c, w, 3)

		// One breaks: it is dropped, and made anew.
		b.podStatus(spares[0], `{"phase":"Failed","reason":"Evicted"}`)
		w.spares(c, playground.Spares{Ready: 2, Bad: 1})
		must(t, c.Restock(ctx, 3, 0))
		b.finishPod(spares[0])
		w.spares(c, playground.Spares{Ready: 2, Coming: 1})

		// Fewer are wanted: those that are coming up go first.
		must(t, c.Restock(ctx, 1, 0))
		for _, name := range b.listed("pods", spareSelector) {
			if o := b.object("pods", name); o != nil && o["metadata"].(map[string]any)["deletionTimestamp"] != nil {
				b.finishPod(name)
			}
		}
		w.spares(c, playground.Spares{Ready: 1})

		// Another template, as after an upgrade: what was made from the old one is no good.
		newer := b.cluster(withPool, func(o *kube.Options) { o.Image = "sqlflow/sqlflow:newer" })
		upgraded := b.watch(newer)
		upgraded.until("the first list", func() bool { return upgraded.synced > 0 })
		upgraded.spares(newer, playground.Spares{Bad: 1})
		must(t, newer.Claim(ctx, "ann", "", at))
		if place := b.place("ann"); place != playground.User("ann").Name() {
			t.Errorf("ann was given the old %s", place)
		}
		must(t, newer.Restock(ctx, 0, 0))
		for _, name := range b.listed("pods", spareSelector) {
			b.finishPod(name)
		}
		upgraded.spares(newer, playground.Spares{})
	})
}

func TestOldSparesAreMadeAnewOneByOne(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	now := time.Now()
	c := b.cluster(withPool, func(o *kube.Options) { o.Now = func() time.Time { return now } })
	w := b.watch(c)
	b.stock(c, w, 3)
	must(t, c.Restock(t.Context(), 3, time.Hour))
	w.spares(c, playground.Spares{Ready: 3})
	now = now.Add(2 * time.Hour)
	must(t, c.Restock(t.Context(), 3, time.Hour))
	w.spares(c, playground.Spares{Ready: 2}) // its pod takes its time, which is nobody's business
	must(t, c.Restock(t.Context(), 3, time.Hour))
	now = time.Now()                                    // when the fake made it
	w.spares(c, playground.Spares{Ready: 2, Coming: 1}) // the next oldest stays until that one is there
}

// What a replica left half done, or somebody broke, is put right by the others.
func TestHalfTakenSpares(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx := t.Context()
		c := b.cluster(withPool)
		w := b.watch(c)
		spares := b.stock(c, w, 2)

		// A replica died after it took the spare and before it handed over the pod.
		must(t, c.Claim(ctx, "ann", "", at))
		lease := b.object("leases", playground.User("ann").Name())["metadata"].(map[string]any)
		place := b.place("ann")
		b.patch("v1", "Service", place, fmt.Sprintf(
			`{"metadata":{"labels":{"sqlflow.org/pool":"taken"},"annotations":{"sqlflow.org/user":"ann"},"ownerReferences":[{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","name":%q,"uid":%q}]}}`,
			lease["name"], lease["uid"]))
		w.is("ann", playground.Ready)
		b.handedOver(place, "ann", "pods")
		must(t, c.Start(ctx, "ann"))

		// A record names a spare that is somebody else's.
		other := spares[0]
		if other == place {
			other = spares[1]
		}
		must(t, c.Claim(ctx, "bob", "", at))
		if b.place("bob") != other {
			t.Fatalf("bob is at %s", b.place("bob"))
		}
		b.patch("coordination.k8s.io/v1", "Lease", playground.User("bob").Name(), `{"metadata":{"annotations":{"sqlflow.org/service":"`+place+`"}}}`)
		w.until("bob at ann's place", func() bool { return w.all["bob"].Place == place })
		if db := w.database("bob"); db.Phase != playground.Missing || db.Address != "" {
			t.Errorf("bob sees ann's database: %+v", db)
		}
		must(t, c.Remove(ctx, "bob", true))
		w.is("bob", playground.None)
		for _, resource := range []string{"pods", "services"} {
			if o := b.object(resource, place); o == nil || o["metadata"].(map[string]any)["deletionTimestamp"] != nil {
				t.Fatalf("ann's database went with bob's record: %v", o)
			}
		}

		must(t, c.Claim(ctx, "bob", "", at))
		b.patch("coordination.k8s.io/v1", "Lease", playground.User("bob").Name(), `{"metadata":{"annotations":{"sqlflow.org/service":"`+place+`"}}}`)
		w.until("bob at ann's place again", func() bool { return w.all["bob"].Place == place })
		must(t, c.Start(ctx, "bob"))
		b.ready("bob")
		if db := w.is("bob", playground.Ready); db.Place == place || db.Address == w.database("ann").Address {
			t.Errorf("bob is at %+v", db)
		}

		// Somebody deleted the service: pod and data stay where they are.
		pod := w.database("ann").Pod.UID
		b.kubectl("delete", "--raw", "/api/v1/namespaces/"+b.namespace+"/services/"+place)
		w.until("no address", func() bool { return w.all["ann"].Address == "" })
		must(t, c.Start(ctx, "ann"))
		if db := w.is("ann", playground.Ready); db.Place != place || db.Pod.UID != pod {
			t.Errorf("ann moved to %+v", db)
		}

		// A place that is not one is not followed.
		must(t, c.Claim(ctx, "eve", "", at))
		b.patch("coordination.k8s.io/v1", "Lease", playground.User("eve").Name(), `{"metadata":{"annotations":{"sqlflow.org/service":"sqlflow-spare-../../secrets"}}}`)
		must(t, c.Start(ctx, "eve"))
		b.ready("eve")
		if db := w.is("eve", playground.Ready); db.Place != playground.User("eve").Name() {
			t.Errorf("eve is at %+v", db)
		}
	})
}

func TestAPoolNeedsTemplatesThatKnowNoUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, err := os.ReadFile("../templates/mysql_pod.yaml")
	must(t, err)
	must(t, os.WriteFile(dir+"/mysql_pod.yaml", []byte(strings.Replace(string(text), `value: "0.0.0.0"`, "value: {{ quote .User }}", 1)), 0o600))
	b := onFake(t)
	for _, test := range []struct {
		pool bool
		want string
	}{{false, ""}, {true, "mysql_pod.yaml depends on .User"}} {
		_, err := kube.New(kube.Options{
			Runner: kube.NewRunner(b.options), Templates: mustLoad(t, dir), Namespace: b.namespace, Identity: "a", Log: logrus.New(), Pool: test.pool,
		})
		if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) {
			t.Errorf("pool %v: %v", test.pool, err)
		}
	}
}

func TestDataOutlivesTheDatabase(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx, user := t.Context(), playground.User("ann")
		c := b.cluster(withStorage, withPool)
		w := b.watch(c)
		w.until("the first list", func() bool { return w.synced > 0 })
		volume := func() any { return b.object("persistentvolumeclaims", user.Name()) }

		must(t, c.Claim(ctx, user, "", at))
		must(t, c.Start(ctx, user))
		b.ready(user)
		w.is(user, playground.Ready)
		db := w.agrees(c, user)
		if mounts := fmt.Sprint(b.object("pods", user.Name())["spec"].(map[string]any)["volumes"]); !strings.Contains(mounts, "claimName:"+user.Name()) {
			t.Errorf("the pod has the volumes %s", mounts)
		}

		must(t, c.Release(ctx, db, at))
		b.finish(user)
		w.is(user, playground.Released)
		must(t, c.Start(ctx, user))
		b.ready(user)
		if back := w.is(user, playground.Ready); !back.DataSince.Equal(db.DataSince) {
			t.Errorf("the data is of %v, was of %v", back.DataSince, db.DataSince)
		}

		b.bind(user.Name())
		must(t, c.Remove(ctx, user, false))
		b.finish(user)
		w.is(user, playground.None)
		if volume() == nil {
			t.Fatal("the volume went with the database")
		}

		// Who has data of their own takes no spare.
		b.stock(c, w, 1)
		must(t, c.Claim(ctx, user, "", at))
		must(t, c.Start(ctx, user))
		b.ready(user)
		if back := w.is(user, playground.Ready); back.Place != user.Name() {
			t.Errorf("ann is at %s, her data at %s", back.Place, user.Name())
		}

		must(t, c.Remove(ctx, user, true))
		b.finish(user)
		w.is(user, playground.None)
		if o, _ := volume().(map[string]any); o != nil && o["metadata"].(map[string]any)["deletionTimestamp"] == nil {
			t.Errorf("after a purge there is %v", o)
		}
		must(t, c.Remove(ctx, user, true))
	})
}

func TestTheVolumeOfASpareIsHandedOver(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx, user := t.Context(), playground.User("Ann Smith")
		c := b.cluster(withStorage, withPool)
		w := b.watch(c)
		b.stock(c, w, 1)
		must(t, c.Claim(ctx, user, "", at))
		must(t, c.Start(ctx, user))
		place := w.is(user, playground.Ready).Place
		b.handedOver(place, user, "pods", "services", "persistentvolumeclaims")
		b.bind(place)

		must(t, c.Remove(ctx, user, false))
		b.finishPod(place)
		w.is(user, playground.None)
		if b.object("persistentvolumeclaims", place) == nil {
			t.Fatal("the volume went with the database")
		}
		w.spares(c, playground.Spares{})

		// The user returns, to a replica that was not there then.
		later := b.cluster(withStorage, withPool)
		seen := b.watch(later)
		seen.until("the first list", func() bool { return seen.synced > 0 })
		must(t, later.Claim(ctx, user, "", at))
		must(t, later.Start(ctx, user))
		b.ready(user)
		seen.is(user, playground.Ready)
		if mounts := fmt.Sprint(b.object("pods", user.Name())["spec"].(map[string]any)["volumes"]); !strings.Contains(mounts, "claimName:"+place) {
			t.Errorf("the pod has the volumes %s, not the user's %s", mounts, place)
		}

		must(t, later.Remove(ctx, user, true))
		b.finish(user)
		if o := b.object("persistentvolumeclaims", place); o != nil && o["metadata"].(map[string]any)["deletionTimestamp"] == nil {
			t.Errorf("after a purge there is %v", o)
		}
	})
}
