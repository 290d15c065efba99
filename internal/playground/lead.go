package playground

import (
	"context"
	"sync"
	"time"
)

// leading is what this replica knew last of who leads.
type leading struct {
	mu    sync.Mutex
	leads bool
	asked time.Time
}

// leads reports whether this replica is the one that reaps and fills the pool.
func (m *Manager) leads(ctx context.Context) (bool, error) {
	l := &m.leading
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.asked) < m.options.FlushInterval/2 {
		return l.leads, nil
	}
	leads, err := m.cluster.Lead(ctx, 3*m.options.FlushInterval)
	if err == nil {
		l.leads, l.asked = leads, time.Now()
	}
	return leads, err
}

// resign lets another replica lead at once.
func (m *Manager) resign(ctx context.Context) {
	m.leading.mu.Lock()
	defer m.leading.mu.Unlock()
	if !m.leading.leads {
		return
	}
	if err := m.cluster.Resign(ctx); err != nil {
		m.log.WithError(err).Debug("the lead could not be given up; it lapses by itself")
	}
}
