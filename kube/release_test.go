package kube_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// A class goes home: what is marked and released together takes a handful of kubectl,
// and each database is locked by itself all the same.
func TestManyAreReleasedTogether(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		const class = 30
		ctx := t.Context()
		var mu sync.Mutex
		applied := 0
		b.options.Observe = func(verb, _ string, _ time.Duration) {
			if verb == "apply" { // the sweep, which is in a hurry here, may delete some pods by itself
				mu.Lock()
				applied++
				mu.Unlock()
			}
		}
		c := b.cluster()
		w := b.watch(c)
		users := make([]playground.User, class)
		together := func(do func(playground.User) error) (errs []error) {
			errs = make([]error, class)
			var all sync.WaitGroup
			for i, user := range users {
				all.Go(func() { errs[i] = do(user) })
			}
			all.Wait()
			return errs
		}
		for i := range users {
			users[i] = playground.User(fmt.Sprintf("student-%d", i))
		}
		for _, err := range together(func(user playground.User) error { return c.Claim(ctx, user, "", at) }) {
			must(t, err)
		}
		for _, err := range together(func(user playground.User) error { return c.Start(ctx, user) }) {
			must(t, err)
		}
		for _, user := range users {
			b.ready(user)
			w.is(user, playground.Ready)
		}

		for _, err := range together(func(user playground.User) error { return c.Mark(ctx, w.database(user), at) }) {
			must(t, err)
		}
		w.until("all marks", func() bool {
			for _, user := range users {
				if !w.all[user].Marked.Equal(at) {
					return false
				}
			}
			return true
		})
		used, late := users[7], users[8]
		marked := w.database(used)
		must(t, c.Touch(ctx, at.Add(time.Minute), []playground.User{used}))
		w.until("the use", func() bool { return w.all[used].LastUse.Equal(at.Add(time.Minute)) })
		// The pod of another was made anew under an old mark's eyes.
		stale := w.database(late)
		stale.Pod.UID = "00000000-0000-0000-0000-000000000000"

		errs := together(func(user playground.User) error {
			switch user {
			case used:
				return c.Release(ctx, marked, at)
			case late:
				return c.Release(ctx, stale, at)
			}
			return c.Release(ctx, w.database(user), at)
		})
		mu.Lock()
		if applied > class/2 {
			t.Errorf("%d kubectl wrote %d marks, releases and labels", applied, 3*class)
		}
		mu.Unlock()
		for i, user := range users {
			if user == used {
				mustBe(t, errs[i], playground.ErrConflict)
				w.is(user, playground.Ready)
				continue
			}
			must(t, errs[i])
			if user != late {
				b.finish(user)
				w.is(user, playground.Released)
			}
		}
		if o := b.object("pods", late.Name()); o == nil || o["metadata"].(map[string]any)["deletionTimestamp"] != nil {
			t.Errorf("a pod that was not meant was deleted: %v", o)
		}
	})
}
