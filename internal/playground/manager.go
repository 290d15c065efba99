package playground

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Options are the Manager's limits. Start from [DefaultOptions].
type Options struct {
	IdleTimeout   time.Duration // unused for this long, a database is released; 0: never
	MaxIdle       time.Duration // the same for one that cannot be asked about its use
	KeepAddress   time.Duration // a released database keeps its address this long
	CreateTimeout time.Duration // Create answers within this time, ready or not
	StartLimit    time.Duration // a pod that is not ready after this time has failed
	FlushInterval time.Duration // last uses are written to the cluster this often
	Grace         time.Duration // nobody is released this soon after the start
	DrainLimit    time.Duration // creations may go on this long after Run was told to stop
	MaxDatabases  int           // databases that may be alive at once; 0: no limit
	MaxPerGateway int           // those that one gateway certificate may have asked for; 0: no limit
	MaxCreates    int           // creations that may be at work at once; the others queue
	Maintenance   bool          // nobody new
	Pool          int           // databases made ahead, where the Cluster is a Pool; 0: none
	PoolMaxAge    time.Duration // one that nobody took for so long is made anew; 0: never
}

// DefaultOptions are those of the command line.
func DefaultOptions() Options {
	return Options{
		IdleTimeout:   24 * time.Hour,
		MaxIdle:       72 * time.Hour,
		KeepAddress:   720 * time.Hour,
		CreateTimeout: 17 * time.Second,
		StartLimit:    15 * time.Minute,
		FlushInterval: time.Minute,
		Grace:         5 * time.Minute,
		DrainLimit:    20 * time.Second,
		MaxCreates:    64,
		PoolMaxAge:    24 * time.Hour,
	}
}

// Validate names the first setting that makes no sense.
func (o Options) Validate() error {
	for name, d := range map[string]time.Duration{
		"idle_timeout": o.IdleTimeout, "max_idle": o.MaxIdle, "keep_address": o.KeepAddress, "pool_max_age": o.PoolMaxAge,
	} {
		if d < 0 {
			return fmt.Errorf("--%s is %v; it must not be negative", name, d)
		}
	}
	switch {
	case o.CreateTimeout <= 0:
		return fmt.Errorf("--create_timeout is %v; it must be positive", o.CreateTimeout)
	case o.MaxIdle < o.IdleTimeout:
		return fmt.Errorf("--max_idle (%v) must not be less than --idle_timeout (%v)", o.MaxIdle, o.IdleTimeout)
	case o.MaxDatabases < 0:
		return fmt.Errorf("--max_databases is %d; it must not be negative", o.MaxDatabases)
	case o.MaxPerGateway < 0:
		return fmt.Errorf("--max_per_gateway is %d; it must not be negative", o.MaxPerGateway)
	case o.MaxCreates < 1:
		return fmt.Errorf("--max_creates is %d; it must be at least 1", o.MaxCreates)
	case o.Pool < 0:
		return fmt.Errorf("--pool is %d; it must not be negative", o.Pool)
	case o.StartLimit <= 0 || o.FlushInterval <= 0:
		return errors.New("start limit and flush interval must be positive")
	}
	return nil
}

// Manager creates, joins, heals and reaps databases. Make one with [NewManager],
// keep [Manager.Run] running, and call the other methods from anywhere.
type Manager struct {
	cluster  Cluster
	prober   Prober
	options  Options
	log      logrus.FieldLogger
	recorder Recorder

	queue  *queue
	kick   chan struct{} // a flush is due now
	synced chan struct{} // closed once the cluster's state is known
	begun  time.Time
	work   context.Context // ends when operations must give up
	abort  context.CancelCauseFunc
	group  sync.WaitGroup // operations

	mu       sync.Mutex
	users    map[User]*entry
	entered  chan struct{}     // closed and made anew whenever a user gets an entry
	mangled  map[string][]User // ids by what remains of them unescaped in a URL
	failures failures
	turn     int   // of the news that the watch told last; see place
	stale    error // why the watch is behind
	reached  bool  // some database address was reached from here
	blind    bool  // database addresses cannot be reached from here
	closing  bool  // Run was told to stop; nothing new begins

	leading leading
}

// entry is what the Manager knows of one user. Manager.mu guards it.
type entry struct {
	user    User
	db      Database
	changed chan struct{} // closed whenever db or op changes; nil while nobody waits for that
	op      *operation    // what is in flight, if anything
	place   place

	answered string    // the pod (UID) that answered a query
	ready    bool      // this Manager saw the pod ready, or answered for it
	dirty    bool      // beat is not in the cluster yet
	beat     time.Time // last use by a request: heart beat or create
	seen     time.Time // last sign of use in MySQL
	asked    time.Time // when MySQL was asked about its use
	told     bool      // and whether it answered
	unused   bool      // it said that nobody used it since the answer before
	activity *Activity // what it said last, however long ago

	doubted time.Time // since when db says, unsure of it, that its pod has failed

	healAt  time.Time // no healing before
	backoff time.Duration
	refused bool // it was logged that there is no place to bring it back to
}

// news gives a channel that is closed at the next change of e. Manager.mu is held.
func (e *entry) news() <-chan struct{} {
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// tell wakes all who wait for news of e. Manager.mu is held.
func (e *entry) tell() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// NewManager returns a Manager that works once Run runs.
func NewManager(c Cluster, p Prober, o Options, log logrus.FieldLogger, r Recorder) (*Manager, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m := &Manager{
		cluster: c, prober: p, options: o, log: log, recorder: r,
		queue:   newQueue(o.MaxCreates),
		kick:    make(chan struct{}, 1),
		synced:  make(chan struct{}),
		begun:   time.Now(),
		users:   map[User]*entry{},
		entered: make(chan struct{}),
		mangled: map[string][]User{},
	}
	m.work, m.abort = context.WithCancelCause(context.Background())
	return m, nil
}

// Run works until ctx ends: it adopts, watches, heals, flushes and reaps. Then it
// lets creations in flight finish within Options.DrainLimit, writes the last heart
// beats, and returns nil; databases stay as they are. A creation that is cut off
// here is taken up by the next server, because its record says that it is due.
func (m *Manager) Run(ctx context.Context) error {
	adopted, err := m.cluster.Adopt(ctx)
	if err != nil {
		return fmt.Errorf("adopting the databases of an older server: %w", err)
	}
	for _, u := range adopted {
		m.log.WithFields(logrus.Fields{"audit": "adopt", "user": u.String()}).Info("adopted a database of an older server")
	}

	watch, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	var loops sync.WaitGroup
	loops.Go(func() {
		if err := m.cluster.Watch(watch, m); err != nil && watch.Err() == nil {
			m.log.WithError(err).Error("the watch ended by itself")
			m.Stale(err)
		}
	})
	flushed := make(chan struct{})
	loops.Go(func() { defer close(flushed); m.flushLoop(ctx) })
	loops.Go(func() { m.housekeep(ctx) })
	loops.Go(func() { m.keepPool(ctx) })

	<-ctx.Done()
	m.drain()
	<-flushed // what it could not write any more is written now
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	m.flush(last)
	m.resign(last)
	stopWatch()
	loops.Wait()
	return nil
}

// drain waits for the operations in flight, then makes the slow ones give up.
func (m *Manager) drain() {
	m.mu.Lock()
	m.closing = true
	m.mu.Unlock()
	done := make(chan struct{})
	go func() { m.group.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(m.options.DrainLimit):
		m.abort(&Error{Code: Interrupted, Message: "the server stops; ask again, the next one goes on with it", RetryAfter: 2 * time.Second})
		<-done
	}
	m.abort(nil)
}

// Stale implements [Observer].
func (m *Manager) Stale(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = err
}

// Synced implements [Observer].
func (m *Manager) Synced(all []Database) {
	m.mu.Lock()
	defer m.mu.Unlock()
	there := make(map[User]bool, len(all))
	for _, db := range all {
		there[db.User] = true
	}
	for user := range m.users {
		if !there[user] {
			all = append(all, Database{User: user})
		}
	}
	m.stale = nil
	select {
	case <-m.synced:
	default:
		close(m.synced)
	}
	m.hear(all)
}

// Changed implements [Observer].
func (m *Manager) Changed(all ...Database) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hear(all)
}

// hear takes in what the watch tells at once, and only then does what is due. m.mu is held.
func (m *Manager) hear(all []Database) {
	m.turn++
	for _, db := range all {
		m.observe(db, m.turn)
	}
	for _, db := range all {
		m.settle(db.User)
	}
}

// settle does what is due for a user after news. m.mu is held.
func (m *Manager) settle(user User) {
	if e, known := m.users[user]; known {
		m.healIfDue(e)
		m.forgetIfGone(e)
	}
}

// observe takes in what the cluster says of one database: by the watch, if turn says when,
// or by a look. m.mu is held.
func (m *Manager) observe(db Database, turn int) {
	e, known := m.users[db.User]
	if !known {
		if db.Phase == None {
			return
		}
		e = m.enter(db.User)
	}
	e.lineUp(db, turn)
	if db.Pod.UID != e.db.Pod.UID {
		e.activity, e.told, e.unused, e.asked, e.doubted = nil, false, false, time.Time{}, time.Time{}
	}
	switch {
	case db.Phase != Failed || !db.Unsure:
		e.doubted = time.Time{}
	case e.doubted.IsZero():
		e.doubted = time.Now()
	}
	e.db = db
	m.failures.hear(db)
	if db.Phase == Ready {
		e.ready = true
	}
	e.tell()
	if e.dirty && !db.Marked.IsZero() {
		m.flushNow() // a reaper of another replica does not know of this use yet
	}
}

// enter makes an entry for user. m.mu is held.
func (m *Manager) enter(user User) *entry {
	e := &entry{user: user, db: Database{User: user}}
	m.users[user] = e
	close(m.entered)
	m.entered = make(chan struct{})
	if raw := user.unescaped(); raw != string(user) {
		m.mangled[raw] = append(m.mangled[raw], user)
	}
	return e
}

// forgetIfGone drops an entry that stands for nothing any more, not before the watch says
// so too: what it tells late of an old record must not be taken for news of the next.
// m.mu is held.
func (m *Manager) forgetIfGone(e *entry) {
	if e.db.Phase != None || e.op != nil || e.place.record != "" {
		return
	}
	delete(m.users, e.user)
	raw := e.user.unescaped()
	if raw == string(e.user) {
		return
	}
	kept := m.mangled[raw][:0]
	for _, u := range m.mangled[raw] {
		if u != e.user {
			kept = append(kept, u)
		}
	}
	if m.mangled[raw] = kept; len(kept) == 0 {
		delete(m.mangled, raw)
	}
}

// Warnings tell what an operator should know though the server works.
func (m *Manager) Warnings() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blind {
		return []string{"databases cannot be reached from here; a ready pod is taken for a ready database, and idle ones are kept until --max_idle"}
	}
	return nil
}

// Fresh returns nil while the Manager's picture of the cluster is current.
func (m *Manager) Fresh() error {
	select {
	case <-m.synced:
	default:
		return errors.New("the state of the cluster has not been read yet")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stale
}

// spread returns a random time from least to twice least, so that many clients that
// were sent away together do not come back together.
func spread(least time.Duration) time.Duration {
	return least + rand.N(least)
}

func forbidden() *Error {
	return &Error{Code: Forbidden, Message: "this certificate does not act for that user_id"}
}
