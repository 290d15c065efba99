package program

import (
	"fmt"
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// reader gathers the effects of a statement from its tree.
type reader struct {
	e       effects
	selects int
}

func (r *reader) stop(why string) {
	if r.e.barrier == "" {
		r.e.barrier = why
	}
}

// scope holds the names that WITH gives to queries.
type scope struct {
	names map[string]bool
	outer *scope
}

func (s *scope) has(name string) bool {
	for ; s != nil; s = s.outer {
		if s.names[name] {
			return true
		}
	}
	return false
}

func tableName(t sqlparser.TableName) name {
	db := t.DbQualifier.String()
	if schema := t.SchemaQualifier.String(); schema != "" {
		db += "." + schema
	}
	return name{"table", strings.ToLower(db), strings.ToLower(t.Name.String())}
}

// named gives the name of a table, unless WITH gave it to a query.
func (r *reader) named(t sqlparser.TableName, in *scope) (name, bool) {
	n := tableName(t)
	switch n.db {
	case "":
		if in.has(n.base) {
			return name{}, false
		}
	case "information_schema", "performance_schema", "mysql", "sys":
		r.stop("it looks into the server's own tables")
	}
	return n, n.base != "" && n != name{"table", "", "dual"}
}

func (r *reader) read(t sqlparser.TableName, in *scope) {
	if n, ok := r.named(t, in); ok {
		r.e.reads = append(r.e.reads, n)
	}
}

func (r *reader) write(t sqlparser.TableName, in *scope) {
	if n, ok := r.named(t, in); ok {
		r.e.writes = append(r.e.writes, n)
	}
}

// change writes all tables of a FROM clause: which of them UPDATE or DELETE
// really changes, only the columns of the tables could tell.
func (r *reader) change(tables sqlparser.TableExprs, in *scope) {
	_ = sqlparser.Walk(func(node sqlparser.SQLNode) (bool, error) {
		switch node := node.(type) {
		case *sqlparser.AliasedTableExpr:
			if t, ok := node.Expr.(sqlparser.TableName); ok {
				r.write(t, in)
			}
			return false, nil
		case sqlparser.Expr:
			return false, nil
		}
		return true, nil
	}, tables)
}

// with reads the queries of a WITH clause and gives the scope that it makes.
func (r *reader) with(with *sqlparser.With, in *scope) *scope {
	if with == nil {
		return in
	}
	inner := &scope{names: make(map[string]bool), outer: in}
	if with.Recursive {
		for _, cte := range with.Ctes {
			inner.names[strings.ToLower(cte.As.String())] = true
		}
	}
	for _, cte := range with.Ctes {
		r.query(cte.AliasedTableExpr.Expr, inner)
		inner.names[strings.ToLower(cte.As.String())] = true
	}
	return inner
}

// query reads whatever a tree reads, below a SELECT or any other node.
func (r *reader) query(node sqlparser.SQLNode, in *scope) {
	if node == nil {
		return
	}
	_ = sqlparser.Walk(func(node sqlparser.SQLNode) (bool, error) {
		switch node := node.(type) {
		case *sqlparser.Select:
			if node != nil {
				r.selectStatement(node, in)
			}
			return false, nil
		case *sqlparser.SetOp:
			if node == nil {
				return false, nil
			}
			if node.Into != nil {
				r.stop("it selects into something that is no table")
			}
			inner := r.with(node.With, in)
			r.query(node.Left, inner)
			r.query(node.Right, inner)
			r.query(node.OrderBy, inner)
			r.query(node.Limit, inner)
			return false, nil
		case *sqlparser.AliasedTableExpr:
			if t, ok := node.Expr.(sqlparser.TableName); ok {
				r.read(t, in)
			}
		case *sqlparser.FuncExpr:
			if !node.Qualifier.IsEmpty() {
				r.stop("it calls a stored function")
			} else if ordering[node.Name.Lowered()] {
				r.stop(fmt.Sprintf("it calls %s", node.Name.Lowered()))
			}
		}
		return true, nil
	}, node)
}

// ordering are the functions that are called for their place in time.
var ordering = set(`get_lock release_lock release_all_locks is_free_lock is_used_lock sleep load_file
	master_pos_wait source_pos_wait wait_for_executed_gtid_set nextval setval lastval`)

func (r *reader) selectStatement(s *sqlparser.Select, in *scope) {
	r.selects++
	if s.Into != nil {
		r.stop("it selects into something that is no table")
	}
	inner := r.with(s.With, in)
	for _, node := range []sqlparser.SQLNode{
		s.SelectExprs, s.From, s.Where, s.GroupBy, s.Having, s.Window, s.OrderBy, s.Limit,
	} {
		r.query(node, inner)
	}
}

// definition reads CREATE, ALTER, DROP, RENAME and TRUNCATE.
func (r *reader) definition(d *sqlparser.DDL) {
	if d.TriggerSpec != nil || d.ProcedureSpec != nil || d.EventSpec != nil || d.User.Name != "" {
		r.stop("it changes more than tables")
		return
	}
	touched := len(r.e.writes)
	for _, tables := range []sqlparser.TableNames{{d.Table}, d.FromTables, d.ToTables, d.FromViews} {
		for _, table := range tables {
			r.write(table, nil)
		}
	}
	if d.OptLike != nil {
		for _, table := range d.OptLike.LikeTables {
			r.read(table, nil)
		}
	}
	if d.OptSelect != nil {
		r.query(d.OptSelect.Select, nil)
	}
	if d.ViewSpec != nil {
		r.write(d.ViewSpec.ViewName, nil)
		r.query(d.ViewSpec.ViewExpr, nil)
		view := tableName(d.ViewSpec.ViewName)
		r.e.ties = append(r.e.ties, tie{of: view, reads: r.e.reads, writes: r.e.reads})
	}
	if d.TableSpec != nil {
		r.references(d.Table, d.TableSpec)
	}
	if len(r.e.writes) == touched && d.Action != sqlparser.AlterStr {
		r.stop("it changes more than tables")
	}
}

// references ties tables by their foreign keys: a row of one is checked
// against the other, or deleted with it.
func (r *reader) references(child sqlparser.TableName, spec *sqlparser.TableSpec) {
	c := tableName(child)
	tied := func(fk *sqlparser.ForeignKeyDefinition) {
		r.read(fk.ReferencedTable, nil)
		p := tableName(fk.ReferencedTable)
		r.e.ties = append(r.e.ties, tie{of: c, writes: []name{p}}, tie{of: p, writes: []name{c}})
	}
	for _, constraint := range spec.Constraints {
		if fk, ok := constraint.Details.(*sqlparser.ForeignKeyDefinition); ok {
			tied(fk)
		}
	}
	for _, column := range spec.Columns {
		if fk := column.Type.ForeignKeyDef; fk != nil {
			tied(fk)
		}
	}
}
