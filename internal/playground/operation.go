package playground

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// operation is the one thing in flight for a user.
type operation struct {
	brings bool   // it brings the database up; otherwise it takes it away
	client string // the gateway certificate that asked for it; "" for none that is counted
	cancel context.CancelCauseFunc
	done   chan struct{} // closed at the end, when err is set
	err    error
	ticket *ticket
}

// bringUp begins to bring e's database up, for client if there is none yet. Who is first
// here is first in the queue. m.mu is held.
func (m *Manager) bringUp(e *entry, client string, run func(context.Context, *operation) error) *operation {
	e.refused = false
	return m.begin(e, &operation{brings: true, client: client}, run)
}

// takeAway begins to take e's database away. m.mu is held.
func (m *Manager) takeAway(e *entry, run func(context.Context) error) *operation {
	return m.begin(e, &operation{}, func(ctx context.Context, _ *operation) error { return run(ctx) })
}

// begin starts the one operation of e. m.mu is held.
func (m *Manager) begin(e *entry, op *operation, run func(context.Context, *operation) error) *operation {
	ctx, cancel := context.WithCancelCause(m.work)
	op.cancel, op.done, op.ticket = cancel, make(chan struct{}), &ticket{}
	if m.closing {
		op.err = &Error{Code: Interrupted, Message: "the server stops; ask again", RetryAfter: 2 * time.Second}
		cancel(nil)
		close(op.done)
		return op
	}
	if op.brings {
		m.queue.line(op.ticket)
	}
	e.op = op
	e.tell()
	m.group.Go(func() {
		defer cancel(nil)
		err := guarded(func() error { return run(ctx, op) })
		m.mu.Lock()
		defer m.mu.Unlock()
		op.err = err
		e.op = nil
		close(op.done)
		e.tell()
		if err == nil && op.brings {
			e.backoff, e.healAt = 0, time.Time{}
		} else if err != nil {
			e.backoff = min(max(2*e.backoff, 5*time.Second), 10*time.Minute)
			e.healAt = time.Now().Add(e.backoff)
		}
		m.healIfDue(e)
		m.forgetIfGone(e)
	})
	return op
}

// guarded turns a panic into an error, so that one bad operation or pass does not end the server.
func guarded(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run()
}
