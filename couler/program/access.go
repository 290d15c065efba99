package program

import (
	"slices"
	"strings"
)

// Access is what a statement reads and writes.
type Access struct {
	// Reads and Writes name tables and models, sorted, in lower case:
	// "table:db.t" and "model:db.m", or "table:t" when nothing says which
	// database is meant. A name with a dot or a backtick in it stands in
	// backticks. Views count as tables, both under their own name.
	Reads, Writes []string
	// Barrier is true for a statement of which it is not known what it
	// reads and writes: everything before it must end first, and
	// everything behind it must wait. Why says the reason.
	Barrier bool
	Why     string
}

// Access tells what the statement reads and writes. Names without a database
// are taken to be in defaultDB, unless that is empty.
func (s Statement) Access(defaultDB string) Access {
	e := s.effects()
	if e.barrier != "" {
		return Access{Barrier: true, Why: e.barrier}
	}
	return Access{Reads: texts(e.reads, defaultDB), Writes: texts(e.writes, defaultDB)}
}

// name is that of a table or a model, in lower case, because MySQL on some
// systems takes T and t for the same table.
type name struct {
	kind     string // table or model
	db, base string // db may be empty: not known
}

func (n name) String() string {
	if n.db == "" {
		return n.kind + ":" + quoted(n.base)
	}
	return n.kind + ":" + quoted(n.db) + "." + quoted(n.base)
}

func quoted(s string) string {
	if strings.ContainsAny(s, ".`") {
		return "`" + strings.ReplaceAll(s, "`", "``") + "`"
	}
	return s
}

// mayBe tells whether two names may stand for the same thing. A model is kept
// in a table of its name (go/model in SQLFlow), so the kinds do not matter.
func (n name) mayBe(m name) bool {
	return n.base == m.base && (n.db == m.db || n.db == "" || m.db == "")
}

func texts(names []name, defaultDB string) []string {
	var list []string
	for _, n := range names {
		if n.db == "" {
			n.db = strings.ToLower(defaultDB)
		}
		list = append(list, n.String())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// written takes a name apart as SQLFlow's grammar has it: [db.]name.
func written(kind, s string) name {
	s = strings.ToLower(s)
	if i := strings.LastIndexByte(s, '.'); i >= 0 {
		return name{kind, s[:i], s[i+1:]}
	}
	return name{kind, "", s}
}

// predicted gives the table of TO PREDICT's target, which ends in a column
// (parseResultTable in go/ir/ir_generator.go of SQLFlow).
func predicted(into string) name {
	if i := strings.LastIndexByte(into, '.'); i >= 0 {
		into = into[:i]
	}
	return written("table", into)
}

// effects are what is known of a statement's doing.
type effects struct {
	reads, writes []name
	barrier       string // why nothing is known
	hidden        bool   // from here on any statement may do more than it says
	ties          []tie
}

// tie says that whoever touches one table touches others too.
type tie struct {
	of     name
	reads  []name // what is read when it is read
	writes []name // what is written when it is written
}

func (e *effects) add(other effects) {
	e.reads = append(e.reads, other.reads...)
	e.writes = append(e.writes, other.writes...)
	if e.barrier == "" {
		e.barrier = other.barrier
	}
}

// effects works them out from the statement's own words.
func (s Statement) effects() effects {
	var e effects
	if s.Select != "" {
		e = standardEffects(s.Select)
	}
	for _, q := range s.Queries {
		e.add(standardEffects(q))
	}
	if s.ModelIn != "" {
		e.reads = append(e.reads, written("model", s.ModelIn))
	}
	if s.ModelOut != "" {
		e.writes = append(e.writes, written("model", s.ModelOut))
	}
	switch {
	case s.Kind == Run && s.Into == "":
		// The tables of INTO are what the program in the image promises
		// to write. One that promises nothing is still run for a reason.
		e.barrier = "TO RUN without INTO does not say what it changes"
	case s.Kind == Predict:
		e.writes = append(e.writes, predicted(s.Into))
	case s.Into != "":
		for table := range strings.SplitSeq(s.Into, ",") {
			e.writes = append(e.writes, written("table", table))
		}
	}
	return e
}
