//go:build cgo || gms_pure_go

package embedded

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/dolthub/vitess/go/mysql"
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
	err = h.run(ctx, c, query, func(ctx context.Context) error {
		return h.Handler.ComQuery(ctx, c, query, callback)
	})
	return err
}

func (h *handler) ComMultiQuery(ctx context.Context, c *mysql.Conn, query string, callback mysql.ResultSpoolFn) (rest string, err error) {
	err = h.run(ctx, c, query, func(ctx context.Context) (err error) {
		rest, err = h.Handler.ComMultiQuery(ctx, c, query, callback)
		return err
	})
	return rest, err
}

func (h *handler) ComPrepare(ctx context.Context, c *mysql.Conn, query string, prepare *mysql.PrepareData) (fields []*querypb.Field, err error) {
	// It looks at tables, whatever the statement will do.
	err = h.runAs(ctx, c, reads, query, func(ctx context.Context) (err error) {
		fields, err = h.Handler.ComPrepare(ctx, c, query, prepare)
		return err
	})
	return fields, err
}

func (h *handler) ComStmtExecute(ctx context.Context, c *mysql.Conn, prepare *mysql.PrepareData, callback func(*sqltypes.Result) error) error {
	return h.run(ctx, c, prepare.PrepareStmt, func(ctx context.Context) error {
		return h.Handler.ComStmtExecute(ctx, c, prepare, callback)
	})
}

func (h *handler) ComResetConnection(c *mysql.Conn) (err error) {
	defer h.caught(c, "", &err)
	defer h.server.gate.gone(c) // the new session has written nothing
	return h.Handler.ComResetConnection(c)
}

func (h *handler) run(ctx context.Context, c *mysql.Conn, statement string, f func(context.Context) error) error {
	return h.runAs(ctx, c, kindOf(statement), statement, f)
}

// runAs calls f when statement may run on c, with a context that ends when the
// client leaves.
func (h *handler) runAs(ctx context.Context, c *mysql.Conn, k kind, statement string, f func(context.Context) error) (err error) {
	defer h.caught(c, statement, &err)
	if err := tooDeep(statement); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w := wireOf(c); w != nil {
		defer w.watch(cancel)()
	}
	h.server.begun(c.ConnectionID)
	leave, err := h.server.gate.enter(ctx, c, k)
	if err != nil {
		return err
	}
	defer func() { leave(h.server.session(c)) }()
	err = f(ctx)
	if _, trace, ok := cutPanic(err); ok {
		panic(trace)
	}
	return err
}

// cutPanic finds what the engine's errguard package makes of a panic in one of its
// goroutines. Its text holds a stack trace, which is not for clients.
func cutPanic(err error) (before, trace string, ok bool) {
	if err == nil {
		return "", "", false
	}
	return strings.Cut(err.Error(), "panic recovered: ")
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
	if w := wireOf(c); w != nil {
		w.CloseRead()
	} else {
		c.Close()
	}
	if err != nil {
		what, _, _ := strings.Cut(fmt.Sprint(x), "\n")
		*err = mysql.NewSQLError(mysql.ERUnknownError, mysql.SSUnknownSQLState, "the MySQL engine failed on this statement: %s", clip(what))
	}
}

func clip(s string) string { return s[:min(len(s), 200)] }
