package kube

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestALoneItemDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group[int]{most: 10, run: func(_ context.Context, items []int) []error {
			time.Sleep(time.Second)
			return make([]error, len(items))
		}}
		begun := time.Now()
		if err := g.do(t.Context(), 1); err != nil || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		synctest.Wait()
		if g.busy {
			t.Error("it still works")
		}
	})
}

func TestWhatArrivesMeanwhileGoesTogetherInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := errors.New("odd")
		var batches [][]int
		g := &group[int]{most: 3, run: func(_ context.Context, items []int) []error {
			batches = append(batches, slices.Clone(items))
			time.Sleep(time.Second)
			errs := make([]error, len(items))
			for i, item := range items {
				if item%2 == 1 {
					errs[i] = odd
				}
			}
			return errs
		}}
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				err := g.do(t.Context(), i)
				if (i%2 == 1) != errors.Is(err, odd) {
					t.Errorf("item %d got %v", i, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		want := [][]int{{0}, {1, 2, 3}, {4, 5}}
		if !slices.EqualFunc(batches, want, slices.Equal[[]int]) {
			t.Errorf("ran %v, want %v", batches, want)
		}
	})
}

func TestWhoGivesUpIsNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran []int
		g := &group[int]{most: 3, run: func(_ context.Context, items []int) []error {
			ran = append(ran, items...)
			time.Sleep(time.Second)
			return make([]error, len(items))
		}}
		var all sync.WaitGroup
		all.Go(func() { g.do(t.Context(), 1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := g.do(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		all.Wait()
		if !slices.Equal(ran, []int{1}) {
			t.Errorf("ran %v", ran)
		}
	})
}

func TestARunEndsWhenNobodyWaitsForItAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		g := &group[int]{most: 3, run: func(ctx context.Context, items []int) []error {
			select {
			case <-ctx.Done():
				ended++
			case <-time.After(time.Minute):
			}
			return make([]error, len(items))
		}}
		var all sync.WaitGroup
		give := func(after time.Duration) {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), after)
				defer cancel()
				g.do(ctx, 0)
			})
			synctest.Wait()
		}
		begun := time.Now()
		give(time.Second)     // the first run, alone
		give(2 * time.Second) // the second run, with
		give(5 * time.Second) // this one
		all.Wait()
		synctest.Wait()
		if took := time.Since(begun); ended != 2 || took != 5*time.Second {
			t.Errorf("%d runs were ended, after %v", ended, took)
		}
	})
}
