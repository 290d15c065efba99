package program

import (
	"fmt"
	"unicode"
)

// standardPart is a statement while its standard SQL is read.
type standardPart struct {
	p     *parser
	start int // of the first token
	end   int // of the last one

	verb   string // the first keyword, which says what the statement does
	verbAt int    // where it is
	query  bool   // whether it is a SELECT, as far as seen

	depth int // of open parentheses
	open  int // the outermost open one

	last    token
	keyword string // of the last token, when it was one

	suspect *fault // what is an error unless the MySQL grammar knows better
}

// statement reads one statement, at whose first token the scanner stands. The
// Offset it gives is that of the statement's end.
func (p *parser) statement() (Statement, *fault) {
	sp := standardPart{p: p, start: p.scan.at, end: p.scan.at}
	for {
		t, f := p.scan.standard()
		if f != nil {
			return Statement{}, f
		}
		switch {
		case t.kind == endToken, t.kind == markToken && p.text[t.start] == ';':
			if f := sp.finish(t.start); f != nil {
				return Statement{}, f
			}
			end := sp.end
			if t.kind != endToken {
				end = t.end
			}
			return Statement{Kind: Normal, Select: p.text[sp.start:sp.end], Offset: end}, nil
		case t.kind == markToken:
			if f := sp.mark(t); f != nil {
				return Statement{}, f
			}
		case t.kind == wordToken:
			extended, f := sp.word(t)
			if f != nil {
				return Statement{}, f
			}
			if extended {
				return sp.extended()
			}
		default:
			if f := sp.first(t); f != nil {
				return Statement{}, f
			}
			sp.keyword = ""
		}
		sp.last, sp.end = t, t.end
	}
}

// none tells whether the token at hand is the first.
func (sp *standardPart) none() bool { return sp.end == sp.start }

// after tells whether the last token is this mark.
func (sp *standardPart) after(c byte) bool {
	return !sp.none() && sp.last.kind == markToken && sp.p.text[sp.last.start] == c
}

// first checks the token that begins a statement, if t is that.
func (sp *standardPart) first(t token) *fault {
	word := sp.p.scan.word(t)
	switch {
	case !sp.none() || t.kind == conditionalToken:
		return nil
	case t.kind == markToken && (word == "(" || word == "@"):
		return nil // (SELECT ...) UNION ...; a variable of a MaxCompute script
	case t.kind != wordToken:
		return faultAt(t.start, "%s cannot begin a statement", shown(word))
	}
	return sp.begin(t, word)
}

// begin checks the first word of a statement.
func (sp *standardPart) begin(t token, word string) *fault {
	switch verb := keyword(word); {
	case verb == "TO":
		return faultAt(t.start, "TO has no SELECT before it").
			because("write SELECT ... TO TRAIN, PREDICT, EXPLAIN, EVALUATE, RUN, MAXIMIZE or MINIMIZE ...")
	case verb == "DELIMITER":
		f := faultAt(t.start, "DELIMITER is a command of the mysql client, not SQL")
		f.last = true // what a semicolon means from here on is anyone's guess
		return f.because("statements end at a semicolon; stored programs with several statements cannot be part of a program")
	case verb == "END":
		return faultAt(t.start, "END has no BEGIN").
			because("statements end at a semicolon; stored programs with several statements cannot be part of a program")
	case verbs[verb]:
		return nil
	}
	f := faultAt(t.start, "%s does not begin a SQL statement", shown(word))
	for _, r := range word {
		if unicode.IsSpace(r) {
			return f.because(fmt.Sprintf("there is a blank in it, U+%04X, that SQL takes for a letter", r))
		}
		if hint := lookAlike(r); hint != "" {
			return f.because("for " + string(r) + " " + hint)
		}
	}
	if near := nearest(word, verbs); near != "" {
		f.because("is " + near + " meant?")
	}
	return f
}

// mark handles a token that is no word.
func (sp *standardPart) mark(t token) *fault {
	if f := sp.first(t); f != nil {
		return f
	}
	switch sp.p.text[t.start] {
	case '(':
		if sp.depth == 0 {
			sp.open = t.start
		}
		sp.depth++
	case ')':
		if sp.depth == 0 {
			return faultAt(t.start, "this ) closes nothing")
		}
		sp.dangling(t.start)
		sp.depth--
	}
	sp.keyword = ""
	return nil
}

// word handles a word and tells whether the extended part begins with it.
func (sp *standardPart) word(t token) (bool, *fault) {
	scan := &sp.p.scan
	kw := keyword(scan.word(t))
	if sp.after('.') || sp.after('@') || sp.keyword == "AS" {
		kw = "" // a name, whatever it is called
	}
	if sp.none() || sp.verb == "" && sp.after('(') {
		if f := sp.begin(t, scan.word(t)); f != nil {
			return false, f
		}
	}
	if sp.verb == "" && kw != "" {
		sp.verb, sp.verbAt = kw, t.start
		sp.query = queryVerbs[kw]
	} else if sp.verb == "WITH" && sp.depth == 0 && statementVerbs[kw] {
		sp.verb = kw // WITH ... INSERT, WITH ... DELETE
		sp.query = queryVerbs[kw]
	}
	switch kw {
	case "TO":
		return sp.to(t)
	case "TRAIN":
		if sp.keyword == "SHOW" {
			if sp.last.start == sp.start {
				return true, nil
			}
			return false, faultAt(sp.last.start, "SHOW TRAIN is a statement of its own").
				because("is a semicolon missing before it?")
		}
	}
	if sp.query {
		sp.examine(t, kw)
	}
	sp.keyword = kw
	return false, nil
}

// to decides what TO begins. In most statements other than SELECT it is
// part of standard SQL: RENAME TABLE a TO train.
func (sp *standardPart) to(t token) (bool, *fault) {
	next := sp.p.scan // a copy: look, do not move
	n, f := next.extended()
	kw := ""
	if f == nil && n.kind == wordToken {
		kw = keyword(next.word(n))
	}
	switch {
	case extendedVerbs[kw] == "" && !sp.query, standardTo[sp.verb]:
	case !sp.query:
		what := sp.verb
		if what == "" {
			what = "this statement"
		}
		return false, faultAt(t.start, "TO %s can only follow a SELECT, not %s", kw, what)
	case intervalUnits[sp.keyword] && intervalUnits[kw]: // INTERVAL '1-2' YEAR TO MONTH
	case sp.depth > 0 && extendedVerbs[kw] == "": // of a dialect unknown here
	case sp.depth > 0:
		return false, faultAt(t.start, "TO stands between parentheses").
			because("close the one of column " + sp.p.column(sp.open) + " first")
	case extendedVerbs[kw] == "":
		if f != nil && f.last {
			return false, f
		}
		at := t.start
		if n.kind == wordToken {
			at = n.start
		}
		f := faultAt(at, "after TO comes TRAIN, PREDICT, EXPLAIN, EVALUATE, RUN, MAXIMIZE or MINIMIZE")
		if n.kind == wordToken {
			if near := nearest(next.word(n), extendedVerbs); near != "" {
				f.because("is " + near + " meant?")
			}
		}
		return false, f
	default:
		return true, nil
	}
	sp.keyword = "TO"
	return false, nil
}

// extended hands over to the part after TO or SHOW, whose second word comes
// next.
func (sp *standardPart) extended() (Statement, *fault) {
	if sp.keyword == "SHOW" {
		return sp.p.clause("SHOW TRAIN")
	}
	to := sp.p.scan.at - len("TO")
	if f := sp.finish(to); f != nil {
		return Statement{}, f
	}
	verb, f := sp.p.scan.extended()
	if f != nil {
		return Statement{}, f
	}
	st, f := sp.p.clause("TO " + keyword(sp.p.scan.word(verb)))
	st.Select = sp.p.text[sp.start:sp.end]
	return st, f
}

// finish checks a standard part that ends at offset at.
func (sp *standardPart) finish(at int) *fault {
	if sp.depth > 0 {
		return faultAt(sp.open, "this ( is never closed")
	}
	if sp.verb == "" && sp.p.text[sp.start] == '(' {
		return faultAt(sp.start, "no SELECT is between these parentheses")
	}
	if !sp.query {
		return nil
	}
	sp.dangling(at)
	if sp.suspect != nil {
		if _, err := grammar(sp.p.text[sp.start:sp.end]); err != nil && err != errTooLarge {
			return sp.suspect
		}
	}
	return nil
}

// dangling suspects a clause that ends before it began.
func (sp *standardPart) dangling(at int) {
	if !sp.query {
		return
	}
	if sp.after(',') {
		sp.doubt(sp.last.start, "nothing follows this comma", "")
	} else if opensClause[sp.keyword] {
		sp.doubt(sp.last.start, "nothing follows "+sp.keyword, "")
	}
}

// examine suspects a word of a query that cannot stand where it stands, in
// any dialect that we know.
func (sp *standardPart) examine(t token, kw string) {
	switch kw {
	case "SELECT":
		if sp.verb != "SELECT" || sp.after('(') || sp.after(')') {
			break
		}
		switch sp.keyword {
		case "UNION", "ALL", "DISTINCT", "EXCEPT", "INTERSECT", "MINUS":
		default:
			if t.start != sp.verbAt {
				sp.doubt(t.start, "SELECT cannot stand here", "is a semicolon missing before it?")
			}
		}
	case "CREATE", "DROP", "ALTER", "INSERT", "DELETE", "GRANT", "REVOKE":
		if sp.verb == "SELECT" && sp.depth == 0 {
			sp.doubt(t.start, kw+" cannot stand here", "is a semicolon missing before it?")
		}
	case "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION":
		if opensClause[sp.keyword] {
			sp.doubt(t.start, kw+" cannot follow "+sp.keyword, "")
		}
	}
}

func (sp *standardPart) doubt(at int, message, hint string) {
	if sp.suspect == nil {
		sp.suspect = &fault{at: at, message: message, hint: hint}
	}
}
