package kube

import (
	"context"
	"sync"
)

// mostTogether is how many databases one kubectl creates at most. A hundred pods and
// services take it about a second.
const mostTogether = 100

// group runs what arrives together as one: the first item runs at once and alone, and
// what arrives while it runs goes together into the next run. So a lone item never
// waits for company, and two hundred at once take a handful of runs.
type group[T any] struct {
	// run does all items and returns one error for each, in their order. Its ctx ends
	// when nobody waits for any of the items any more.
	run  func(ctx context.Context, items []T) []error
	most int // items in one run

	mu      sync.Mutex
	waiting []*ticket[T]
	busy    bool
}

type ticket[T any] struct {
	item    T
	done    chan error
	leave   func() // called once by who stops waiting, after the ticket was taken
	taken   bool
	dropped bool
}

// do has item run and returns its error, or that of ctx. An item that was not yet
// begun when ctx ends is never run.
func (g *group[T]) do(ctx context.Context, item T) error {
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
	g.mu.Lock()
	defer g.mu.Unlock()
	t.dropped = true
	if t.taken {
		t.leave()
	}
	return ctx.Err()
}

// work runs batches until nothing waits.
func (g *group[T]) work() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		batch := g.take(cancel)
		if batch == nil {
			cancel()
			return
		}
		items := make([]T, len(batch))
		for i, t := range batch {
			items[i] = t.item
		}
		for i, err := range g.run(ctx, items) {
			batch[i].done <- err
		}
		cancel()
	}
}

// take removes the next batch from the queue; nil: there is none, and g is idle.
// cancel is called when the last of the batch stops waiting.
func (g *group[T]) take(cancel func()) []*ticket[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var batch []*ticket[T]
	for len(g.waiting) > 0 && len(batch) < g.most {
		if t := g.waiting[0]; !t.dropped {
			batch = append(batch, t)
		}
		g.waiting[0] = nil
		g.waiting = g.waiting[1:]
	}
	waiting := len(batch)
	for _, t := range batch {
		t.taken = true
		t.leave = func() { // g.mu is held
			if waiting--; waiting == 0 {
				cancel()
			}
		}
	}
	if batch == nil {
		g.busy, g.waiting = false, nil
	}
	return batch
}
