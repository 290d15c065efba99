// Package program reads SQL programs: it cuts a text into statements, tells
// what kind each statement is, and works out which statements must wait for
// which.
//
// A program is plain SQL mixed with SQLFlow's own statements:
//
//	CREATE TABLE iris.small AS SELECT * FROM iris.train LIMIT 50;
//	SELECT * FROM iris.small TO TRAIN DNNClassifier LABEL class INTO m;
//	SELECT * FROM iris.test TO PREDICT iris.result.class USING m;
//
// Parse gives the statements, each with its place in the text; Dependencies
// gives the order in which they may run. Nothing here talks to a database,
// so what only a database knows (views, foreign keys, triggers and stored
// functions made before the program ran) is not taken into account.
//
// # Standard SQL
//
// The SQL before TO belongs to the user's database, which may be MySQL,
// Hive or MaxCompute. Parse therefore refuses only what no dialect accepts:
// text that is not SQL at all, open strings and brackets, a SELECT in a
// place where none can stand. Everything else is left to the database.
//
// Strings are quoted by ' or ", with doubled quotes or backslashes inside;
// names by backticks. Comments are "/* */", "# ..." and "-- ...". As in
// MySQL "--" begins a comment only before a blank, a control character or
// the end of the text, for 5--3 is 8; but at the start of a statement and
// after TO, where no minus can stand, "--" alone is enough. A conditional
// comment of MySQL (/*! ... */) is run by the server and so it counts as
// text of a statement, although a semicolon in it ends nothing.
//
// # The extended part
//
// What follows TO, and SHOW TRAIN, obeys SQLFlow's grammar
// (go/parser/extended_syntax_parser.y and lexer.go in SQLFlow), because the
// step that runs the statement parses it again. Three things are taken more
// kindly: the last semicolon may be missing; a string ends only at the kind
// of quote that began it; an image may carry a digest or begin with a digit.
package program

// Kind says what a statement does.
type Kind string

// The kinds of statements.
const (
	Normal    Kind = "normal"     // standard SQL
	Train     Kind = "train"      // SELECT ... TO TRAIN
	Predict   Kind = "predict"    // SELECT ... TO PREDICT
	Explain   Kind = "explain"    // SELECT ... TO EXPLAIN
	Evaluate  Kind = "evaluate"   // SELECT ... TO EVALUATE
	Optimize  Kind = "optimize"   // SELECT ... TO MAXIMIZE or TO MINIMIZE
	Run       Kind = "run"        // SELECT ... TO RUN
	ShowTrain Kind = "show_train" // SHOW TRAIN
)

// Statement is one statement of a program.
type Statement struct {
	Kind Kind

	// Text is the statement as written, byte for byte: from its first
	// token to its semicolon, comments in between included. Blanks and
	// comments before it belong to no statement. A last statement
	// without a semicolon ends with its last token, so that appending a
	// semicolon always ends it, whatever comment stood behind.
	Text string

	// Line and Column (from 1, in characters) and Offset (from 0, in
	// bytes) tell where Text begins in the program. Lines end at "\n"; a
	// byte order mark at the start of the program is not counted.
	Line, Column, Offset int

	// Image is the container image that the statement names: of TO TRAIN
	// the model's URI up to its last slash, of TO RUN the whole. Empty
	// when none is named.
	Image string
	// Estimator is the rest of TO TRAIN's model URI.
	Estimator string

	// ModelIn is the model that is read: by TO PREDICT, EXPLAIN, EVALUATE
	// and SHOW TRAIN, and the pre-trained model in TO TRAIN's USING.
	// ModelOut is the model that TO TRAIN makes.
	ModelIn, ModelOut string

	// Into is the target as written, db.table.column or table.column for
	// TO PREDICT. The tables of TO RUN are joined by a comma.
	Into string

	// Select is the standard SQL: what stands before TO, or a whole
	// normal statement; without the semicolon and what blanks and
	// comments come last. Empty for SHOW TRAIN.
	Select string

	// Queries are the SELECTs inside attributes, as in
	// WITH validation.select="SELECT * FROM t", without their quotes.
	Queries []string
}

// Parse splits a program into its statements. A text of blanks, comments and
// semicolons has no statement and is no error here; whether an empty program
// makes sense is for the caller to say.
//
// When anything is wrong there are no statements, and the error is an *Error,
// or Errors when several statements are wrong. The time taken grows with the
// length of the text and not faster, whatever is in it.
func Parse(text string) ([]Statement, error) {
	p := parser{text: text, scan: scanner{text: text}, where: newCursor(text)}
	if f := unreadable(text); f != nil {
		p.report(f)
		return nil, p.err()
	}
	p.scan.at = p.where.at // after a byte order mark
	for p.next() {
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return p.statements, nil
}

// parser goes through a program once, statement by statement.
type parser struct {
	text       string
	scan       scanner
	where      cursor
	statements []Statement
	errors     Errors
}

// next reads one statement, or an empty one, and tells whether to go on.
func (p *parser) next() bool {
	if f := p.scan.blanks(true); f != nil {
		p.report(f)
		return false
	}
	if p.scan.at == len(p.text) {
		return false
	}
	if p.text[p.scan.at] == ';' {
		p.scan.at++
		return true
	}
	start := p.scan.at
	st, f := p.statement()
	if f == nil {
		st.Text = p.text[start:st.Offset] // Offset held the end until here
		st.Offset = start
		st.Line, st.Column = p.where.locate(start)
		p.statements = append(p.statements, st)
		return true
	}
	if !p.report(f) || f.last {
		return false
	}
	if p.scan.ended {
		return true
	}
	if f := p.scan.skipStatement(); f != nil {
		p.report(f)
		return false
	}
	return true
}

// maxErrors is how many errors are told at once: enough to mend a program in
// one go, and a bound on what hostile text can make of it.
const maxErrors = 20

// report keeps an error and tells whether there is room for more.
func (p *parser) report(f *fault) bool {
	e := newError(p.text, f.at, f.message, f.hint)
	e.Line, e.Column = p.where.locate(f.at)
	p.errors = append(p.errors, e)
	return len(p.errors) < maxErrors
}

func (p *parser) err() error {
	switch len(p.errors) {
	case 0:
		return nil
	case 1:
		return p.errors[0]
	}
	return p.errors
}
