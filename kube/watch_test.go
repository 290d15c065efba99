package kube_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

// running is a bed with one watched database, ready, of the user ada.
func running(t *testing.T, before ...func(*bed)) (*bed, *watched) {
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
	for _, f := range before {
		f(b)
	}
	c := b.cluster()
	must(t, c.Claim(t.Context(), "ada", "", at))
	must(t, c.Start(t.Context(), "ada"))
	w := b.watch(c)
	w.is("ada", playground.Ready)
	return b, w
}

// another replica makes and unmakes databases while a watch is away.
func anotherUser(t *testing.T, b *bed, user playground.User) {
	t.Helper()
	c := b.cluster()
	must(t, c.Claim(t.Context(), user, "", at))
	must(t, c.Start(t.Context(), user))
}

func TestWatchesHeal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		trouble func(*bed)
	}{
		{"they end in order", func(b *bed) { b.fake.LoseWatches(true) }},
		{"they break", func(b *bed) { b.fake.LoseWatches(false) }},
		{"they break again and again", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "watch=1", Do: "fail", Times: 5, Stderr: "error: unexpected EOF"})
			b.fake.LoseWatches(false)
		}},
		{"they are too old", func(b *bed) {
			b.fake.Compact()
			b.fake.LoseWatches(true)
		}},
		{"too old is an exit code", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "watch=1", Do: "fail", Times: 3, Stderr: "Error from server (Expired): too old resource version: 1 (2)"})
			b.fake.LoseWatches(true)
		}},
		{"too old is an event", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "watch=1", Do: "print", Times: 3, Stdout: `{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version: 2 (2659)","reason":"Expired","code":410}}` + "\n"})
			b.fake.LoseWatches(true)
		}},
		{"the API server has an error", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "watch=1", Do: "print", Times: 3, Stdout: `{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"boom","reason":"InternalError","code":500}}` + "\n"})
			b.fake.LoseWatches(true)
		}},
		{"they print garbage", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "watch=1", Do: "print", Times: 3, Stdout: "<html>gateway time-out</html>\n"})
			b.fake.LoseWatches(true)
		}},
		{"they print nothing", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "watch=1", Do: "print", Times: 3})
			b.fake.LoseWatches(true)
		}},
		{"the lists fail", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "labelSelector=[^&]*$", Do: "fail", Times: 4, Stderr: "Error from server (InternalError): etcdserver: no leader"})
			b.fake.LoseWatches(false)
		}},
		{"the lists are garbage", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "labelSelector=[^&]*$", Do: "print", Times: 3, Stdout: `{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{}}`})
			b.fake.LoseWatches(false)
		}},
		{"the lists die halfway", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "labelSelector=[^&]*$", Do: "die half", Times: 3})
			b.fake.LoseWatches(false)
		}},
		{"the cluster goes away", func(b *bed) {
			b.fake.Down()
			b.fake.Up()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, w := running(t)
			test.trouble(b)
			anotherUser(t, b, "eve")
			b.fake.Gone("leases", playground.User("ada").Name())
			b.fake.Gone("pods", playground.User("ada").Name())
			w.is("eve", playground.Ready)
			w.is("ada", playground.None)
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.synced != 1 {
				t.Errorf("synced %d times", w.synced)
			}
		})
	}
}

func TestSilentWatchIsBegunAgain(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	plant(b, fakekubectl.Fault{Match: "watch=1", Do: "hang deaf", Times: 3})
	c := b.cluster()
	c.Hurry(300*time.Millisecond, time.Minute)
	w := b.watch(c)
	w.until("the first list", func() bool { return w.synced == 1 })
	b.fake.Eventually("all watches hang", func() bool { return b.fake.Planted() == 0 })
	must(t, c.Claim(t.Context(), "ada", "", at))
	w.is("ada", playground.Missing)
}

func TestStaleIsToldAndTakenBack(t *testing.T) {
	t.Parallel()
	b, w := running(t)
	b.fake.Down()
	w.until("stale", func() bool { return len(w.stale) == 1 && w.stale[0] != nil })
	mustSay(t, w.stale[0], playground.Unavailable, "cannot be reached")
	b.fake.Up()
	w.until("no longer stale", func() bool { return len(w.stale) == 2 && w.stale[1] == nil })
	b.fake.Gone("pods", playground.User("ada").Name())
	w.is("ada", playground.Missing)
}

func TestStaleFromTheBeginning(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	b.fake.Down()
	w := b.watch(b.cluster())
	w.until("stale", func() bool { return len(w.stale) == 1 && w.stale[0] != nil })
	if w.synced != 0 {
		t.Error("synced with nothing")
	}
	b.fake.Up()
	w.until("caught up", func() bool { return w.synced == 1 && len(w.stale) == 2 && w.stale[1] == nil })
}

func TestLastSeen(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	if !c.LastSeen().IsZero() {
		t.Error("something was seen before the watch")
	}
	w := b.watch(c)
	w.until("the first list", func() bool { return w.synced == 1 })
	if age := time.Since(c.LastSeen()); age < 0 || age > 10*time.Second {
		t.Errorf("last seen %v ago", age)
	}
}

// lease is a record as somebody might write it by hand.
func lease(name, user, more string) string {
	return fmt.Sprintf(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":%q,
		"labels":{"app.kubernetes.io/managed-by":"sqlflow_playground","sqlflow.org/database":%q},"annotations":{"sqlflow.org/user":%q%s}},
		"spec":{"renewTime":"2026-01-01T00:00:00.000000Z"}}`, name, name, user, more)
}

func TestObjectsThatLieAboutTheirUserAreIgnored(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	name := playground.User("ada").Name()
	b.fake.Put(lease(name, "eve", ""))
	b.fake.Put(lease("sqlflow-mysql-x", "", ""))
	b.fake.Put(lease("sqlflow-mysql-y", strings.Repeat("y", 2000), ""))
	b.fake.Put(lease("other", "other", ""))
	b.fake.Put(lease(playground.User("bob").Name(), "bob", `,"sqlflow.org/marked":"yesterday"`))
	c := b.cluster()
	w := b.watch(c)
	w.is("bob", playground.Missing)
	if len(w.all) != 1 || !w.all["bob"].Marked.IsZero() {
		t.Errorf("told of %+v", w.all)
	}
	got, err := c.Get(t.Context(), "ada")
	must(t, err)
	if got.Phase != playground.None {
		t.Errorf("ada has %+v", got)
	}
}

func TestPodWithoutRecordIsTold(t *testing.T) {
	t.Parallel()
	b, w := running(t)
	b.fake.Gone("leases", playground.User("ada").Name())
	w.until("no record", func() bool {
		db := w.all["ada"]
		return db.Phase == playground.Ready && db.Record == playground.Version{} && db.Pod.UID != ""
	})
}

func TestServiceThatVanishedIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	w := b.watch(c)
	must(t, c.Claim(t.Context(), "ada", "", at))
	must(t, c.Start(t.Context(), "ada"))
	b.ready("ada")
	w.is("ada", playground.Ready)
	b.fake.Gone("services", playground.User("ada").Name())
	w.until("no address", func() bool { return w.all["ada"].Address == "" })
	must(t, c.Start(t.Context(), "ada"))
	w.is("ada", playground.Ready)
}

func TestReleaseThatWasLeftHalfDoneIsFinished(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
	c := b.cluster()
	w := b.watch(c)
	must(t, c.Claim(t.Context(), "ada", "", at))
	must(t, c.Start(t.Context(), "ada"))
	w.is("ada", playground.Ready)
	db := w.agrees(c, "ada")
	plant(b, fakekubectl.Fault{Match: "delete --raw", Do: "fail", Stderr: "Error from server (InternalError): no leader"})
	must(t, c.Release(t.Context(), db, at))
	db = w.is("ada", playground.Released)
	w.mu.Lock()
	past := fmt.Sprint(w.past["ada"])
	w.mu.Unlock()
	if !strings.Contains(past, string(playground.Leaving)) || b.fake.Object("pods", db.User.Name()) != nil {
		t.Errorf("it was %s", past)
	}
}

// What is left of a whole class is finished as it was begun, and the operator hears why it
// did not go at once.
func TestManyReleasesThatWereLeftHalfDoneAreFinishedTogether(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
	n := b.count()
	log, told := logtest.NewNullLogger()
	c := b.cluster(func(o *kube.Options) { o.Log = log })
	w := b.watch(c)
	var all []playground.Database
	for i := range 12 {
		user := playground.User(fmt.Sprintf("user%d", i))
		must(t, c.Claim(t.Context(), user, "", at))
		must(t, c.Start(t.Context(), user))
		w.is(user, playground.Ready)
		all = append(all, w.agrees(c, user))
	}
	// Of the one who comes first, of the others, and when it is first tried to finish all.
	plant(b, fakekubectl.Fault{Match: "^delete", Do: "fail", Times: 3, Stderr: "Error from server (InternalError): no leader"})
	var releases sync.WaitGroup
	for _, db := range all {
		releases.Go(func() {
			if err := c.Release(t.Context(), db, at); err != nil {
				t.Error(err)
			}
		})
	}
	releases.Wait()
	for _, db := range all {
		w.is(db.User, playground.Released)
	}
	if deletes := n.copy()["delete"]; deletes >= len(all) {
		t.Errorf("%d kubectl deleted the pods of %d", deletes, len(all))
	}
	said := func(words ...string) bool {
		var all string
		for _, entry := range told.AllEntries() {
			all += fmt.Sprintln(entry.Message, entry.Data)
		}
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
	}
	b.fake.Eventually("the log tells of both", func() bool { return said("cannot be finished yet", "no leader", "half done are finished") })
}

func TestStartFinishesAReleaseFirst(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
	c := b.cluster()
	must(t, c.Claim(t.Context(), "ada", "", at))
	must(t, c.Start(t.Context(), "ada"))
	db, err := c.Get(t.Context(), "ada")
	must(t, err)
	plant(b, fakekubectl.Fault{Match: "delete --raw", Do: "fail", Stderr: "Error from server (InternalError): no leader"})
	must(t, c.Release(t.Context(), db, at))
	w := b.watch(c)
	w.is("ada", playground.Leaving)
	mustBe(t, c.Start(t.Context(), "ada"), playground.ErrLeaving)
	w.is("ada", playground.Released)
	must(t, c.Start(t.Context(), "ada"))
	if again := w.is("ada", playground.Ready); again.Pod.UID == db.Pod.UID {
		t.Error("it is the pod that was released")
	}
}
