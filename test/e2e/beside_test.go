package e2e_test

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// besideOneAnother is how many tests run at a time. Most of them wait for the cluster, but all
// that they wait for is done by the same processors.
func besideOneAnother() int { return 2 * runtime.NumCPU() }

// beside runs t beside others, no more than [besideOneAnother] at a time. length is about how
// long it takes: the longest begin first, so that in the end none is left to run alone.
// What measures, or must be answered in time, runs by itself.
func beside(t *testing.T, length time.Duration) {
	t.Helper()
	mine := shared.lanes.queue(length)
	t.Parallel() // from here on all that run beside one another are in the queue
	t.Cleanup(shared.lanes.leave)
	shared.lanes.enter(mine)
}

// lanes let so many run at a time, the longest first.
type lanes struct {
	mu      sync.Mutex
	busy    int
	waiting []*turn // the longest first
}

type turn struct {
	length time.Duration
	begins chan struct{} // closed
}

func (l *lanes) queue(length time.Duration) *turn {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := &turn{length, make(chan struct{})}
	at, _ := slices.BinarySearchFunc(l.waiting, mine, func(a, b *turn) int { return cmp.Compare(b.length, a.length) })
	l.waiting = slices.Insert(l.waiting, at, mine)
	return mine
}

func (l *lanes) enter(mine *turn) {
	l.next(0)
	<-mine.begins
}

func (l *lanes) leave() { l.next(-1) }

// next has more begin after so many came.
func (l *lanes) next(came int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy += came
	for ; l.busy < besideOneAnother() && len(l.waiting) > 0; l.busy++ {
		close(l.waiting[0].begins)
		l.waiting = l.waiting[1:]
	}
}

func TestTheLongestBeginFirst(t *testing.T) {
	t.Parallel()
	var l lanes
	var turns []*turn
	for i := range 3 * besideOneAnother() {
		turns = append(turns, l.queue(time.Duration(i)*time.Second))
	}
	l.enter(turns[len(turns)-1])
	for begun := besideOneAnother(); begun <= len(turns); begun++ {
		for i, each := range turns {
			select {
			case <-each.begins:
				if i < len(turns)-begun {
					t.Errorf("number %d of %d begins among the first %d", i, len(turns), begun)
				}
			default:
				if i >= len(turns)-begun {
					t.Errorf("number %d of %d does not begin among the first %d", i, len(turns), begun)
				}
			}
		}
		l.leave()
	}
}
