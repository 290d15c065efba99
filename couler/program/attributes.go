package program

import "strings"

// attributes reads what follows WITH.
func (c *clause) attributes() {
	seen := make(map[string]bool)
	for {
		at := c.t.start
		name := c.name("the name of an attribute")
		if seen[name] {
			c.fail(faultAt(at, "%s: the attribute %s is given twice", c.what, shown(name)))
		}
		seen[name] = true
		c.expect("=")
		value := c.t
		c.expression(0)
		if c.fault != nil {
			return
		}
		if value.kind == stringToken && c.st.Offset == value.end {
			if q := unquote(c.scan.word(value)); isQuery(q) {
				c.st.Queries = append(c.st.Queries, q)
			}
		}
		if !c.accept(",") {
			return
		}
	}
}

// columns reads the COLUMN clauses. All but the first must say what they
// are FOR.
func (c *clause) columns() {
	for n := 0; c.accept("COLUMN"); n++ {
		for {
			if !c.accept("*") {
				if c.name("a column"); c.is("(") {
					c.list(")", 0)
				}
			}
			if !c.accept(",") {
				break
			}
		}
		if n > 0 && c.kw != "FOR" {
			c.expected("FOR")
		}
		if c.accept("FOR") {
			c.name("the name of a set of columns")
		}
	}
}

// maxNesting bounds the brackets in an expression: people need three or four.
const maxNesting = 200

// expression reads one, whose meaning is for the step to find out.
func (c *clause) expression(depth int) {
	if depth > maxNesting {
		c.fail(faultAt(c.t.start, "%s: brackets are nested more than %d deep", c.what, maxNesting))
	}
	for c.fault == nil {
		for c.accept("NOT") || c.accept("-") {
		}
		switch {
		case c.t.kind == numberToken || c.t.kind == stringToken:
			c.next()
		case c.t.kind == wordToken && c.kw == "":
			if c.name("a name"); c.is("(") {
				c.list(")", depth)
			}
		case c.is("["):
			c.list("]", depth)
		case c.accept("("):
			c.expression(depth + 1)
			c.expect(")")
		default:
			c.expected("a value")
		}
		if !c.operator() {
			return
		}
	}
}

// operator goes behind one that takes two values.
func (c *clause) operator() bool {
	if c.kw == "AND" || c.kw == "OR" {
		c.next()
		return true
	}
	if c.t.kind == markToken {
		switch c.scan.word(c.t) {
		case "+", "-", "*", "/", "%", "=", "<", ">", "<=", ">=", "<>", "!=":
			c.next()
			return true
		}
	}
	return false
}

// list reads expressions between brackets, the left one being at hand.
func (c *clause) list(right string, depth int) {
	c.next()
	if c.accept(right) {
		return
	}
	for {
		c.expression(depth + 1)
		if !c.accept(",") {
			break
		}
	}
	c.expect(right)
}

// unquote gives what a string of SQL stands for.
func unquote(s string) string {
	quote, s := s[0], s[1:len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		ch := s[i]
		if (ch == '\\' || ch == quote) && i+1 < len(s) {
			i++
			escaped := strings.IndexByte("ntr", s[i])
			if ch = s[i]; escaped >= 0 && s[i-1] == '\\' {
				ch = "\n\t\r"[escaped]
			}
		}
		b.WriteByte(ch)
	}
	return b.String()
}

// isQuery tells whether a string is a query, and not any other value.
func isQuery(s string) bool {
	scan := scanner{text: s}
	for {
		t, f := scan.standard()
		if f != nil || t.kind == endToken {
			return false
		}
		if t.kind == wordToken {
			kw := keyword(scan.word(t))
			return kw == "SELECT" || kw == "WITH"
		}
		if scan.word(t) != "(" {
			return false
		}
	}
}
