package playground

import (
	"time"
)

// Database tells about user's database from memory.
func (m *Manager) Database(user User) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.users[user]; ok {
		return m.status(e)
	}
	return m.absent(user)
}

// absent describes a user without an entry: there is no database, perhaps because it
// could not start. m.mu is held.
func (m *Manager) absent(user User) Status {
	s := Status{User: user, State: StateNone}
	if reason, ok := m.failures.reason(user); ok {
		s.State, s.Reason = StateFailed, reason
	}
	return s
}

// Follow tells about user's database, and gives a channel that is closed when there is
// news of it; then ask again.
func (m *Manager) Follow(user User) (Status, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.users[user]; ok {
		return m.status(e), e.news()
	}
	return m.absent(user), m.entered
}

// Databases tells about all of them, in no order.
func (m *Manager) Databases() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Status, 0, len(m.users))
	for _, e := range m.users {
		all = append(all, m.status(e))
	}
	return all
}

// Counts returns the number of databases in each state.
func (m *Manager) Counts() map[State]int {
	counts := map[State]int{StateNone: 0, StateCreating: 0, StateReady: 0, StateFailed: 0}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.users {
		counts[m.status(e).State]++
	}
	return counts
}

// status describes e. m.mu is held.
func (m *Manager) status(e *entry) Status {
	s := Status{
		User: e.user, Client: e.client(), Reason: e.db.Reason, Created: e.db.Created, DataSince: e.db.DataSince,
		LastHeartBeat: latest(e.beat, e.db.LastUse),
	}
	switch {
	case e.op != nil && e.op.brings:
		s.State, s.Stage, s.Ahead = StateCreating, e.db.Stage, m.queue.ahead(e.op.ticket)
		if s.Ahead > 0 {
			s.Stage = Queued
		}
	case m.isReady(e) || e.db.Phase == Ready && e.op == nil:
		s.State, s.Reason = StateReady, ""
	case e.db.Phase == Failed && e.doubt() == 0:
		s.State = StateFailed
	case e.db.Phase == Starting || e.db.Phase == Missing || e.db.Phase == Failed:
		s.State = StateCreating
	default:
		s.State = StateNone
	}
	if reason, ok := m.failures.reason(e.user); ok && s.State != StateReady && e.op == nil {
		s.State, s.Reason = StateFailed, reason
	}
	if e.db.Address != "" && s.State == StateReady {
		s.Address, s.DataSource = e.db.Address, DataSource(e.db.Address)
	}
	switch {
	case m.options.IdleTimeout == 0 || e.db.Phase == None:
	case e.db.Phase == Released:
		s.Expires = e.db.ReleasedAt.Add(m.options.KeepAddress)
	default:
		s.Expires = m.lastUse(e).Add(m.options.IdleTimeout)
	}
	return s
}

func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
