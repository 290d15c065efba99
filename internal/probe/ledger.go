package probe

import (
	"context"
	"sync"
	"time"
)

const (
	// pendingMax bounds the connections of one address whose server process is not
	// known yet. More of them are counted for the present process.
	pendingMax = 64
	// restartSlack is how far a start computed from a whole number of seconds and
	// two clocks may move before it is another start.
	restartSlack = 5 * time.Second
)

// A ledger counts our own connections by address, so that they can be taken off
// what a server counts. When in doubt it counts one too few: the database then
// looks used once more than it was, and is kept.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
}

// An entry is one address's page. Who holds its turn may read and write it.
type entry struct {
	turn  chan struct{}
	users int       // who hold or wait for the turn; guarded by ledger.mu
	used  time.Time // guarded by ledger.mu

	// The server process that was asked last.
	started     time.Time // when it began, as computed last; zero if none was asked
	connections int64     // what it had counted
	own         int64     // how many of them were ours

	// Our connections since then, which may be to this process or to its successor.
	pending []time.Time
}

// take waits for the turn at address's entry, so that what a server counts and what
// we count cannot pass each other. The holder must call give.
func (l *ledger) take(ctx context.Context, address string, at time.Time, limit int) (*entry, error) {
	l.mu.Lock()
	e := l.entries[address]
	if e == nil {
		if l.entries == nil {
			l.entries = map[string]*entry{}
		}
		if len(l.entries) >= limit {
			l.forget()
		}
		e = &entry{turn: make(chan struct{}, 1)}
		l.entries[address] = e
	}
	e.used = at
	e.users++
	l.mu.Unlock()

	select {
	case e.turn <- struct{}{}:
		return e, nil
	case <-ctx.Done():
		l.left(e)
		return nil, context.Cause(ctx)
	}
}

func (l *ledger) give(e *entry) {
	<-e.turn
	l.left(e)
}

func (l *ledger) left(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.users--
}

// forget drops the address that was not used for longest, of those not in use now.
func (l *ledger) forget() {
	oldest := ""
	for address, e := range l.entries {
		if e.users == 0 && (oldest == "" || e.used.Before(l.entries[oldest].used)) {
			oldest = address
		}
	}
	delete(l.entries, oldest)
}

// connected notes one connection of ours.
func (e *entry) connected(at time.Time) {
	if len(e.pending) == pendingMax {
		e.own++
		e.pending = append(e.pending[:0], e.pending[1:]...)
	}
	e.pending = append(e.pending, at)
}

// settle takes a server's answer at asked into account and returns how many of the
// connections that its process counted were ours.
func (e *entry) settle(asked time.Time, connections int64, uptime time.Duration) int64 {
	started := asked.Add(-uptime)
	// The start is compared with the one computed last, so that clocks may drift.
	if started.Sub(e.started).Abs() > restartSlack || connections < e.connections {
		e.own = 0
		for _, at := range e.pending {
			// Uptime is cut to whole seconds, so the start may be up to one later.
			if at.After(started.Add(time.Second)) {
				e.own++
			}
		}
	} else {
		e.own += int64(len(e.pending))
	}
	e.started = started
	e.connections = connections
	e.pending = e.pending[:0]
	return e.own
}
