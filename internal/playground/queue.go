package playground

import (
	"container/list"
	"context"
	"sync"
)

// queue admits a bounded number at once, first come first served, and can tell
// how many are ahead; golang.org/x/sync/semaphore cannot.
type queue struct {
	places int
	calm   chan struct{} // nobody is admitted any more

	mu      sync.Mutex
	free    int
	waiting list.List // of *ticket
}

// ticket is what somebody has of the queue: nothing, as at first, then a place in line,
// then a turn, until he leaves. He alone calls line, enter and leave with it.
type ticket struct {
	place    *list.Element // in line
	admitted chan struct{} // closed when the turn comes; nil outside
}

func newQueue(places int) *queue {
	return &queue{places: places, free: places, calm: make(chan struct{}, 1)}
}

// outside reports whether t has neither a turn nor a place in line.
func (t *ticket) outside() bool { return t.admitted == nil }

// line gives t the next place in line; leave must be called in the end.
func (q *queue) line(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.admitted = make(chan struct{})
	if q.free > 0 {
		q.free--
		close(t.admitted)
		return
	}
	t.place = q.waiting.PushBack(t)
}

// enter waits for the turn of t, which is in line or has it.
func (q *queue) enter(ctx context.Context, t *ticket) error {
	select {
	case <-t.admitted:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave gives t's turn to the next in line, or its place in line up.
func (q *queue) leave(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.outside() {
		return
	}
	t.admitted = nil
	if t.place != nil {
		q.waiting.Remove(t.place)
		t.place = nil
		return
	}
	if first := q.waiting.Front(); first != nil {
		next := q.waiting.Remove(first).(*ticket)
		next.place = nil
		close(next.admitted)
		return
	}
	if q.free++; q.free < q.places {
		return
	}
	select {
	case q.calm <- struct{}{}:
	default:
	}
}

// busy reports whether anybody is admitted.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.free < q.places
}

// ahead counts those before t; 0 unless it is in line.
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
