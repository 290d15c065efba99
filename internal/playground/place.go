package playground

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"
)

// How the limits hold when several replicas count.
//
// Creating a record, or taking it back from a release, is the place in line: all
// replicas watch all records, and the cluster tells each of them of the changes in one
// order. A replica that wants a place therefore asks for it first, waits until its own
// watch has told of that, and then counts the databases before it. Of two that ask at
// once, the later one in the cluster's order sees the earlier, whichever replica it
// comes from, so there are never more than the limit; the first in line gets the place.
// Who finds no place gives the record back.
//
// A memory of pods that were seen says who had a place before: it is never taken away,
// also when the limit is lower than it was.

// limited reports whether anything is counted before a database is made.
func (m *Manager) limited() bool {
	return m.options.MaxDatabases > 0 || m.options.MaxPerGateway > 0
}

// place is where an entry stands in the line of those who want a database.
type place struct {
	record string // UID of the record that the watch told of last; "" for none
	phase  Phase  // and the phase
	turn   int    // when the watch told that it is alive; 0: it did not. What came at once has one turn
	held   bool   // it has its place: it was counted here, or somebody made its pod
}

// lineUp notes in e.place what the cluster says, before it is in e.db. turn is that of the
// watch's news; 0 if db was read otherwise, which says nothing of the order.
func (e *entry) lineUp(db Database, turn int) {
	if turn > 0 {
		e.place.record, e.place.phase = db.Record.UID, db.Phase
	}
	if !db.Alive() || db.Record.UID != e.db.Record.UID {
		e.place.turn, e.place.held = 0, false
	}
	if db.Alive() && e.place.turn == 0 {
		e.place.turn = turn
	}
	switch db.Phase {
	case Starting, Ready, Failed:
		e.place.held = true
	}
}

// after reports whether e stands in line behind other. One that has its place, or whose
// order is not known, is not behind anybody.
func (e *entry) after(other *entry) bool {
	switch {
	case other == nil || other.place.turn == 0 || e.place.turn == 0 || e.place.held:
		return false
	case e.place.turn != other.place.turn:
		return e.place.turn > other.place.turn
	case !e.abandoned() || !other.abandoned():
		return false // the replicas that made them may know better
	case !e.db.Created.Equal(other.db.Created):
		return e.db.Created.After(other.db.Created)
	}
	return e.user > other.user
}

// abandoned: e's record is so old that whoever made it would have made the pod as well.
func (e *entry) abandoned() bool {
	return time.Since(latest(e.db.Created, e.db.LastUse)) >= orphaned
}

// client is the gateway certificate that asked for e's database; "" if that is not counted.
func (e *entry) client() string {
	if e.db.Record == (Version{}) && e.op != nil {
		return e.op.client
	}
	return e.db.Client
}

// room refuses a place to e, which client asked for, if those before it have them all. For
// one that stands in no line yet (e may be nil) all others are before it, also those that
// this replica is still about to make. m.mu is held.
func (m *Manager) room(e *entry, client string) error {
	if !m.limited() {
		return nil
	}
	inLine := e != nil && e.place.turn > 0
	all, own := 0, 0
	for _, other := range m.users {
		coming := !inLine && other.op != nil && other.op.brings
		if other == e || !coming && (!other.db.Alive() || other.after(e)) {
			continue
		}
		all++
		if client != "" && other.client() == client {
			own++
		}
	}
	switch limit, each := m.options.MaxDatabases, m.options.MaxPerGateway; {
	case limit > 0 && all >= limit:
		return &Error{Code: Full, Message: fmt.Sprintf("all %d databases of this playground are in use; one becomes free when its user has been idle", limit), RetryAfter: spread(30 * time.Second)}
	case each > 0 && own >= each:
		return &Error{Code: Full, Message: fmt.Sprintf("all %d databases that the gateway %q may have at once are in use; one becomes free when its user has been idle", each, client), RetryAfter: spread(30 * time.Second)}
	}
	return nil
}

// place waits until it is known who is before b's database, and counts them. A database
// that has its place, or needs none because nothing is limited, passes.
func (b *bringing) place(ctx context.Context) error {
	m, e := b.m, b.e
	if !m.limited() {
		return nil
	}
	for reclaimed := false; ; {
		m.mu.Lock()
		phase, changed := e.db.Phase, e.news()
		told := e.place.record != b.before && e.place.phase == phase
		known := told && (e.place.held || e.place.turn > 0)
		var full error
		if known && !e.place.held {
			full = m.room(e, e.client())
			e.place.held = full == nil
		}
		m.mu.Unlock()
		switch {
		case full != nil:
			b.giveBack(ctx, reclaimed)
			return full
		case known:
			return nil
		case phase == Released && !reclaimed:
			if err := m.cluster.Reclaim(ctx, e.user); err != nil {
				return b.vanished(err)
			}
			reclaimed = true
		default:
			if err := b.news(ctx, changed); err != nil {
				return err
			}
		}
	}
}

// news waits for the watch alone, for nothing else tells the order; it only makes sure
// now and then that there is still something to wait for.
func (b *bringing) news(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	db, err := b.m.cluster.Get(ctx, b.e.user)
	if err == nil && db.Record == (Version{}) {
		err = ErrNoRecord
	}
	return b.vanished(err)
}

// giveBack undoes what asked for a place. What cannot be undone stays in line, and is
// brought up once it has a place.
func (b *bringing) giveBack(ctx context.Context, reclaimed bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var err error
	switch {
	case b.claimed:
		err = b.m.remove(ctx, b.e.user, false)
	case reclaimed:
		err = b.releaseAgain(ctx)
	}
	if err != nil {
		b.m.log.WithFields(logrus.Fields{"user": b.e.user.String()}).WithError(err).Warn("a database that found no place could not be taken out of the line")
	}
}

// releaseAgain makes a record that was reclaimed released as before. A heart beat, which
// is what asks for a released database, may be written at the same moment.
func (b *bringing) releaseAgain(ctx context.Context) error {
	for {
		db, changed := b.m.look(b.e)
		if db.Phase != Missing {
			return nil
		}
		if err := b.m.cluster.Release(ctx, db, time.Now()); !errors.Is(err, ErrConflict) {
			return err
		}
		if err := b.news(ctx, changed); err != nil {
			return err
		}
	}
}

// vanished says of ErrNoRecord that somebody deleted the database.
func (b *bringing) vanished(err error) error {
	if errors.Is(err, ErrNoRecord) {
		return &Error{Code: Interrupted, Message: "the database was deleted while it was being created", RetryAfter: time.Second}
	}
	return err
}
