package playground

import (
	"context"
	"fmt"
	"time"
)

// Create returns user's database once it answers queries. One that is ready is
// answered from memory, a creation in flight is joined, a released database is
// brought back at its address. After Options.CreateTimeout the answer is an
// [*Error] of code [StillCreating] while the creation goes on for the next call to
// join. Other codes: [Forbidden], [Full], [Maintenance], [Unavailable],
// [CannotStart] (the cluster's own words), [Interrupted].
func (m *Manager) Create(ctx context.Context, c Client, user User) (Status, error) {
	if !c.MayActFor(user) {
		return Status{}, forbidden()
	}
	ctx, cancel := context.WithTimeout(ctx, m.options.CreateTimeout)
	defer cancel()
	select {
	case <-m.synced:
	case <-ctx.Done():
		return Status{}, &Error{Code: Unavailable, Message: "the state of the cluster is still being read", RetryAfter: spread(2 * time.Second)}
	}
	for {
		op, status, err := m.join(c, user)
		if op == nil {
			return status, err
		}
		select {
		case <-op.done:
		case <-ctx.Done():
			ahead := m.queue.ahead(op.ticket)
			return Status{}, &Error{Code: StillCreating, Message: m.progress(user, ahead), RetryAfter: spread(2 * time.Second), Ahead: ahead}
		}
		if op.brings {
			if op.err != nil {
				return Status{}, op.err
			}
			if status, known := m.answer(user); !known {
				return Status{}, &Error{Code: Interrupted, Message: "the database was deleted meanwhile", RetryAfter: time.Second}
			} else if status.DataSource != "" {
				return status, nil
			}
		}
		// What took it away is done, or it changed as it answered: it is brought up now.
	}
}

// answer notes a use of user's database and describes it. It is not known when it was
// deleted meanwhile, and has no data source when it is no longer ready.
func (m *Manager) answer(user User) (status Status, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, known := m.users[user]
	if !known {
		return Status{}, false
	}
	m.use(e)
	return m.status(e), true
}

// join answers for a ready database, or returns the operation to wait for, which it
// begins if there is none.
func (m *Manager) join(c Client, user User) (*operation, Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, known := m.users[user]
	if known {
		if e.op != nil {
			return e.op, Status{}, nil
		}
		if m.isReady(e) && m.stale == nil {
			m.use(e)
			return nil, m.status(e), nil
		}
	}
	if err := m.admit(e, c.counted()); err != nil {
		return nil, Status{}, err
	}
	if !known {
		e = m.enter(user)
	}
	return m.bringUp(e, c.counted(), func(ctx context.Context, op *operation) error { return m.bring(ctx, e, op) }), Status{}, nil
}

// admit applies the limits to a creation for e (nil: a user without an entry) that client
// asks for. It only spares the cluster a creation that is in vain: what counts in the end
// is bringing.place. m.mu is held.
func (m *Manager) admit(e *entry, client string) error {
	if e != nil && e.db.Alive() && e.place.held {
		return nil
	}
	if m.options.Maintenance && (e == nil || e.db.Phase == None) {
		return &Error{Code: Maintenance, Message: "the playground is in maintenance: databases that exist work, new ones are not made", RetryAfter: spread(5 * time.Minute)}
	}
	if e != nil && e.db.Record != (Version{}) {
		client = e.db.Client
	}
	return m.room(e, client)
}

// isReady reports whether e's database answered a query and its pod is still ready. m.mu is held.
func (m *Manager) isReady(e *entry) bool {
	return e.db.Phase == Ready && e.db.Address != "" && e.answered == e.db.Pod.UID
}

// progress says why a database is not ready yet.
func (m *Manager) progress(user User, ahead int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e, ok := m.users[user]; {
	case ahead > 0:
		return fmt.Sprintf("the database waits in line, %d before it; ask again to go on waiting", ahead)
	case ok && e.db.Reason != "":
		return "the database is still coming up (" + e.db.Reason + "); ask again to go on waiting"
	}
	return "the database is still coming up; ask again to go on waiting"
}
