package playground

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"
)

// bring brings e's database up: the one way to create, to heal, and to bring back. It
// looks at what the cluster said last, does the next thing that is due, and waits for
// a change, so it does not matter who made the change or where an earlier server stopped.
func (m *Manager) bring(ctx context.Context, e *entry, op *operation) (err error) {
	begun := time.Now()
	defer m.queue.leave(op.ticket)
	if err := m.queue.enter(ctx, op.ticket); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.StartLimit,
		Errorf(CannotStart, "the database was not ready after %v", m.options.StartLimit))
	defer cancel()
	defer func() {
		result := "ready"
		if err != nil {
			result = string(AsError(err).Code)
		}
		m.recorder.Created(result, time.Since(begun).Seconds())
	}()

	b := bringing{m: m, e: e, ticket: op.ticket}
	if err = b.claim(ctx, op.client); err == nil {
		err = b.run(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // a call that was cut off says no more than that
	}
	if failed := AsError(err); err != nil && failed.Code == CannotStart {
		b.clean(ctx, failed)
	}
	return err
}

// bringing is the state of one [Manager.bring].
type bringing struct {
	m       *Manager
	e       *entry
	ticket  *ticket
	claimed bool   // this bringing made the record
	before  string // the record (UID) that was there before, as far as the watch knew
	old     string // the pod that was there before
	stopped bool   // old had failed and was taken away
	started bool   // a pod was asked for and has not been seen yet
	served  bool   // a service was asked for beside a pod that is ready
}

// claim makes the record if there is none.
func (b *bringing) claim(ctx context.Context, client string) error {
	b.m.mu.Lock()
	db, told := b.e.db, b.e.place.record
	b.m.mu.Unlock()
	b.old = db.Pod.UID
	if db.Record != (Version{}) {
		return nil
	}
	b.before = told
	err := b.m.cluster.Claim(ctx, b.e.user, client, time.Now())
	b.claimed = err == nil
	if errors.Is(err, ErrExists) { // the watch is behind: there may be a pod in use too
		db, err = b.read(ctx)
		b.old = db.Pod.UID
	}
	return err
}

func (b *bringing) run(ctx context.Context) error {
	for {
		db, changed := b.m.look(b.e)
		if b.onlyWaits(db) {
			b.m.queue.leave(b.ticket)
		} else if b.ticket.outside() {
			b.m.queue.line(b.ticket)
			if err := b.m.queue.enter(ctx, b.ticket); err != nil {
				return err
			}
			continue // it may have changed meanwhile
		}
		var again time.Duration // how long to wait for the watch before looking oneself
		switch db.Phase {
		case Ready:
			b.started = false
			if db.Address == "" {
				// Its service is still to come, or somebody deleted it: Start makes both.
				if !b.served {
					b.served = true
					if err := b.m.cluster.Start(ctx, b.e.user); err != nil && !errors.Is(err, ErrLeaving) {
						return err
					}
				}
				break
			}
			if err := b.answers(ctx, db, changed); !errors.Is(err, errChanged) {
				return err
			}
			continue
		case Failed:
			b.started = false
			if again = b.m.doubt(b.e); again > 0 {
				break
			}
			if db.Pod.UID != b.old || b.stopped {
				return Errorf(CannotStart, "%s", db.Reason)
			}
			if err := b.m.cluster.Stop(ctx, db); err != nil {
				return err
			}
			b.stopped = true
		case None, Missing, Released:
			if b.started {
				again = 5 * time.Second
				break
			}
			if err := b.place(ctx); err != nil {
				return err
			}
			switch err := b.m.cluster.Start(ctx, b.e.user); {
			case err == nil:
				b.started, again = true, 5*time.Second
			case errors.Is(err, ErrLeaving):
				again = 2 * time.Second
			default:
				return b.vanished(err)
			}
		case Starting, Leaving:
			b.started = false
		}
		if err := b.wait(ctx, changed, again); err != nil {
			return err
		}
	}
}

// onlyWaits reports whether all there is to do for db is to wait for a pod that was there
// before, or that goes: that can take as long as a node is away, gives the cluster no work,
// and so takes nobody's turn.
func (b *bringing) onlyWaits(db Database) bool {
	switch db.Phase {
	case Leaving:
		return true
	case Starting:
		return db.Pod.UID == b.old
	case Ready: // it is pinged; without an address, Start is due
		return db.Pod.UID == b.old && db.Address != ""
	}
	return false
}

// believed is how long a failure that may pass by itself must have stood before it
// counts: a node that was out of touch is back in less, and a notebook that waits for
// an answer hears of a failure within ten seconds all the same.
const believed = 4 * time.Second

// doubt is how long e's failure must stand yet; 0: it counts, if it is one. Manager.mu is held.
func (e *entry) doubt() time.Duration {
	if e.doubted.IsZero() {
		return 0
	}
	return max(0, believed-time.Since(e.doubted))
}

func (m *Manager) doubt(e *entry) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return e.doubt()
}

// wait returns when the database changed. Where the watch should have told something
// by now, or is known to be behind, it looks at the cluster itself.
func (b *bringing) wait(ctx context.Context, changed <-chan struct{}, again time.Duration) error {
	if again == 0 && b.m.Fresh() != nil {
		again = 5 * time.Second
	}
	var overdue <-chan time.Time
	if again > 0 {
		timer := time.NewTimer(again)
		defer timer.Stop()
		overdue = timer.C
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-overdue:
	}
	db, err := b.read(ctx)
	if err == nil && db.Phase != Starting && db.Phase != Ready {
		b.started = false
	}
	return err
}

// read takes in what the cluster itself says, past the watch.
func (b *bringing) read(ctx context.Context) (Database, error) {
	db, err := b.m.cluster.Get(ctx, b.e.user)
	if err != nil {
		return Database{}, err
	}
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	b.m.observe(db, 0)
	b.m.settle(b.e.user)
	return db, nil
}

// clean leaves nothing of a database that cannot start but a volume, once it is bound: all
// of it if it is new, else only the pod, so that the user's address stays. A pod that was
// there before and runs is let be: others may be at work in it, whatever it looks like
// from here.
func (b *bringing) clean(ctx context.Context, failed *Error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	db, _ := b.m.look(b.e)
	if b.claimed && db.Record == (Version{}) { // the watch is behind
		if told, err := b.read(ctx); err == nil {
			db = told
		}
	}
	var err error
	done := "a database cannot start; it was removed"
	switch {
	case b.claimed:
		err = b.m.remove(ctx, b.e.user, false)
	case db.Pod.UID == "", db.Pod.UID == b.old && db.runs():
		done = "a database could not be brought up; what was there is left as it is"
	default:
		err = b.m.cluster.Stop(ctx, db)
	}
	b.m.mu.Lock()
	b.m.failures.remember(db, failed.Message)
	b.m.failures.hear(b.e.db) // another replica may have tried again meanwhile
	b.m.mu.Unlock()
	log := b.m.log.WithFields(logrus.Fields{"user": b.e.user.String(), "reason": failed.Message})
	if err != nil {
		log.WithError(err).Error("a database cannot start, and what is left of it could not be removed")
		return
	}
	log.Warn(done)
}

var errChanged = errors.New("the database changed")

// answers waits until db answers a query; errChanged when the cluster says something
// new of it first. Readiness is decided inside the pod, so what is left is the way
// from here to there, which a Service opens a moment later. A new pod whose MySQL refuses
// root is none that a user can work with; of one that was there, its user may have
// changed root's password or taken all connections.
func (b *bringing) answers(ctx context.Context, db Database, changed <-chan struct{}) error {
	const patience = 3 * time.Second // before a network that leads nowhere is believed
	m, e := b.m, b.e
	begun, told := time.Now(), false
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := m.ping(ctx, db.Address)
		refused := db.Pod.UID == b.old && errors.Is(err, ErrRefused)
		if !told && time.Since(begun) > patience {
			m.log.WithField("user", e.user.String()).WithError(err).Warn("a database is ready in the cluster's eyes, but does not answer")
			told = true
		}
		if err == nil || refused || m.takeOnTrust(err, time.Since(begun) > patience) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.failures.forget(e.user)
			if err == nil || refused {
				m.reached, m.blind = true, false
			}
			if e.db.Pod.UID == db.Pod.UID {
				e.answered, e.ready = db.Pod.UID, true
			}
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-changed:
			timer.Stop()
			return errChanged
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

func (m *Manager) ping(ctx context.Context, address string) error {
	// Longer than a Prober takes to find that the network leads nowhere: cut off
	// before, it could not tell that from a database that is slow.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return m.prober.Ping(ctx, address)
}

// takeOnTrust decides whether a ready pod is taken for a ready database because no
// database address can be reached from here, as on a host outside the cluster's
// network; the clients there can reach it all the same.
func (m *Manager) takeOnTrust(err error, waited bool) bool {
	if !errors.Is(err, ErrUnreachable) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reached || !m.blind && !waited {
		return false
	}
	if !m.blind {
		m.blind = true
		m.log.WithError(err).Warn("databases cannot be reached from here: from now on a ready pod is taken for a ready database")
	}
	return true
}

// look returns what the cluster said last of e, and a channel that is closed when it
// says something new.
func (m *Manager) look(e *entry) (Database, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return e.db, e.news()
}
