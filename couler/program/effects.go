package program

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// standardEffects reads standard SQL by the MySQL grammar. What that does not
// know is a barrier.
func standardEffects(text string) effects {
	c := countWords(text)
	switch {
	case strings.Contains(text, "/*!") || strings.Contains(text, "/*M!"):
		return effects{barrier: "it holds a conditional comment", hidden: c.makesCode}
	case c.makesCode:
		return effects{barrier: "it makes code that other statements may set off", hidden: true}
	}
	tree, err := grammar(text)
	switch {
	case err == errTooLarge:
		return effects{barrier: err.Error()}
	case err != nil:
		return effects{barrier: "it is not understood"}
	}
	r := reader{}
	expected := c.selects
	switch st := tree.(type) {
	case sqlparser.SelectStatement:
		r.query(st, nil)
		expected += c.tables
	case *sqlparser.Explain:
		// EXPLAIN ANALYZE of a statement that writes would write.
		if q, ok := st.Statement.(sqlparser.SelectStatement); ok {
			r.query(q, nil)
		} else {
			r.stop("EXPLAIN may run a statement that writes")
		}
	case *sqlparser.Show:
		if st.Table.Name.IsEmpty() {
			r.stop("it lists what other statements make")
		} else {
			r.read(st.Table, nil)
		}
		expected = 0
	case *sqlparser.Insert:
		expected += c.tables
		inner := r.with(st.With, nil)
		r.write(st.Table, nil)
		r.query(st.Rows, inner)
		r.query(sqlparser.AssignmentExprs(st.OnDup), inner)
		r.query(st.Returning, inner)
	case *sqlparser.Update:
		inner := r.with(st.With, nil)
		r.change(st.TableExprs, inner)
		for _, node := range []sqlparser.SQLNode{st.TableExprs, st.Exprs, st.Where, st.OrderBy, st.Limit, st.Returning} {
			r.query(node, inner)
		}
	case *sqlparser.Delete:
		inner := r.with(st.With, nil)
		r.change(st.TableExprs, inner)
		for _, node := range []sqlparser.SQLNode{st.TableExprs, st.Where, st.OrderBy, st.Limit, st.Returning} {
			r.query(node, inner)
		}
	case *sqlparser.DDL:
		r.definition(st)
	case *sqlparser.AlterTable:
		r.write(st.Table, nil)
		for _, part := range st.Statements {
			r.definition(part)
		}
		for _, part := range st.PartitionSpecs {
			if !part.TableName.IsEmpty() {
				r.write(part.TableName, nil)
			}
		}
	case *sqlparser.Analyze:
		for _, table := range st.Tables {
			r.write(table, nil)
		}
	case *sqlparser.Load:
		r.write(st.Table, nil)
		r.query(st.SetExprs, nil)
	case *sqlparser.Use:
		r.stop("USE changes the default database")
	default:
		r.stop(strings.TrimSpace(c.verb + " changes more than tables"))
	}
	// The tree does not always show all it holds. Every SELECT of the text
	// must have been met, or a table may have been missed.
	if r.e.barrier == "" && r.selects != expected {
		r.stop("it is not understood in full")
	}
	if r.e.barrier != "" {
		return effects{barrier: r.e.barrier}
	}
	return r.e
}

// wordCount is what the words of a statement tell without a grammar.
type wordCount struct {
	verb      string
	selects   int  // the keyword SELECT
	tables    int  // the keyword TABLE, which in MySQL begins a query too
	makesCode bool // it makes a trigger, a function, a procedure, an event
}

func countWords(text string) wordCount {
	var c wordCount
	scan := scanner{text: text}
	dot, open := false, true
	for {
		t, f := scan.standard()
		if f != nil || t.kind == endToken {
			return c
		}
		word := scan.word(t)
		if t.kind == wordToken && !dot {
			upper := keyword(word)
			if c.verb == "" {
				c.verb = upper
			}
			switch upper {
			case "SELECT":
				c.selects++
			case "TABLE":
				c.tables++
			}
			if c.verb == "CREATE" && open {
				switch strings.ToUpper(word) {
				case "TRIGGER", "FUNCTION", "PROCEDURE", "EVENT":
					c.makesCode = true
					open = false
				case "TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE":
					open = false
				}
			}
		}
		dot = word == "."
	}
}
