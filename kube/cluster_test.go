package kube_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
)

// at is a time as exact as a Lease keeps it.
var at = time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func mustSay(t testing.TB, err error, code playground.Code, words string) {
	t.Helper()
	var e *playground.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, words) {
		t.Fatalf("got %v, want %s with ... %s ...", err, code, words)
	}
}

func TestLifeOfADatabase(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx, c, user := t.Context(), b.cluster(), playground.User("alice@example.org")
		w := b.watch(c)
		w.until("the first list", func() bool { return w.synced == 1 })

		must(t, c.Claim(ctx, user, "", at))
		mustBe(t, c.Claim(ctx, user, "", at), playground.ErrExists)
		db := w.is(user, playground.Missing)
		if !db.LastUse.Equal(at) || db.Record.UID == "" || db.Pod.UID != "" {
			t.Errorf("claimed: %+v", db)
		}

		must(t, c.Start(ctx, user))
		w.is(user, playground.Starting)
		b.ready(user)
		db = w.is(user, playground.Ready)
		host, isMySQL := strings.CutSuffix(db.Address, ":3306")
		if !isMySQL || host == "" || host == "10.9.8.7" || db.Pod.UID == "" || db.DataSince.IsZero() || db.Created.IsZero() {
			t.Errorf("ready: %+v", db)
		}
		must(t, c.Start(ctx, user)) // joins

		db = w.agrees(c, user)

		must(t, c.Stop(ctx, db))
		must(t, c.Stop(ctx, db))
		b.finish(user)
		if db = w.is(user, playground.Missing); db.Address == "" {
			t.Error("the address went with the pod")
		}
		must(t, c.Start(ctx, user))
		b.ready(user)
		if again := w.is(user, playground.Ready); again.Address != db.Address {
			t.Errorf("the address was %s and is %s", db.Address, again.Address)
		}

		must(t, c.Remove(ctx, user, false))
		b.finish(user)
		w.is(user, playground.None)
		must(t, c.Remove(ctx, user, false))
		got, err := c.Get(ctx, user)
		must(t, err)
		if got != (playground.Database{User: user}) {
			t.Errorf("after Remove there is %+v", got)
		}
		for _, resource := range []string{"pods", "services", "leases"} {
			if o := b.object(resource, user.Name()); o != nil {
				t.Errorf("after Remove there is %v", o)
			}
		}
	})
}

func TestPodAddress(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster(func(o *kube.Options) { o.PodAddress = true })
	w := b.watch(c)
	must(t, c.Claim(t.Context(), "a", "", at))
	must(t, c.Start(t.Context(), "a"))
	b.ready("a")
	if db := w.is("a", playground.Ready); db.Address != "10.9.8.7:3306" {
		t.Errorf("the address is %s", db.Address)
	}
}

func TestReleaseKeepsTheAddressAndStartBringsItBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx, c, user := t.Context(), b.cluster(), playground.User("bob")
		w := b.watch(c)
		must(t, c.Claim(ctx, user, "", at))
		must(t, c.Start(ctx, user))
		b.ready(user)
		w.is(user, playground.Ready)
		old := w.agrees(c, user)

		must(t, c.Mark(ctx, old, at.Add(time.Hour)))
		w.until("the mark", func() bool { return w.all[user].Marked.Equal(at.Add(time.Hour)) })
		marked := w.agrees(c, user)
		if marked.Record == old.Record {
			t.Errorf("marked: %+v", marked)
		}
		mustBe(t, c.Release(ctx, old, at), playground.ErrConflict) // the mark moved it on
		mustBe(t, c.Mark(ctx, old, at), playground.ErrConflict)

		must(t, c.Release(ctx, marked, at.Add(2*time.Hour)))
		b.finish(user)
		db := w.is(user, playground.Released)
		if !db.ReleasedAt.Equal(at.Add(2*time.Hour)) || db.Address != old.Address || !db.Marked.IsZero() {
			t.Errorf("released: %+v", db)
		}

		before := time.Now().Add(-time.Second)
		must(t, c.Start(ctx, user))
		b.ready(user)
		db = w.is(user, playground.Ready)
		if db.Address != old.Address || db.Pod.UID == old.Pod.UID || !db.ReleasedAt.IsZero() || db.LastUse.Before(before) {
			t.Errorf("brought back: %+v", db)
		}
	})
}

func TestTouchBeatsTheReaper(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx, c := t.Context(), b.cluster()
		w := b.watch(c)
		for _, user := range []playground.User{"a", "b"} {
			must(t, c.Claim(ctx, user, "", at))
			must(t, c.Start(ctx, user))
			b.ready(user)
			w.is(user, playground.Ready)
		}
		must(t, c.Mark(ctx, w.agrees(c, "a"), at))
		w.until("the mark", func() bool { return w.all["a"].Marked.Equal(at) })
		marked := w.agrees(c, "a")
		// "gone" has no lease: it is neither made nor in the way of the others.
		must(t, c.Touch(ctx, at.Add(time.Minute), []playground.User{"gone", "a", "b"}))
		mustBe(t, c.Release(ctx, marked, at), playground.ErrConflict)
		for _, user := range []playground.User{"a", "b"} {
			w.until("the touch", func() bool { return w.all[user].LastUse.Equal(at.Add(time.Minute)) && w.all[user].Marked.IsZero() })
			w.is(user, playground.Ready)
		}
		if o := b.object("leases", playground.User("gone").Name()); o != nil {
			t.Errorf("Touch made %v", o)
		}
		must(t, c.Touch(ctx, at, nil))
	})
}

func TestOneLeaderAtATime(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx := t.Context()
		now := at
		clock := func(o *kube.Options) { o.Now = func() time.Time { return now } }
		a, z := b.cluster(clock), b.cluster(clock)
		lead := func(c *kube.Cluster, want bool) {
			t.Helper()
			if got, err := c.Lead(ctx, time.Minute); got != want || err != nil {
				t.Fatalf("at %v: leads %v, %v; want %v", now, got, err, want)
			}
		}
		lead(a, true)
		lead(z, false)
		now = now.Add(40 * time.Second)
		lead(a, true)
		lead(z, false)
		now = now.Add(59 * time.Second)
		lead(z, false)
		now = now.Add(2 * time.Second)
		lead(z, true)
		lead(a, false)
	})
}

func TestTwoReplicasClaimAndStartTogether(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		ctx, user := t.Context(), playground.User("twins")
		var mu sync.Mutex
		made := 0
		var all sync.WaitGroup
		for range 2 {
			c := b.cluster()
			b.watch(c)
			for range 3 {
				all.Go(func() {
					switch err := c.Claim(ctx, user, "", at); {
					case err == nil:
						mu.Lock()
						made++
						mu.Unlock()
					case !errors.Is(err, playground.ErrExists):
						t.Errorf("Claim: %v", err)
					}
					if err := c.Start(ctx, user); err != nil {
						t.Errorf("Start: %v", err)
					}
				})
			}
		}
		all.Wait()
		if made != 1 {
			t.Errorf("%d claims were the first", made)
		}
	})
}

func TestMethodsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"Claim": c.Claim(ctx, "a", "", at), "Start": c.Start(ctx, "a"), "Touch": c.Touch(ctx, at, []playground.User{"a"}),
		"Remove": c.Remove(ctx, "a", false),
	} {
		if err == nil {
			t.Errorf("%s did not notice that its context had ended", name)
		}
	}
}
