package playground

import (
	"container/list"
	"context"
	"sync"
)

// queue admits a bounded number at once, first come first served, and can tell
// how many are ahead; golang.org/x/sync/semaphore cannot.
type queue struct {
	mu      sync.Mutex
	free    int
	waiting list.List // of *ticket
}

// ticket is a place in the queue.
type ticket struct {
	place    *list.Element // nil once it was admitted
	admitted chan struct{}
}

func newQueue(places int) *queue { return &queue{free: places} }

// line gives out the next place in line; enter must be called with it.
func (q *queue) line() *ticket {
	t := &ticket{admitted: make(chan struct{})}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		close(t.admitted)
		return t
	}
	t.place = q.waiting.PushBack(t)
	return t
}

// enter waits for t's turn; leave must be called after a nil error.
func (q *queue) enter(ctx context.Context, t *ticket) error {
	select {
	case <-t.admitted:
		return nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.place == nil {
		return nil // admitted at the same moment; the caller will leave
	}
	q.waiting.Remove(t.place)
	t.place = nil
	return context.Cause(ctx)
}

// leave gives the place to the next in line.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.waiting.Front()
	if first == nil {
		q.free++
		return
	}
	t := q.waiting.Remove(first).(*ticket)
	t.place = nil
	close(t.admitted)
}

// ahead counts those before t; 0 once t was admitted.
func (q *queue) ahead(t *ticket) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.place == nil {
		return 0
	}
	n := 1 // those who are being served count as one turn to wait
	for e := t.place.Prev(); e != nil; e = e.Prev() {
		n++
	}
	return n
}
