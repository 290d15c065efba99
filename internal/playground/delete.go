package playground

import (
	"context"
	"time"
)

// Delete removes user's database, its address and its record, and with purge its data
// where that is on a volume, and returns when they are gone. A creation in flight is
// interrupted. That there was none is no error.
func (m *Manager) Delete(ctx context.Context, c Client, user User, purge bool) error {
	if !c.MayActFor(user) {
		return forbidden()
	}
	for {
		m.mu.Lock()
		e, known := m.users[user]
		if !known {
			e = m.enter(user)
		}
		op := e.op
		if op == nil {
			op = m.takeAway(e, func(ctx context.Context) error { return m.remove(ctx, user, purge) })
			m.mu.Unlock()
			select {
			case <-op.done:
				return op.err
			case <-ctx.Done():
				return &Error{Code: Unavailable, Message: "the database is still being removed", RetryAfter: 5 * time.Second}
			}
		}
		if op.brings {
			op.cancel(&Error{Code: Interrupted, Message: "the database was deleted while it was being created"})
		}
		m.mu.Unlock()
		select {
		case <-op.done:
		case <-ctx.Done():
			return &Error{Code: Unavailable, Message: "another operation for this user is still in flight", RetryAfter: 5 * time.Second}
		}
	}
}

// remove deletes everything of user, and takes the cluster's word that it is gone
// before the watch tells it.
func (m *Manager) remove(ctx context.Context, user User, purge bool) error {
	if err := m.cluster.Remove(ctx, user, purge); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures.forget(user)
	if e, known := m.users[user]; known && e.db.Phase != Leaving {
		e.db = Database{User: user}
		e.place.turn, e.place.held = 0, false
		e.beat, e.seen, e.ready, e.answered, e.dirty = time.Time{}, time.Time{}, false, "", false
	}
	return nil
}
