package embedded

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"

	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/netutil"
	"github.com/dolthub/vitess/go/sqltypes"
	querypb "github.com/dolthub/vitess/go/vt/proto/query"
)

// handler stands between the wire and the engine: it counts connections and keeps
// a panic of the engine to the connection whose statement caused it.
type handler struct {
	mysql.Handler
	server *server
}

func (h *handler) NewConnection(c *mysql.Conn) {
	if !h.server.entered(c) {
		c.Close()
	}
	h.Handler.NewConnection(c)
}

func (h *handler) ConnectionClosed(c *mysql.Conn) {
	defer h.server.left(c)
	defer h.caught(c, "", nil)
	h.Handler.ConnectionClosed(c)
}

func (h *handler) ComInitDB(c *mysql.Conn, name string) (err error) {
	defer h.caught(c, "USE", &err)
	return h.Handler.ComInitDB(c, name)
}

func (h *handler) ComQuery(ctx context.Context, c *mysql.Conn, query string, callback mysql.ResultSpoolFn) (err error) {
	defer h.caught(c, query, &err)
	leave, err := h.enter(c, query)
	if err != nil {
		return err
	}
	defer leave()
	return h.Handler.ComQuery(ctx, c, query, callback)
}

func (h *handler) ComMultiQuery(ctx context.Context, c *mysql.Conn, query string, callback mysql.ResultSpoolFn) (rest string, err error) {
	defer h.caught(c, query, &err)
	leave, err := h.enter(c, query)
	if err != nil {
		return "", err
	}
	defer leave()
	return h.Handler.ComMultiQuery(ctx, c, query, callback)
}

func (h *handler) ComPrepare(ctx context.Context, c *mysql.Conn, query string, prepare *mysql.PrepareData) (fields []*querypb.Field, err error) {
	defer h.caught(c, query, &err)
	if err := tooDeep(query); err != nil {
		return nil, err
	}
	leave, err := h.server.gate.enter(c, reads) // it looks at tables, whatever the statement will do
	if err != nil {
		return nil, err
	}
	defer func() { leave(h.server.session(c)) }()
	return h.Handler.ComPrepare(ctx, c, query, prepare)
}

func (h *handler) ComStmtExecute(ctx context.Context, c *mysql.Conn, prepare *mysql.PrepareData, callback func(*sqltypes.Result) error) (err error) {
	defer h.caught(c, prepare.PrepareStmt, &err)
	leave, err := h.enter(c, prepare.PrepareStmt)
	if err != nil {
		return err
	}
	defer leave()
	return h.Handler.ComStmtExecute(ctx, c, prepare, callback)
}

func (h *handler) ComResetConnection(c *mysql.Conn) (err error) {
	defer h.caught(c, "", &err)
	defer h.server.gate.gone(c) // the new session has written nothing
	return h.Handler.ComResetConnection(c)
}

// enter waits until statement may run on c; leave must be called after it.
func (h *handler) enter(c *mysql.Conn, statement string) (leave func(), err error) {
	if err := tooDeep(statement); err != nil {
		return nil, err
	}
	left, err := h.server.gate.enter(c, kindOf(statement))
	if err != nil {
		return nil, err
	}
	return func() { left(h.server.session(c)) }, nil
}

// caught ends a panic: the client reads an error, and then its connection ends,
// because nobody knows what state its session is in.
func (h *handler) caught(c *mysql.Conn, query string, err *error) {
	x := recover()
	if x == nil {
		return
	}
	// The statement is the user's own and may hold anything; its length must do.
	h.server.log.WithField("bytes", len(query)).Errorf("MySQL engine panicked, one connection ends: %v\n%s", x, debug.Stack())
	stopReading(c.Conn)
	if err != nil {
		*err = mysql.NewSQLError(mysql.ERUnknownError, mysql.SSUnknownSQLState, "the MySQL engine failed on this statement: %s", clip(fmt.Sprint(x)))
	}
}

// stopReading lets the server still send what it has to say on conn; its next read
// ends the connection.
func stopReading(conn net.Conn) {
	if timed, ok := conn.(netutil.ConnWithTimeouts); ok {
		conn = timed.Conn
	}
	if half, ok := conn.(interface{ CloseRead() error }); ok && half.CloseRead() == nil {
		return
	}
	conn.Close()
}

func clip(s string) string { return s[:min(len(s), 200)] }
