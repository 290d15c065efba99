package program

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Error is a mistake in a program, and where it is.
type Error struct {
	// Line and Column (from 1, in characters) and Offset (from 0, in
	// bytes) tell where the mistake is.
	Line, Column, Offset int
	// Source is the line, without its end. A long line is cut around the
	// mistake, "…" standing for what is left out; control characters,
	// which could play tricks on a terminal, are replaced.
	Source string
	// Caret is the place of the mistake in Source, in characters from 0.
	Caret int
	// Message says what is wrong, Hint what may help (or nothing).
	Message, Hint string
}

// Errors are several mistakes in one program, in the order of the text.
type Errors []*Error

// NewError makes the error for a place in a program, so that whoever handles
// its statements later can point at them as Parse does. An offset (in bytes)
// outside the text is moved to its nearest end.
func NewError(text string, offset int, message, hint string) *Error {
	offset = min(max(offset, 0), len(text))
	e := newError(text, offset, message, hint)
	c := newCursor(text)
	e.Line, e.Column = c.locate(offset)
	return e
}

// Error gives a line that says where and what, the line of the program, and a
// caret under the mistake.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d, column %d: %s\n  %s\n  ", e.Line, e.Column, e.Message, e.Source)
	n := 0
	for _, r := range e.Source {
		if n == e.Caret {
			break
		}
		n++
		if r == '\t' {
			b.WriteByte('\t') // as wide as the one above, whatever that is
			continue
		}
		for range columns(r) {
			b.WriteByte(' ')
		}
	}
	b.WriteByte('^')
	if e.Hint != "" {
		b.WriteString("\n  hint: ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Error gives the errors one below the other.
func (es Errors) Error() string {
	texts := make([]string, len(es))
	for i, e := range es {
		texts[i] = e.Error()
	}
	if len(es) == maxErrors {
		texts = append(texts, "there are too many errors to go on")
	}
	return strings.Join(texts, "\n")
}

// Unwrap lets errors.As find each *Error.
func (es Errors) Unwrap() []error {
	list := make([]error, len(es))
	for i, e := range es {
		list[i] = e
	}
	return list
}

// fault is an error on its way: a place, and what to say about it. After the
// last one nothing more can be read.
type fault struct {
	at            int
	message, hint string
	last          bool
}

func faultAt(at int, format string, args ...any) *fault {
	return &fault{at: at, message: fmt.Sprintf(format, args...)}
}

func (f *fault) because(hint string) *fault {
	f.hint = hint
	return f
}

const byteOrderMark = "\ufeff"

// unreadable finds what makes a text no text at all.
func unreadable(text string) *fault {
	if i := strings.IndexByte(text, 0); i >= 0 {
		f := faultAt(i, "a NUL byte is in the program")
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") || i < 2 {
			f.because("the text looks like UTF-16; save it as UTF-8")
		}
		return f
	}
	if utf8.ValidString(text) {
		return nil
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			return faultAt(i, "the byte 0x%02X is not valid UTF-8", text[i]).
				because("save the program as UTF-8")
		}
		i += n
	}
	return nil
}

// cursor turns offsets into lines and columns. Asked in rising order it reads
// the text once in all.
type cursor struct {
	text         string
	at           int
	line, column int
}

func newCursor(text string) cursor {
	c := cursor{text: text, line: 1, column: 1}
	if strings.HasPrefix(text, byteOrderMark) {
		c.at = len(byteOrderMark)
	}
	return c
}

func (c *cursor) locate(offset int) (line, column int) {
	if offset < c.at {
		*c = newCursor(c.text)
		if offset < c.at {
			return 1, 1
		}
	}
	passed := c.text[c.at:offset]
	if n := strings.Count(passed, "\n"); n > 0 {
		c.line += n
		c.column = 1
		passed = passed[strings.LastIndexByte(passed, '\n')+1:]
	}
	c.column += utf8.RuneCountInString(passed)
	c.at = offset
	return c.line, c.column
}

// How much of a long line is shown before and after a mistake, in characters.
const (
	shownBefore = 60
	shownAfter  = 50
)

// newError makes an Error but for its line and column.
func newError(text string, offset int, message, hint string) *Error {
	begin := strings.LastIndexByte(text[:offset], '\n') + 1
	if begin == 0 && strings.HasPrefix(text, byteOrderMark) {
		begin = min(len(byteOrderMark), offset)
	}
	end := len(text)
	if i := strings.IndexByte(text[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	line := text[begin:end]
	if trimmed := strings.TrimSuffix(line, "\r"); len(trimmed) >= offset-begin {
		line = trimmed
	}
	before, after := line[:offset-begin], line[offset-begin:]

	head, cut := lastRunes(before, shownBefore)
	source := printable(head)
	if cut {
		source = "…" + source
	}
	caret := utf8.RuneCountInString(source)
	tail, cut := firstRunes(after, shownAfter)
	source += printable(tail)
	if cut {
		source += "…"
	}
	return &Error{Offset: offset, Source: source, Caret: caret, Message: message, Hint: hint}
}

func lastRunes(s string, n int) (string, bool) {
	at := len(s)
	for ; n > 0 && at > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(s[:at])
		at -= size
	}
	return s[at:], at > 0
}

func firstRunes(s string, n int) (string, bool) {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return s[:at], at < len(s)
}

// printable replaces what could disturb a terminal: controls, directions of
// writing, bytes that are no character.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) || r == ' ' {
			return r
		}
		return utf8.RuneError
	}, s)
}

// columns is how many columns of a terminal a character takes.
func columns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// shown quotes a piece of a program for a message, short and on one line.
func shown(s string) string {
	piece, cut := firstRunes(s, 30)
	piece = strings.ReplaceAll(printable(piece), "\t", " ")
	if cut {
		piece += "…"
	}
	return "`" + piece + "`"
}
