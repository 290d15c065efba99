//go:build cgo || gms_pure_go

package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// The engine's memory tables know no concurrency: a commit puts back every table
// that its session has touched, read ones included, so that it undoes what another
// session committed meanwhile; and a change of schema writes into maps that other
// sessions read, which ends the whole process. The gate of a server therefore gives
// its sessions the locks that MySQL would, only coarser:
//
//   - statements that read run side by side;
//   - of those that write rows one at a time, and none until the transaction of the
//     one before has ended, as if each locked all rows (in MySQL: row locks);
//   - a statement that may change a schema runs alone (in MySQL: metadata locks).
//
// A session that has written nothing sees at each statement what is committed then,
// and its commit changes nothing.
type gate struct {
	wait   time.Duration   // how long a statement waits for its turn
	closed <-chan struct{} // nobody waits after that

	mu      sync.Mutex
	freed   chan struct{} // closed and replaced when something was given back
	running int           // statements
	alone   bool          // the one that runs changes a schema
	writer  *mysql.Conn   // whose transaction has written
}

// lockWait is MySQL's innodb_lock_wait_timeout.
const lockWait = 50 * time.Second

func newGate(closed <-chan struct{}) *gate {
	return &gate{wait: lockWait, closed: closed, freed: make(chan struct{})}
}

// kind says what a statement may do.
type kind int

const (
	reads   kind = iota // rows, settings, transactions
	writes              // rows
	changes             // schemas, users, or anything
	kills               // connections; it never waits
)

// enter waits until a statement of kind k may run on c, and returns what must be
// called after it, with the session that it ran in (nil if there is none).
func (g *gate) enter(ctx context.Context, c *mysql.Conn, k kind) (leave func(*memory.Session), err error) {
	if k == kills {
		return func(*memory.Session) {}, nil
	}
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	for {
		g.mu.Lock()
		if g.free(c, k) {
			g.running++
			g.alone = k == changes
			if k != reads {
				g.writer = c
			}
			g.mu.Unlock()
			return func(s *memory.Session) { g.leave(c, s) }, nil
		}
		freed := g.freed
		g.mu.Unlock()
		select {
		case <-freed:
		case <-timer.C:
			return nil, mysql.NewSQLError(mysql.ERLockWaitTimeout, mysql.SSUnknownSQLState,
				"Lock wait timeout exceeded; another connection is changing this database or has not committed; try restarting transaction")
		case <-ctx.Done():
			return nil, mysql.NewSQLError(mysql.ERQueryInterrupted, mysql.SSQueryInterrupted, "Query execution was interrupted")
		case <-g.closed:
			return nil, mysql.NewSQLError(mysql.ERServerShutdown, mysql.SSUnknownSQLState, "Server shutdown in progress")
		}
	}
}

func (g *gate) free(c *mysql.Conn, k kind) bool {
	switch k {
	case reads:
		return !g.alone
	case writes:
		return !g.alone && (g.writer == nil || g.writer == c)
	default:
		return g.running == 0 && (g.writer == nil || g.writer == c)
	}
}

func (g *gate) leave(c *mysql.Conn, s *memory.Session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.alone = false
	switch {
	case g.writer == c && (s == nil || s.GetTransaction() == nil):
		g.writer = nil
	case g.writer != c && s != nil:
		// A transaction that has only read yet. Its next statement reads anew, and
		// nothing is left for its commit to put back.
		forget(s)
	}
	g.wake()
}

// gone takes back what c holds: its connection, or its session, has ended.
func (g *gate) gone(c *mysql.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writer == c {
		g.writer = nil
		g.wake()
	}
}

func (g *gate) wake() {
	close(g.freed)
	g.freed = make(chan struct{})
}

func (g *gate) writing(c *mysql.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writer == c
}

// forget makes s read all tables anew: starting a transaction is the one thing that
// does so, and s keeps the transaction that it is in.
func forget(s *memory.Session) {
	s.StartTransaction(nil, sql.ReadWrite)
}

// kindOf tells by a statement's first words what it may do. What it does not know
// may do anything.
func kindOf(statement string) kind {
	words := sqlparser.NewStringTokenizer(statement)
	depth := 0
	first := true
	for {
		word, _ := words.Scan()
		switch word {
		case 0, ';', sqlparser.LEX_ERROR:
			return reads // nothing, or nothing that the engine would run
		case sqlparser.COMMENT:
			continue
		case '(':
			depth++
			continue
		case ')':
			depth--
			continue
		}
		if depth > 0 && !first {
			continue
		}
		switch word {
		case sqlparser.WITH, sqlparser.EXPLAIN, sqlparser.DESCRIBE, sqlparser.DESC:
			first = false // what follows decides
			continue
		case sqlparser.SELECT, sqlparser.SHOW, sqlparser.SET, sqlparser.USE, sqlparser.VALUES, sqlparser.TABLE,
			sqlparser.BEGIN, sqlparser.START, sqlparser.COMMIT, sqlparser.ROLLBACK, sqlparser.SAVEPOINT, sqlparser.RELEASE:
			return reads
		case sqlparser.INSERT, sqlparser.REPLACE, sqlparser.UPDATE, sqlparser.DELETE:
			return writes
		case sqlparser.KILL:
			return kills
		}
		if first {
			return changes
		}
	}
}

// committer is the provider that a session takes databases from when it commits.
// One that has written nothing gets copies, which are thrown away.
type committer struct {
	sql.DatabaseProvider
	gate *gate
	conn *mysql.Conn
}

func (p committer) Database(ctx *sql.Context, name string) (sql.Database, error) {
	db, err := p.DatabaseProvider.Database(ctx, name)
	if err != nil || p.gate.writing(p.conn) {
		return db, err
	}
	tables, ok := db.(interface{ Tables() map[string]sql.Table })
	if !ok {
		return db, nil
	}
	shadow := memory.NewViewlessDatabase(name)
	for name, t := range tables.Tables() {
		if t, ok := t.(memory.MemTable); ok {
			shadow.AddTable(name, t)
		}
	}
	return shadow, nil
}
