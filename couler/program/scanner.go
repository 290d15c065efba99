package program

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind tells tokens apart as far as splitting needs it.
type tokenKind uint8

const (
	endToken         tokenKind = iota // the end of the program
	wordToken                         // a name or a keyword
	numberToken                       // after TO only; before it a number is a word
	stringToken                       // '...' or "..."
	quotedToken                       // `...`
	markToken                         // an operator or a bracket
	conditionalToken                  // /*! ... */
)

// token is a piece of the program, text[start:end].
type token struct {
	kind       tokenKind
	start, end int
}

// scanner takes a program apart. It has two languages, for the text before
// TO and after it, and never goes back.
type scanner struct {
	text  string
	at    int
	ended bool // the last token was a semicolon
}

func (s *scanner) word(t token) string { return s.text[t.start:t.end] }

// peek gives the byte n places ahead, 0 past the end (no program holds a 0).
func (s *scanner) peek(n int) byte {
	if s.at+n < len(s.text) {
		return s.text[s.at+n]
	}
	return 0
}

// blanks skips blanks and comments, but no conditional comment. With loose,
// "--" needs nothing behind it to begin a comment, and the blanks of Unicode
// are blanks.
func (s *scanner) blanks(loose bool) *fault {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == ' ' || '\t' <= c && c <= '\r':
			s.at++
		case c == '#', c == '-' && s.peek(1) == '-' && (loose || s.peek(2) <= ' ' || s.peek(2) == 0x7f):
			s.line()
		case c == '/' && s.peek(1) == '*':
			if s.conditional() {
				return nil
			}
			if f := s.comment(); f != nil {
				return f
			}
		case loose && c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(s.text[s.at:])
			if !unicode.IsSpace(r) {
				return nil
			}
			s.at += n
		default:
			return nil
		}
	}
	return nil
}

// conditional tells whether a comment at hand is run by MySQL (/*!) or by
// MariaDB (/*M!).
func (s *scanner) conditional() bool {
	return s.peek(2) == '!' || s.peek(2) == 'M' && s.peek(3) == '!'
}

func (s *scanner) line() {
	if i := strings.IndexByte(s.text[s.at:], '\n'); i >= 0 {
		s.at += i + 1
		return
	}
	s.at = len(s.text)
}

func (s *scanner) comment() *fault {
	i := strings.Index(s.text[s.at+2:], "*/")
	if i < 0 {
		f := faultAt(s.at, "the comment that begins here has no end")
		f.last = true
		return f.because("close it by */")
	}
	s.at += 2 + i + 2
	return nil
}

// quotation reads a string or a quoted name.
func (s *scanner) quotation(kind tokenKind) (token, *fault) {
	start, quote := s.at, s.text[s.at]
	for i := start + 1; i < len(s.text); i++ {
		switch s.text[i] {
		case '\\':
			if kind == stringToken {
				i++
			}
		case quote:
			if i+1 < len(s.text) && s.text[i+1] == quote {
				i++
				continue
			}
			s.at = i + 1
			return token{kind, start, s.at}, nil
		}
	}
	what := "string"
	if kind == quotedToken {
		what = "quoted name"
	}
	f := faultAt(start, "the %s that begins here has no end", what)
	f.last = true
	return token{}, f.because("close it by " + string(quote))
}

// standard gives the next token of standard SQL.
func (s *scanner) standard() (token, *fault) {
	if f := s.blanks(false); f != nil {
		return token{}, f
	}
	start := s.at
	s.ended = s.peek(0) == ';'
	if start == len(s.text) {
		return token{endToken, start, start}, nil
	}
	switch c := s.text[start]; {
	case c == '\'' || c == '"':
		return s.quotation(stringToken)
	case c == '`':
		return s.quotation(quotedToken)
	case isWordByte(c):
		for s.at++; s.at < len(s.text) && isWordByte(s.text[s.at]); s.at++ {
		}
		return token{wordToken, start, s.at}, nil
	case c == '/' && s.peek(1) == '*':
		if f := s.comment(); f != nil {
			return token{}, f
		}
		return token{conditionalToken, start, s.at}, nil
	}
	s.at++
	return token{markToken, start, s.at}, nil
}

// isWordByte holds for what MySQL takes into an unquoted name: any letter
// beyond ASCII, but not the dot between two names.
func isWordByte(c byte) bool {
	return c >= utf8.RuneSelf || c == '_' || c == '$' || isDigit(c) ||
		'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// skipStatement goes behind the next semicolon.
func (s *scanner) skipStatement() *fault {
	for {
		t, f := s.standard()
		if f != nil {
			return f
		}
		if t.kind == endToken || t.kind == markToken && s.text[t.start] == ';' {
			return nil
		}
	}
}

// extended gives the next token of the part after TO, by the rules of
// SQLFlow's lexer.
func (s *scanner) extended() (token, *fault) {
	for {
		if f := s.blanks(true); f != nil {
			return token{}, f
		}
		if s.peek(0) != '/' || s.peek(1) != '*' {
			break
		}
		if f := s.comment(); f != nil { // conditional for MySQL, not for SQLFlow
			return token{}, f
		}
	}
	start := s.at
	s.ended = s.peek(0) == ';'
	if start == len(s.text) {
		return token{endToken, start, start}, nil
	}
	switch c := s.text[start]; {
	case c == '\'' || c == '"':
		return s.quotation(stringToken)
	case isDigit(c):
		s.number()
		return token{numberToken, start, s.at}, nil
	}
	switch s.peek2() {
	case "<=", ">=", "<>", "!=", "**":
		s.at += 2
		return token{markToken, start, s.at}, nil
	}
	r, n := utf8.DecodeRuneInString(s.text[start:])
	switch {
	case unicode.IsLetter(r):
		s.name(false)
		return token{wordToken, start, s.at}, nil
	case r < utf8.RuneSelf && strings.IndexByte("+-*/%<>=()[]{},;!", byte(r)) >= 0:
		s.at += n
		return token{markToken, start, s.at}, nil
	}
	return token{}, faultAt(start, "%s cannot stand after TO", shown(string(r))).because(lookAlike(r))
}

func (s *scanner) peek2() string {
	return s.text[s.at:min(s.at+2, len(s.text))]
}

func (s *scanner) number() {
	digits := func() {
		for isDigit(s.peek(0)) {
			s.at++
		}
	}
	digits()
	if s.peek(0) == '.' && isDigit(s.peek(1)) {
		s.at++
		digits()
	}
	if c := s.peek(0); c == 'e' || c == 'E' {
		if d := s.peek(1); isDigit(d) || (d == '+' || d == '-') && isDigit(s.peek(2)) {
			s.at += 2
			digits()
		}
	}
}

// name reads what SQLFlow takes for one identifier: db.table, a file of a
// model zoo, or an image with its host, port and tag; and, when an image is
// expected, its digest.
func (s *scanner) name(image bool) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '/' && s.peek(1) == '*':
			return
		case c == '/' || c == ':' || c == '.' || c == '_' || image && c == '@':
			s.at++
		case c == '-':
			// Two dashes begin a comment, unless a name goes on behind.
			n := 1
			for s.peek(n) == '-' {
				n++
			}
			if next, _ := utf8.DecodeRuneInString(s.text[s.at+n:]); n > 1 && !unicode.IsLetter(next) && !unicode.IsNumber(next) {
				return
			}
			s.at += n
		default:
			r, n := utf8.DecodeRuneInString(s.text[s.at:])
			if !unicode.IsLetter(r) && !unicode.IsNumber(r) {
				return
			}
			s.at += n
		}
	}
}

// image gives the next token where an image's name may stand, which, other
// than an identifier, may begin with a digit.
func (s *scanner) image() (token, *fault) {
	t, f := s.extended()
	if f != nil || t.kind != wordToken && t.kind != numberToken {
		return t, f
	}
	s.at = t.start
	s.name(true)
	return token{wordToken, t.start, s.at}, nil
}

// lookAlike explains a character that was pasted rather than typed.
func lookAlike(r rune) string {
	ascii, ok := map[rune]string{
		'；': ";", '，': ",", '（': "(", '）': ")", '＝': "=", '。': ".", '：': ":", '［': "[", '］': "]",
		'“': `"`, '”': `"`, '‘': "'", '’': "'", '＂': `"`, '＇': "'", '–': "-", '—': "-", '−': "-",
	}[r]
	switch {
	case ok:
		return "write " + ascii + " instead"
	case r == '`':
		return "SQLFlow knows no quoted names there; write the name without backticks"
	}
	return ""
}
