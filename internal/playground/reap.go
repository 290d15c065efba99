package playground

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// orphaned is how old a record without a pod must be before it is healed when this
	// server never saw the pod ready: until then the replica that made it is at work.
	orphaned = 30 * time.Second
	// askers is how many databases are asked about their use at once.
	askers = 8
	// reapers is how many databases are marked or released at once.
	reapers = 500
)

// heal begins to bring e's database back. m.mu is held.
func (m *Manager) heal(e *entry, why string) {
	m.log.WithFields(logrus.Fields{"audit": "heal", "user": e.user.String(), "reason": why}).Info("bringing a database back")
	m.bringUp(e, "", func(ctx context.Context, op *operation) error {
		err := m.bring(ctx, e, op)
		if err != nil {
			m.log.WithFields(logrus.Fields{"user": e.user.String()}).WithError(err).Warn("a database could not be brought back")
		}
		return err
	})
}

// healIfDue begins to make e's pod or service anew if its record is alive and they
// vanished or broke, or if it was released though it was used. m.mu is held.
func (m *Manager) healIfDue(e *entry) {
	if e.op != nil || m.closing || m.stale != nil || e.db.Record == (Version{}) {
		return
	}
	homeless := e.db.Phase == Ready && e.db.Address == "" // its service was deleted
	wronged := m.releasedInUse(e)
	if e.db.Phase != Missing && e.db.Phase != Failed && !homeless && !wronged {
		return
	}
	select {
	case <-m.synced:
	default:
		return
	}
	if e.doubt() > 0 {
		return // a pass looks at it again
	}
	if time.Now().Before(e.healAt) || !wronged && m.inOthersHands(e) || !m.admitAgain(e) {
		return
	}
	why := string(e.db.Phase)
	if wronged {
		why = "used at the last moment"
	}
	m.heal(e, why)
}

// inOthersHands reports whether the replica that made e's record may still be at work: it
// makes the pod, or takes the record back because there is no place for it. m.mu is held.
func (m *Manager) inOthersHands(e *entry) bool {
	if m.limited() && !e.place.held && !e.abandoned() {
		return true
	}
	return !e.ready && time.Since(e.db.Created) < orphaned
}

// releasedInUse reports whether a reaper took e though a request used it: the request
// came to this replica so late that the reaper's write was there before ours. The user
// was told that the database is kept, and may be silent from now on. It does not matter
// when this replica hears of the release. A beat that could not bring a released database
// back, because there was no place, counts as well. Both count as long as a beat keeps a
// database, or as long as one may take to come up; who is silent for longer has gone.
// m.mu is held.
func (m *Manager) releasedInUse(e *entry) bool {
	return e.db.Phase == Released && !e.beat.IsZero() && e.db.ReleasedAt.Sub(e.beat) < m.options.IdleTimeout &&
		time.Since(e.beat) < max(m.options.IdleTimeout, m.options.StartLimit)
}

// admitAgain applies the limits to a database that is brought up without being asked for;
// one that has to wait is looked at again at the next pass. m.mu is held.
func (m *Manager) admitAgain(e *entry) bool {
	err := m.admit(e, "")
	if err == nil {
		return true
	}
	if !e.refused {
		e.refused = true
		m.log.WithFields(logrus.Fields{"user": e.user.String()}).WithError(err).Warn("a database cannot be brought back yet")
	}
	e.healAt = time.Now().Add(m.options.FlushInterval)
	return false
}

// housekeep makes a pass over all databases at every flush interval until ctx ends.
// Whatever goes wrong in one pass, the next one comes.
func (m *Manager) housekeep(ctx context.Context) {
	ticker := time.NewTicker(m.options.FlushInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := guarded(func() error { return m.pass(ctx) }); err != nil && ctx.Err() == nil {
			m.log.WithError(err).Warn("the pass over idle databases was cut short; the next one tries again")
		}
		ticker.Reset(m.options.FlushInterval) // the next one does not follow a long one at once
	}
}

// pass heals what is due, and, if this replica leads, asks the databases about their
// use and takes those that are idle.
func (m *Manager) pass(ctx context.Context) error {
	if m.Fresh() != nil {
		return nil // what is not known to be idle now is not touched
	}
	m.mu.Lock()
	for _, e := range m.users {
		m.healIfDue(e)
	}
	m.mu.Unlock()
	if m.options.IdleTimeout == 0 || time.Since(m.begun) < m.options.Grace {
		return nil
	}
	leads, err := m.leads(ctx)
	if err != nil || !leads {
		return err
	}
	m.ask(ctx)
	return m.reapAll(ctx, m.idle())
}

// reapAll reaps many at once: a whole class that went home takes the cluster a handful
// of calls, because it joins those that come together.
func (m *Manager) reapAll(ctx context.Context, idle []*entry) error {
	errs := make([]error, len(idle))
	turns := make(chan struct{}, reapers)
	var group sync.WaitGroup
	for i, e := range idle {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			errs[i] = guarded(func() error { return m.reap(ctx, e) })
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err // the others most likely failed for the same reason
		}
	}
	return nil
}

// lastUse is the newest of creation, heart beat and signs of use. m.mu is held.
func (m *Manager) lastUse(e *entry) time.Time {
	return latest(e.db.Created, e.db.PodSince, e.db.LastUse, e.beat, e.seen)
}

// ask asks every database that no request used lately whether it is used. Each is
// asked often enough that several answers fall into one idle time-out, and one that is
// about to be taken at every pass; but one that does not answer takes seconds.
func (m *Manager) ask(ctx context.Context) {
	every := max(m.options.IdleTimeout/24, m.options.FlushInterval/2)
	now := time.Now()
	m.mu.Lock()
	due := make(chan *entry, len(m.users))
	for _, e := range m.users {
		quiet := now.Sub(latest(e.beat, e.db.LastUse)) > every
		longest := m.options.IdleTimeout
		if !e.told {
			longest = m.options.MaxIdle
		}
		over := now.Sub(m.lastUse(e)) >= longest
		if e.op == nil && e.db.Phase == Ready && e.db.Address != "" && (over || quiet && now.Sub(e.asked) >= every) {
			due <- e
		}
	}
	m.mu.Unlock()
	close(due)
	var group sync.WaitGroup
	for range askers {
		group.Go(func() {
			for e := range due {
				m.askOne(ctx, e)
			}
		})
	}
	group.Wait()
}

// askOne notes what e's database tells of its use.
func (m *Manager) askOne(ctx context.Context, e *entry) {
	db, _ := m.look(e)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	got, err := m.prober.Activity(ctx, db.Address)
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.db.Pod.UID != db.Pod.UID {
		return
	}
	e.asked, e.told, e.unused = now, err == nil, false
	if err != nil {
		return // what it said before is compared with what it says next
	}
	m.reached, m.blind = true, false
	before := e.activity
	e.activity = &got
	switch {
	case got.Threads > 0 || before != nil && got.Connections > before.Connections:
		e.seen = now
		e.dirty = true // the other replicas learn of it from the record
	case before != nil && got.Connections == before.Connections:
		e.unused = true
	default: // the first answer, or that of a MySQL that began anew: the next one will tell
	}
}

// idle lists the databases that a reaper has to look at.
func (m *Manager) idle() []*entry {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*entry
	for _, e := range m.users {
		since := now.Sub(m.lastUse(e))
		switch {
		case e.op != nil || e.db.Record == (Version{}):
		case e.db.Phase == Leaving: // it is taken already
		case e.db.Phase == Starting && now.Sub(e.db.PodSince) < m.options.StartLimit: // somebody waits, perhaps at another replica
		case e.db.Phase == Missing && since < m.options.StartLimit: // and that one may be about to make the pod
		case e.db.Phase == Released:
			if now.Sub(latest(e.db.ReleasedAt, e.beat)) >= m.options.KeepAddress {
				all = append(all, e)
			}
		case since >= m.options.IdleTimeout:
			all = append(all, e)
		}
	}
	return all
}

// reap does the next thing to an idle database: announce that it will be taken, take
// it when the announcement has stood for a flush interval, or give its address up.
// Any use in between, here or at another replica, changes the record, and the
// cluster then refuses the version that the reaper holds.
func (m *Manager) reap(ctx context.Context, e *entry) error {
	now := time.Now()
	m.mu.Lock()
	db, told := e.db, e.told && now.Sub(e.asked) < m.options.FlushInterval
	unused := told && e.unused
	since := now.Sub(m.lastUse(e))
	m.mu.Unlock()
	reason := ReapIdle
	if db.Phase == Ready && !unused {
		if told || since < m.options.MaxIdle {
			return nil // it may be in use; ask again
		}
		reason = ReapUnasked
	}
	log := m.log.WithFields(logrus.Fields{"audit": "reap", "user": e.user.String(), "reason": reason,
		"idle": since.Round(time.Second).String(), "age": now.Sub(db.Created).Round(time.Second).String()})
	switch {
	case db.Phase == Released:
		return m.take(ctx, e, db, ReapAddress, log, func(ctx context.Context) error { return m.remove(ctx, e.user, false) })
	case db.Marked.IsZero():
		err := m.cluster.Mark(ctx, db, now)
		if errors.Is(err, ErrConflict) {
			return nil // it was used meanwhile
		}
		if err == nil {
			log.Info("an idle database will be released")
		}
		return err
	case now.Sub(db.Marked) < m.options.FlushInterval:
		return nil
	default:
		return m.take(ctx, e, db, reason, log, func(ctx context.Context) error { return m.cluster.Release(ctx, db, now) })
	}
}

// take runs away as e's one operation, unless e was used or something began meanwhile.
func (m *Manager) take(ctx context.Context, e *entry, db Database, reason string, log logrus.FieldLogger, away func(context.Context) error) error {
	used := db.Marked
	if db.Phase == Released {
		used = time.Now().Add(-m.options.KeepAddress)
	}
	m.mu.Lock()
	if e.op != nil || e.db.Record != db.Record || e.beat.After(used) {
		m.mu.Unlock()
		return nil
	}
	op := m.takeAway(e, func(ctx context.Context) error {
		err := away(ctx)
		if errors.Is(err, ErrConflict) {
			log.Info("not released: it was used at the last moment")
			return nil
		}
		if err == nil {
			m.recorder.Reaped(reason)
			log.WithField("reason", reason).Info("released")
		}
		return err
	})
	m.mu.Unlock()
	select {
	case <-op.done:
		return op.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
