//go:build cgo || gms_pure_go

package embedded

import (
	"github.com/dolthub/go-mysql-server/memory"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/mysql"
)

// databases is the engine's in-memory provider, without its procedures for the
// engine's own tests, with a LOAD_FILE that finds no file, and with databases that
// stop endless recursion.
type databases struct{ server *server }

var (
	_ sql.MutableDatabaseProvider = databases{}
	_ sql.FunctionProvider        = databases{}
)

func (d databases) Database(ctx *sql.Context, name string) (sql.Database, error) {
	db, err := d.server.memory.Database(ctx, name)
	if err != nil {
		return nil, err
	}
	return d.wrap(db), nil
}

func (d databases) HasDatabase(ctx *sql.Context, name string) bool {
	return d.server.memory.HasDatabase(ctx, name)
}

func (d databases) AllDatabases(ctx *sql.Context) []sql.Database {
	all := d.server.memory.AllDatabases(ctx)
	for i, db := range all {
		all[i] = d.wrap(db)
	}
	return all
}

func (d databases) CreateDatabase(ctx *sql.Context, name string) error {
	return d.server.memory.CreateDatabase(ctx, name)
}

func (d databases) DropDatabase(ctx *sql.Context, name string) error {
	return d.server.memory.DropDatabase(ctx, name)
}

func (d databases) wrap(db sql.Database) sql.Database {
	if m, ok := db.(*memory.Database); ok {
		return database{Database: m, server: d.server}
	}
	return db
}

// Function returns NULL for LOAD_FILE, MySQL's answer for a file that may not be read.
func (d databases) Function(_ *sql.Context, name string) (sql.Function, bool) {
	if name != "load_file" {
		return nil, false
	}
	return sql.Function1{Name: name, Fn: func(sql.Expression) sql.Expression {
		return expression.NewLiteral(nil, types.Null)
	}}, true
}

// database counts how often one statement looks up procedures, triggers and views.
// The engine follows them wherever they lead, and a procedure that calls itself, or
// a view of a view of itself, overflowed the stack of the whole process.
type database struct {
	*memory.Database
	server *server
}

// mostLookups is what one statement may look up: far more than an honest one does
// (MySQL allows no recursion at all by default), far less than what fills a stack.
const mostLookups = 1000

func (d database) GetStoredProcedure(ctx *sql.Context, name string) (sql.StoredProcedureDetails, bool, error) {
	if err := d.look(ctx); err != nil {
		return sql.StoredProcedureDetails{}, false, err
	}
	return d.Database.GetStoredProcedure(ctx, name)
}

func (d database) GetTriggers(ctx *sql.Context) ([]sql.TriggerDefinition, error) {
	if err := d.look(ctx); err != nil {
		return nil, err
	}
	return d.Database.GetTriggers(ctx)
}

func (d database) GetViewDefinition(ctx *sql.Context, name string) (sql.ViewDefinition, bool, error) {
	definition, ok, err := d.Database.GetViewDefinition(ctx, name)
	if !ok || err != nil {
		return definition, ok, err
	}
	return definition, ok, d.look(ctx)
}

func (d database) look(ctx *sql.Context) error {
	if d.server.looked(ctx.Session.ID()) > mostLookups {
		const recursionLimit = 1456 // ER_SP_RECURSION_LIMIT
		return mysql.NewSQLError(recursionLimit, mysql.SSUnknownSQLState,
			"Recursive limit %d was exceeded by procedures, triggers or views", mostLookups)
	}
	return nil
}
