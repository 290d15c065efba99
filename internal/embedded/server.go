//go:build cgo || gms_pure_go

package embedded

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	sqle "github.com/dolthub/go-mysql-server"
	"github.com/dolthub/go-mysql-server/memory"
	mysqlserver "github.com/dolthub/go-mysql-server/server"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/mysql_db"
	"github.com/dolthub/go-mysql-server/sql/variables"
	"github.com/dolthub/vitess/go/mysql"
	"github.com/sirupsen/logrus"
)

const (
	account  = "root"
	password = "root"

	// As MySQL's defaults max_connections and wait_timeout. A client that takes no
	// rows gets more time than MySQL's minute: a training may read in big steps.
	maxConnections = 151
	idleTimeout    = 8 * time.Hour
	writeTimeout   = 10 * time.Minute
)

// A server is one user's MySQL.
type server struct {
	engine  *sqle.Engine
	inbox   *inbox
	started time.Time
	log     logrus.FieldLogger
	now     func() time.Time

	gate     *gate
	memory   *memory.DbProvider
	stopping chan struct{} // closed when close begins

	mu       sync.Mutex
	open     map[*mysql.Conn]*memory.Session // nil until the first command
	lookups  map[uint32]int                  // of the present statement, by connection
	accepted int64
	closed   bool
	idle     chan struct{} // closed when no connection is left after closed
}

// statusVariables prepares the engine's status variables, once: it keeps them in a
// global of the process, which every new engine resets without a lock while others
// read it.
var statusVariables = sync.OnceFunc(func() {
	variables.InitStatusVariables()
	sql.StatusVariables = unresettable{sql.StatusVariables}
})

// unresettable only counts. What users may look at comes from ownStatus.
type unresettable struct{ sql.StatusVariableRegistry }

func (unresettable) SetGlobal(string, any) error { return nil }

// newServer makes a server that holds tables and accepts what is put into its inbox.
func newServer(tables []table, log logrus.FieldLogger, now func() time.Time) (*server, error) {
	s := &server{
		inbox: newInbox(), started: now(), log: log, now: now,
		open: map[*mysql.Conn]*memory.Session{}, lookups: map[uint32]int{}, idle: make(chan struct{}), stopping: make(chan struct{}),
	}
	s.gate = newGate(s.stopping)
	s.memory = memory.NewDBProvider(memory.NewDatabase(irisDatabase), memory.NewDatabase(modelsDatabase))

	statusVariables()
	s.engine = sqle.New(analyzer.NewDefault(databases{s}), nil)
	s.engine.Analyzer.ExecBuilder.PriorityBuilder = fence{s}
	users := s.engine.Analyzer.Catalog.MySQLDb
	users.SetPersister(&mysql_db.NoopPersister{})
	edit := users.Editor()
	users.AddSuperUser(edit, account, "%", password)
	edit.Close()

	ctx := sql.NewContext(context.Background(), sql.WithSession(memory.NewSession(sql.NewBaseSession(), s.memory)))
	db, err := s.memory.Database(ctx, irisDatabase)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if err := t.fill(ctx, db.(*memory.Database)); err != nil {
			return nil, err
		}
	}

	front, err := mysqlserver.NewServerWithHandler(mysqlserver.Config{
		Protocol:         "tcp",
		Listener:         s.inbox,
		MaxConnections:   maxConnections,
		ConnReadTimeout:  idleTimeout,
		ConnWriteTimeout: writeTimeout,
	}, s.engine, sql.NewContext, s.newSession, nil, func(h mysql.Handler) (mysql.Handler, error) {
		return &handler{Handler: h, server: s}, nil
	})
	if err != nil {
		return nil, err
	}
	go front.Listener.Accept()
	return s, nil
}

// close lets nobody in and ends all connections, and with them their statements. It
// does not wait for that. A nil server is closed.
func (s *server) close() {
	if s == nil {
		return
	}
	s.inbox.Close()
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stopping)
		if len(s.open) == 0 {
			close(s.idle)
		}
	}
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.engine.Close() // tells of nothing but its own cancelation
}

// ended waits until a closed server has no connections any more.
func (s *server) ended(ctx context.Context) error {
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("statements of %d connections still run: %w", len(s.open), context.Cause(ctx))
	}
}

// newSession makes the session of a connection, or a new one after COM_RESET_CONNECTION.
func (s *server) newSession(ctx context.Context, c *mysql.Conn, address string) (sql.Session, error) {
	base, err := sql.BaseSessionFromConnection(ctx, c, address)
	if err != nil {
		return nil, err
	}
	session := memory.NewSession(base, committer{DatabaseProvider: s.memory, gate: s.gate, conn: c})
	session.SetGlobals(memory.GlobalsMap{})
	// MySQL would begin without a database. The engine then cannot do some statements
	// that name theirs: DELETE FROM iris.train, CREATE VIEW iris.v.
	session.SetCurrentDatabase(irisDatabase)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[c]; ok {
		s.open[c] = session
	}
	return session, nil
}

func (s *server) session(c *mysql.Conn) *memory.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[c]
}

// begun begins a new count of lookups for connection id, looked adds one to it.
func (s *server) begun(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups[id] = 0
}

func (s *server) looked(id uint32) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookups[id]++
	return s.lookups[id]
}

// entered counts c in; false means that the server is closed.
func (s *server) entered(c *mysql.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = nil
	s.accepted++
	return !s.closed
}

func (s *server) left(c *mysql.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	delete(s.lookups, c.ConnectionID)
	s.gate.gone(c)
	if s.closed && len(s.open) == 0 {
		close(s.idle)
	}
}

// activity returns the connections that are open and those that ever were.
func (s *server) activity() (open, accepted int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.open)), s.accepted
}

// ping runs SELECT 1 in the engine, past the network.
func (s *server) ping(ctx context.Context) error {
	s.begun(0)
	us := sql.Client{User: account, Address: "127.0.0.1"}
	session := memory.NewSession(sql.NewBaseSessionWithClientServer("", us, 0), nil)
	c := sql.NewContext(ctx, sql.WithSession(session))
	_, rows, _, err := s.engine.Query(c, "SELECT 1")
	if err != nil {
		return err
	}
	defer rows.Close(c)
	if _, err := rows.Next(c); err != nil && err != io.EOF {
		return err
	}
	return nil
}
