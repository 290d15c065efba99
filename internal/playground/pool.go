package playground

import (
	"context"
	"time"
)

// PoolStatus tells about the databases that are made ahead: how many there are to be and
// how many there are.
type PoolStatus struct {
	Want int
	Spares
}

// Pool tells about the databases made ahead, from memory.
func (m *Manager) Pool() PoolStatus {
	s := PoolStatus{Want: m.options.Pool}
	if pool, ok := m.cluster.(Pool); ok {
		s.Spares, _ = pool.Spares()
	}
	return s
}

// keepPool keeps Options.Pool spares there until ctx ends, as long as this replica leads.
// Databases that somebody waits for come first: while one is being made, no spare is.
func (m *Manager) keepPool(ctx context.Context) {
	pool, ok := m.cluster.(Pool)
	if !ok {
		return
	}
	select {
	case <-m.synced:
	case <-ctx.Done():
		return
	}
	ticker := time.NewTicker(m.options.FlushInterval)
	defer ticker.Stop()
	var rest time.Duration // after trouble, before it is tried again
	for {
		spares, changed := pool.Spares()
		full := spares == Spares{Ready: m.options.Pool}
		if full {
			rest = 0
		}
		if (!full || m.options.PoolMaxAge > 0) && m.mayRestock(ctx) {
			err := guarded(func() error { return pool.Restock(ctx, m.options.Pool, m.options.PoolMaxAge) })
			if err != nil && ctx.Err() == nil {
				m.log.WithError(err).Warn("the pool of databases made ahead could not be filled; it is tried again")
			}
			if err != nil || spares.Bad > 0 { // what broke once may break again
				rest = min(max(2*rest, 5*time.Second), 10*time.Minute)
				if !sleep(ctx, rest) {
					return
				}
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-m.queue.calm:
		case <-ticker.C:
		}
	}
}

// mayRestock reports whether this replica is the one that fills the pool, and it makes
// no database for anybody.
func (m *Manager) mayRestock(ctx context.Context) bool {
	if m.Fresh() != nil || m.queue.busy() {
		return false
	}
	leads, err := m.leads(ctx)
	return err == nil && leads
}

// sleep waits for d and reports whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
