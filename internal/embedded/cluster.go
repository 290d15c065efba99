//go:build cgo || gms_pure_go

package embedded

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Available reports whether this program was built with the engine.
const Available = true

// Cluster keeps one MySQL server for each user inside this process.
type Cluster struct {
	host   string
	log    logrus.FieldLogger
	now    func() time.Time
	tables []table // what a new database holds

	// alive ends with Close.
	alive context.Context
	end   context.CancelFunc

	mu        sync.Mutex
	records   map[playground.User]*record
	addresses map[string]*record
	version   int64 // of the last change of any object
	watchers  map[*watcher]struct{}
	leaving   map[*server]struct{} // closed, but some statement does not notice
}

var (
	_ playground.Cluster = (*Cluster)(nil)
	_ playground.Prober  = (*Cluster)(nil)
)

// record is what Kubernetes would keep as lease, service and pod of one user.
type record struct {
	// turn is held by who starts or stops the server.
	turn chan struct{}

	// Guarded by Cluster.mu.
	db     playground.Database
	door   *door   // the service; nil until first started
	server *server // the pod; nil if there is none
}

// New makes a cluster without databases. It turns logrus' standard logger, which
// nothing of ours uses, down to panics for the whole process: the engine knows no
// other, and writes every connection and users' statements to it.
func New(o Options) *Cluster {
	logrus.SetLevel(logrus.PanicLevel)
	c := &Cluster{
		host:      o.Host,
		log:       o.Log,
		now:       o.Now,
		tables:    iris(),
		records:   map[playground.User]*record{},
		addresses: map[string]*record{},
		watchers:  map[*watcher]struct{}{},
		leaving:   map[*server]struct{}{},
	}
	c.alive, c.end = context.WithCancel(context.Background())
	if c.host == "" {
		c.host = "127.0.0.1"
	}
	if c.log == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		c.log = silent
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

var errClosed = &playground.Error{Code: playground.Unavailable, Message: "the server stops, and its databases with it"}

// Close stops all databases; their data is gone. It waits up to ten seconds for
// statements that do not notice and returns an error if some still run.
func (c *Cluster) Close() error {
	c.end()
	c.mu.Lock()
	var all []*record
	for _, r := range c.records {
		all = append(all, r)
	}
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, r := range all {
		if err := c.remove(ctx, r); err != nil {
			return err
		}
	}
	c.mu.Lock()
	late := slices.Collect(maps.Keys(c.leaving))
	c.mu.Unlock()
	for _, s := range late {
		if err := s.ended(ctx); err != nil {
			return fmt.Errorf("stopping the embedded databases: %w", err)
		}
	}
	return nil
}

// Adopt has nothing to take over: databases never outlive the process.
func (c *Cluster) Adopt(context.Context) ([]playground.User, error) { return nil, nil }

// Lead is always true: there is only this replica.
func (c *Cluster) Lead(context.Context, time.Duration) (bool, error) { return true, nil }

// Resign does nothing: there is no other replica.
func (c *Cluster) Resign(context.Context) error { return nil }

// Get returns user's database, of phase None if there is none.
func (c *Cluster) Get(_ context.Context, user playground.User) (playground.Database, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.records[user]; r != nil {
		return r.db, nil
	}
	return playground.Database{User: user}, nil
}

// Claim makes user's record; see [playground.Cluster].
func (c *Cluster) Claim(_ context.Context, user playground.User, client string, at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alive.Err() != nil {
		return errClosed
	}
	if c.records[user] != nil {
		return playground.ErrExists
	}
	r := &record{turn: make(chan struct{}, 1), db: playground.Database{
		User: user, Client: client, Phase: playground.Missing, Created: c.now(), LastUse: at,
	}}
	r.db.Record.UID = c.next()
	c.records[user] = r
	c.changed(r)
	return nil
}

// Reclaim takes back a release; see [playground.Cluster].
func (c *Cluster) Reclaim(_ context.Context, user playground.User) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.records[user]
	switch {
	case c.alive.Err() != nil:
		return errClosed
	case r == nil:
		return playground.ErrNoRecord
	case r.db.Phase == playground.Released:
		r.db.Phase, r.db.ReleasedAt = playground.Missing, time.Time{}
	}
	r.db.LastUse, r.db.Marked = c.now(), time.Time{}
	c.changed(r)
	return nil
}

// Start makes sure that the user's server runs and clears a release. The server is
// ready when Start returns.
func (c *Cluster) Start(ctx context.Context, user playground.User) error {
	c.mu.Lock()
	r := c.records[user]
	c.mu.Unlock()
	if r == nil {
		return playground.ErrNoRecord
	}
	if err := r.take(ctx); err != nil {
		return err
	}
	defer r.give()

	c.mu.Lock()
	running, opened, removed := r.server != nil, r.door != nil, c.records[user] != r
	c.mu.Unlock()
	switch {
	case c.alive.Err() != nil:
		return errClosed
	case removed:
		return playground.ErrNoRecord
	}

	var s *server
	if !running {
		var err error
		if s, err = newServer(c.tables, c.log.WithField("user", user.String()), c.now); err != nil {
			return fmt.Errorf("starting the database of %s: %w", user, err)
		}
	}
	d := r.door
	if !opened {
		l, err := net.Listen("tcp", net.JoinHostPort(c.host, "0"))
		if err != nil {
			s.close()
			return &playground.Error{Code: playground.Unavailable, Message: "no port for another database", Err: err}
		}
		d = openDoor(l)
	}
	if s != nil {
		d.lead(s)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	r.door = d
	r.db.Address = d.address()
	c.addresses[r.db.Address] = r
	if s != nil {
		r.server = s
		r.db.Pod = playground.Version{UID: c.next(), Resource: c.next()}
		r.db.PodSince, r.db.DataSince = s.started, s.started
	}
	r.db.Phase = playground.Ready
	if !r.db.ReleasedAt.IsZero() || !r.db.Marked.IsZero() || !opened {
		r.db.ReleasedAt, r.db.Marked = time.Time{}, time.Time{}
		c.changed(r)
	} else if s != nil {
		c.tell(r.db)
	}
	return nil
}

// Touch notes last uses and takes back marks; users without a record are passed over.
func (c *Cluster) Touch(_ context.Context, at time.Time, users []playground.User) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alive.Err() != nil {
		return errClosed
	}
	for _, user := range users {
		r := c.records[user]
		if r == nil {
			continue
		}
		if at.After(r.db.LastUse) {
			r.db.LastUse = at
		}
		r.db.Marked = time.Time{}
		c.changed(r)
	}
	return nil
}

// Mark notes that db is to be released; see [playground.Cluster].
func (c *Cluster) Mark(_ context.Context, db playground.Database, at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.records[db.User]
	if r == nil || r.db.Record != db.Record {
		return playground.ErrConflict
	}
	r.db.Marked = at
	c.changed(r)
	return nil
}

// Release stops db's server and keeps its port: who connects is told why.
func (c *Cluster) Release(ctx context.Context, db playground.Database, at time.Time) error {
	c.mu.Lock()
	r := c.records[db.User]
	c.mu.Unlock()
	if r == nil {
		return playground.ErrConflict
	}
	if err := r.take(ctx); err != nil {
		return err
	}
	defer r.give()

	c.mu.Lock()
	if c.records[db.User] != r || r.db.Record != db.Record {
		c.mu.Unlock()
		return playground.ErrConflict
	}
	s := c.unplug(r)
	r.db.Phase = playground.Released
	r.db.ReleasedAt, r.db.Marked = at, time.Time{}
	c.changed(r)
	c.mu.Unlock()
	c.dismiss(s)
	return nil
}

// Stop stops the server that db names; its record and port stay.
func (c *Cluster) Stop(ctx context.Context, db playground.Database) error {
	c.mu.Lock()
	r := c.records[db.User]
	c.mu.Unlock()
	if r == nil {
		return nil
	}
	if err := r.take(ctx); err != nil {
		return err
	}
	defer r.give()

	c.mu.Lock()
	if r.server == nil || r.db.Pod.UID != db.Pod.UID {
		c.mu.Unlock()
		return nil
	}
	s := c.unplug(r)
	r.db.Phase = playground.Missing
	c.tell(r.db)
	c.mu.Unlock()
	c.dismiss(s)
	return nil
}

// Remove forgets user and gives up the port. Data never outlives it, so there is nothing
// more to purge.
func (c *Cluster) Remove(ctx context.Context, user playground.User, _ bool) error {
	c.mu.Lock()
	r := c.records[user]
	c.mu.Unlock()
	if r == nil {
		return nil
	}
	return c.remove(ctx, r)
}

func (c *Cluster) remove(ctx context.Context, r *record) error {
	if err := r.take(ctx); err != nil {
		return err
	}
	defer r.give()

	c.mu.Lock()
	if c.records[r.db.User] != r { // somebody else was first
		c.mu.Unlock()
		return nil
	}
	s := c.unplug(r)
	delete(c.records, r.db.User)
	delete(c.addresses, r.db.Address)
	c.tell(playground.Database{User: r.db.User})
	c.mu.Unlock()
	if r.door != nil {
		r.door.close()
	}
	c.dismiss(s)
	return nil
}

// dismiss closes s and gives its statements a moment to end. Those that do not are
// left behind: their tables are nobody's any more, and Close asks for them again.
func (c *Cluster) dismiss(s *server) {
	if s == nil {
		return
	}
	s.close()
	moment, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.ended(moment) == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving[s] = struct{}{}
	go func() {
		<-s.idle
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.leaving, s)
	}()
}

// unplug takes the server, if any, out of r. The caller holds c.mu and r's turn.
func (c *Cluster) unplug(r *record) *server {
	s := r.server
	r.server = nil
	r.db.Pod = playground.Version{}
	r.db.PodSince, r.db.DataSince = time.Time{}, time.Time{}
	if r.door != nil {
		r.door.lead(nil)
	}
	return s
}

// changed gives r's record its next version and tells the watchers. The caller holds c.mu.
func (c *Cluster) changed(r *record) {
	r.db.Record.Resource = c.next()
	c.tell(r.db)
}

func (c *Cluster) next() string {
	c.version++
	return strconv.FormatInt(c.version, 10)
}

func (r *record) take(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *record) give() { <-r.turn }
