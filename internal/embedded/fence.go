//go:build cgo || gms_pure_go

package embedded

import (
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/vitess/go/mysql"
)

// fence keeps a user's statements away from the host's files and from the engine's
// global variables, which all servers of the process share. It sits where plans are
// executed, which is also where prepared statements, procedures, triggers and views
// end up, and does not rely on the variable secure_file_priv, whose default lets
// everything through.
type fence struct{ server *server }

// Build refuses what is forbidden and leaves everything else to the engine (nil, nil).
func (f fence) Build(ctx *sql.Context, n sql.Node, row sql.Row) (sql.RowIter, error) {
	switch n := n.(type) {
	case *plan.LoadData:
		return nil, refusal("LOAD DATA is not available here; use INSERT")
	case *plan.Into:
		if n.Outfile != "" || n.Dumpfile != "" {
			return nil, refusal("INTO OUTFILE and INTO DUMPFILE are not available here: this server writes no files")
		}
	case *plan.Set:
		for _, e := range n.Exprs {
			if shared(e) {
				return nil, refusal("global variables cannot be set here: other users share them; SET SESSION works")
			}
		}
	case *plan.ShowStatus:
		rows, err := n.RowIter(ctx, row)
		if err != nil {
			return nil, err
		}
		return &ownStatus{RowIter: rows, server: f.server}, nil
	}
	return nil, nil
}

func refusal(message string) error {
	return mysql.NewSQLError(mysql.ERSpecifiedAccessDenied, mysql.SSUnknownSQLState, "%s", message)
}

// shared reports whether e, of a SET statement, would set more than a session's own
// variable: GLOBAL, PERSIST, PERSIST_ONLY.
func shared(e sql.Expression) bool {
	set, ok := e.(*expression.SetField)
	if !ok {
		return false
	}
	v, ok := set.LeftChild.(*expression.SystemVar)
	if !ok {
		return false
	}
	scope, ok := v.Scope.(*sql.MysqlScope)
	return !ok || scope.Type != sql.SystemVariableScope_Session
}

// ownStatus gives the status variables that a user may look at the values of this
// server: the engine counts for the whole process.
type ownStatus struct {
	sql.RowIter
	server *server
}

func (s *ownStatus) Next(ctx *sql.Context) (sql.Row, error) {
	row, err := s.RowIter.Next(ctx)
	if err != nil || len(row) != 2 {
		return row, err
	}
	open, accepted := s.server.activity()
	switch row[0] {
	case "Threads_connected":
		return sql.Row{row[0], uint64(open)}, nil
	case "Connections":
		return sql.Row{row[0], uint64(accepted)}, nil
	case "Uptime":
		return sql.Row{row[0], uint64(s.server.now().Sub(s.server.started).Seconds())}, nil
	}
	return row, nil
}
