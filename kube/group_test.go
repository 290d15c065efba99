package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestALoneItemDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group[int]{most: 10, run: closed(func(_ context.Context, items []int) []error {
			time.Sleep(time.Second)
			return make([]error, len(items))
		})}
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
		g := &group[int]{most: 3, run: closed(func(_ context.Context, items []int) []error {
			batches = append(batches, slices.Clone(items))
			time.Sleep(time.Second)
			errs := make([]error, len(items))
			for i, item := range items {
				if item%2 == 1 {
					errs[i] = odd
				}
			}
			return errs
		})}
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
		g := &group[int]{most: 3, run: closed(func(_ context.Context, items []int) []error {
			ran = append(ran, items...)
			time.Sleep(time.Second)
			return make([]error, len(items))
		})}
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

// Else a record could be made after its user's databases were deleted.
func TestWhoGivesUpKnowsThatNothingMoreComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("deleted")
		g := &group[int]{most: 3, run: closed(func(_ context.Context, items []int) []error {
			time.Sleep(time.Minute)
			errs := make([]error, len(items))
			for i, item := range items {
				if item == 3 {
					errs[i] = number(item)
				}
			}
			return errs
		})}
		var all sync.WaitGroup
		all.Go(func() { g.do(t.Context(), 0) })
		synctest.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		begun := time.Now()
		for item, want := range map[int]error{2: nil, 3: reason} {
			all.Go(func() {
				if err := g.do(ctx, item); err != want || time.Since(begun) != 2*time.Minute {
					t.Errorf("item %d got %v after %v", item, err, time.Since(begun))
				}
			})
		}
		all.Go(func() { g.do(t.Context(), 4) }) // for whom the run goes on
		time.Sleep(90 * time.Second)
		cancel(reason)
		if err := g.do(ctx, 5); err != reason {
			t.Errorf("got %v", err)
		}
		all.Wait()
	})
}

func TestARunEndsWhenNobodyWaitsForItAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		g := &group[int]{most: 3, run: closed(func(ctx context.Context, items []int) []error {
			select {
			case <-ctx.Done():
				ended++
			case <-time.After(time.Minute):
			}
			return make([]error, len(items))
		})}
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

// open is a run that takes along what fits when it is told to, and notes what it ran.
type open struct {
	begun, due, finish chan struct{}
	fits               func(int) bool
	ran                [][]int
}

func newOpen(fits func(int) bool) *open {
	return &open{make(chan struct{}), make(chan struct{}), make(chan struct{}), fits, nil}
}

func (o *open) run(ctx context.Context, items []int, more more[int]) []error {
	o.begun <- struct{}{}
	<-o.due
	items = append(items, more(o.fits)...)
	o.ran = append(o.ran, items)
	select {
	case <-o.finish:
	case <-ctx.Done():
	}
	errs := make([]error, len(items))
	for i, item := range items {
		errs[i] = number(item)
	}
	return errs
}

// number is an error that tells one item's answer from another's.
type number int

func (n number) Error() string { return fmt.Sprint("number ", int(n)) }

func every(int) bool { return true }

func TestWhatArrivesWhileARunIsOpenGoesAlong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		most int
		fits func(int) bool
		want [][]int
	}{
		"all of it":               {10, every, [][]int{{0, 1, 2, 3, 4}, {5}}},
		"as far as it fits":       {10, func(i int) bool { return i%2 == 0 }, [][]int{{0, 2, 4}, {1, 3, 5}}},
		"as far as there is room": {3, every, [][]int{{0, 1, 2}, {3, 4, 5}}},
		"nothing":                 {10, func(int) bool { return false }, [][]int{{0}, {1, 2, 3, 4, 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOpen(test.fits)
				g := &group[int]{most: test.most, run: o.run}
				var all sync.WaitGroup
				give := func(item int) {
					all.Go(func() {
						if err := g.do(t.Context(), item); err != number(item) {
							t.Errorf("item %d got %v", item, err)
						}
					})
					synctest.Wait()
				}
				give(0)
				<-o.begun // alone, and at once
				for i := range 4 {
					give(1 + i)
				}
				o.due <- struct{}{}
				synctest.Wait()
				give(5) // too late
				close(o.due)
				close(o.finish)
				<-o.begun
				all.Wait()
				if !slices.EqualFunc(o.ran, test.want, slices.Equal[[]int]) {
					t.Errorf("ran %v, want %v", o.ran, test.want)
				}
			})
		})
	}
}

func TestWhoGivesUpWhileARunIsOpenIsNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpen(every)
		g := &group[int]{most: 10, run: o.run}
		var all sync.WaitGroup
		all.Go(func() { g.do(t.Context(), 1) })
		<-o.begun
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() { g.do(ctx, 2) })
		all.Go(func() { g.do(t.Context(), 3) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(o.due)
		close(o.finish)
		all.Wait()
		if !slices.EqualFunc(o.ran, [][]int{{1, 3}}, slices.Equal[[]int]) {
			t.Errorf("ran %v", o.ran)
		}
	})
}

func TestARunEndsWhenNobodyWhoCameAlongWaitsEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOpen(every)
		g := &group[int]{most: 10, run: o.run}
		var all sync.WaitGroup
		give := func(item int) (leave func()) {
			ctx, cancel := context.WithCancel(t.Context())
			all.Go(func() { g.do(ctx, item) })
			synctest.Wait()
			return func() { cancel(); synctest.Wait() }
		}
		first := give(1)
		<-o.begun
		second := give(2)
		o.due <- struct{}{}
		synctest.Wait()
		first()
		third := give(3)
		select {
		case <-o.begun:
			t.Fatal("it ended while somebody waited")
		default:
		}
		second()
		<-o.begun // of the third
		third()   // while his run is open: nobody waits for it
		fourth := give(4)
		close(o.due)
		<-o.begun // so the fourth has one of his own
		synctest.Wait()
		fourth()
		all.Wait()
		if !slices.EqualFunc(o.ran, [][]int{{1, 2}, {3}, {4}}, slices.Equal[[]int]) {
			t.Errorf("ran %v", o.ran)
		}
	})
}
