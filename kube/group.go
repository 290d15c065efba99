package kube

import (
	"context"
	"sync"
)

// mostTogether is how many databases one kubectl creates at most. A hundred pods and
// services take it about a second.
const mostTogether = 100

// group runs what arrives together as one. The first item runs at once: a lone item
// never waits for company. While its run is open, which the run itself says, what arrives
// goes along; what arrives later goes together into the next run. So two hundred at once
// take a handful of runs.
type group[T any] struct {
	// run does all items, and those that more adds, and returns one error for each, in
	// their order. Its ctx ends when nobody waits for any of the items any more.
	run  func(ctx context.Context, items []T, more more[T]) []error
	most int // items in one run

	mu      sync.Mutex
	waiting []*ticket[T]
	busy    bool
}

// more adds to a run those waiting items that fit, in the order in which they came, and
// returns them; the others wait for the next run. What fits says yes to is added. It is
// called by run itself, as late as possible, and not after run has returned.
type more[T any] func(fits func(T) bool) []T

// closed is a run that nothing is added to.
func closed[T any](run func(context.Context, []T) []error) func(context.Context, []T, more[T]) []error {
	return func(ctx context.Context, items []T, _ more[T]) []error { return run(ctx, items) }
}

type ticket[T any] struct {
	item    T
	done    chan error
	leave   func() // called once by who stops waiting, after the ticket was taken; g.mu is held
	taken   bool
	dropped bool
}

// do has item run and returns its error. When ctx ends, its cause is the error: an item
// that was not yet begun is then never run, and the end of one that was is waited for, so
// that nothing more comes of it once do has returned.
func (g *group[T]) do(ctx context.Context, item T) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := &ticket[T]{item: item, done: make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, t)
	if !g.busy {
		g.busy = true
		go g.work()
	}
	g.mu.Unlock()

	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
	}
	if g.leave(t) {
		if err := <-t.done; err == nil {
			return nil
		}
	}
	return context.Cause(ctx)
}

// leave stops waiting for t, and reports whether its run has begun.
func (g *group[T]) leave(t *ticket[T]) (begun bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.dropped = true
	if t.taken {
		t.leave()
	}
	return t.taken
}

// batch is what goes into one run.
type batch[T any] struct {
	tickets []*ticket[T]
	waiting int    // those who still wait for theirs
	cancel  func() // is called when that is nobody
}

func (b *batch[T]) add(t *ticket[T]) {
	b.tickets = append(b.tickets, t)
	b.waiting++
	t.taken = true
	t.leave = func() {
		if b.waiting--; b.waiting == 0 {
			b.cancel()
		}
	}
}

// work runs batches until nothing waits.
func (g *group[T]) work() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		b := &batch[T]{cancel: cancel}
		items := g.take(b)
		if len(items) == 0 {
			cancel()
			return
		}
		errs := g.run(ctx, items, func(fits func(T) bool) []T { return g.more(b, fits) })
		for i, err := range errs {
			b.tickets[i].done <- err
		}
		cancel()
	}
}

// take moves what waits into b; if that is nothing, g is idle.
func (g *group[T]) take(b *batch[T]) []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	items := g.move(b, func(T) bool { return true })
	if len(items) == 0 {
		g.busy, g.waiting = false, nil
	}
	return items
}

// more moves what fits into b, unless nobody waits for b any more: then it ends.
func (g *group[T]) more(b *batch[T], fits func(T) bool) []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.waiting == 0 {
		return nil
	}
	return g.move(b, fits)
}

// move moves into b what fits and has room. g.mu is held.
func (g *group[T]) move(b *batch[T], fits func(T) bool) (items []T) {
	var stay []*ticket[T]
	for _, t := range g.waiting {
		switch {
		case t.dropped:
		case len(b.tickets) < g.most && fits(t.item):
			b.add(t)
			items = append(items, t.item)
		default:
			stay = append(stay, t)
		}
	}
	g.waiting = stay
	return items
}
