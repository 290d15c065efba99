package quote

import (
	"strings"
	"unicode/utf8"
)

// Python writes text as a Python string literal in double quotes, on one line.
//
// A byte that is no UTF-8 becomes the lone surrogate that Python itself uses
// for it (PEP 383), so that .encode("utf-8", "surrogateescape") gives the very
// bytes back.
func Python(text string) string {
	return doubleQuoted(text, func(b *strings.Builder, c byte) { escape(b, 'u', 0xdc00|uint32(c), 4) })
}

// doubleQuoted writes text in double quotes on one line, with escapes that Python
// and YAML both read. A byte that is no UTF-8 is left to broken.
func doubleQuoted(text string, broken func(b *strings.Builder, c byte)) string {
	var b strings.Builder
	b.Grow(len(text) + 2)
	b.WriteByte('"')
	for i, r := range text {
		switch r {
		case '\\', '"':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\r':
			b.WriteString(`\r`)
		default:
			switch _, size := utf8.DecodeRuneInString(text[i:]); {
			case r == utf8.RuneError && size == 1:
				broken(&b, text[i])
			case printable(r):
				b.WriteRune(r)
			default:
				escapeRune(&b, r)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// PythonLines writes text as a Python expression that can be read: one literal
// a line of text, each after indent. One line needs no brackets.
func PythonLines(text, indent string) string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" && len(lines) > 1 {
		lines = lines[:len(lines)-1]
	}
	for i, line := range lines {
		lines[i] = indent + Python(line)
	}
	return strings.Join(lines, "\n")
}

// YAML writes text as a scalar that every parser, of YAML 1.1 or 1.2, reads as
// a string. Text of several lines becomes a literal block, each line after
// indent, when it is tame enough for every parser to agree on; everything else
// is in double quotes on one line. Bytes that are no UTF-8 cannot stand in YAML
// and become U+FFFD; the caller must have refused or encoded them.
func YAML(text, indent string) string {
	if body, ends := strings.CutSuffix(text, "\n"); block(body) {
		var b strings.Builder
		b.Grow(len(text) + 2)
		b.WriteByte('|')
		if !ends {
			b.WriteByte('-')
		}
		for line := range strings.SplitSeq(body, "\n") {
			b.WriteByte('\n')
			if line != "" {
				b.WriteString(indent)
				b.WriteString(line)
			}
		}
		return b.String()
	}
	return YAMLLine(text)
}

// YAMLLine is YAML on one line: text in double quotes, whatever is in it.
func YAMLLine(text string) string {
	return doubleQuoted(text, func(b *strings.Builder, _ byte) { b.WriteRune(utf8.RuneError) })
}

// block tells whether text, its last line feed aside, may be a literal block:
// several lines, none of them empty at the ends, none that ends with a blank or
// begins with a tab, no unprintable characters, the first line not indented. In
// all other cases the parsers' indentation and chomping rules begin to matter.
func block(text string) bool {
	if !strings.Contains(text, "\n") || strings.HasSuffix(text, "\n") || strings.ContainsRune("\n ", rune(text[0])) || !Printable(text) {
		return false
	}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "\t") || strings.HasSuffix(line, "\t") || strings.HasSuffix(line, " ") {
			return false
		}
	}
	return true
}
