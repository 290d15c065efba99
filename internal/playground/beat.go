package playground

import (
	"context"
	"net/url"
	"slices"
	"time"
)

// Beat renews the lease of the user whom raw means, and returns whom to greet. raw is
// the value of user_id as it stands in the URL's query, undecoded: the notebook plugin
// pastes the id there without escaping it, so a beat may mean several ids, and every
// known one among those that c may act for is renewed. A database that was released
// is brought back in the background; an unknown id creates nothing.
// The only error is an [*Error] of code [Forbidden].
func (m *Manager) Beat(c Client, raw string) (User, error) {
	decoded, err := url.QueryUnescape(raw)
	if err != nil {
		decoded = raw
	}
	if c.Power == OneUser {
		if decoded != string(c.User) && !mayMean(c.User, raw) {
			return "", forbidden()
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.renew(c.User)
		m.recorder.Beat()
		return c.User, nil
	}
	if !c.MayActFor(User(decoded)) {
		return "", forbidden()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.renew(User(decoded))
	for _, form := range forms(raw) {
		if form != decoded {
			m.renew(User(form))
		}
		for _, user := range m.mangled[form] {
			m.renew(user)
		}
	}
	m.recorder.Beat()
	return User(decoded), nil
}

// mayMean reports whether raw is what arrives when a client pastes user into a URL,
// escaping nothing, or some of it, of what it should.
func mayMean(user User, raw string) bool {
	all := forms(raw)
	return slices.Contains(all, string(user)) || slices.Contains(all, user.unescaped())
}

// forms are the texts that a value in a URL's query can stand for: as it is, with its
// percent signs decoded, and decoded as a form, where "+" is a blank.
func forms(raw string) []string {
	all := []string{raw}
	for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
		if s, err := decode(raw); err == nil && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// renew notes that user's database is used now, if there is one. m.mu is held.
func (m *Manager) renew(user User) {
	e, ok := m.users[user]
	if !ok {
		return
	}
	m.use(e)
	if e.op == nil && m.stale == nil && e.db.Phase == Released && !time.Now().Before(e.healAt) {
		if !m.admitAgain(e) {
			return
		}
		m.heal(e, "released")
	}
}

// use notes that e is used now, and has it written at once where that matters: a
// reaper announced itself, or the time-out that the record shows is half over. m.mu is held.
func (m *Manager) use(e *entry) {
	now := time.Now()
	e.beat = now
	if e.dirty && e.db.Marked.IsZero() {
		return
	}
	e.dirty = true
	old := m.options.IdleTimeout > 0 && now.Sub(e.db.LastUse) > m.options.IdleTimeout/2
	if old || !e.db.Marked.IsZero() {
		m.flushNow()
	}
}

// flushNow has the flush loop write without waiting for its interval.
func (m *Manager) flushNow() {
	select {
	case m.kick <- struct{}{}:
	default: // one is due already
	}
}

// flushLoop writes last uses to the cluster: at every interval, and when kicked.
func (m *Manager) flushLoop(ctx context.Context) {
	ticker := time.NewTicker(m.options.FlushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-m.kick:
		}
		if err := guarded(func() error { m.flush(ctx); return nil }); err != nil {
			m.log.WithError(err).Error("writing last uses")
		}
	}
}

// flush writes all last uses that are not in the cluster yet, in one call.
func (m *Manager) flush(ctx context.Context) {
	m.mu.Lock()
	now := time.Now() // not before the lock: a beat that waits for it too is to be in time
	var users []User
	for user, e := range m.users {
		if e.dirty && e.db.Record != (Version{}) {
			users = append(users, user)
			e.dirty = false
		}
	}
	m.mu.Unlock()
	if len(users) == 0 {
		return
	}
	slices.Sort(users)
	err := m.cluster.Touch(ctx, now, users)
	if err == nil {
		return
	}
	m.log.WithError(err).WithField("databases", len(users)).Warn("last uses could not be written; the next pass tries again")
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, user := range users {
		if e, ok := m.users[user]; ok {
			e.dirty = true
		}
	}
}
