// Package quote carries a user's text unchanged through the languages that
// stand between it and the program that must read it: bash, Python, YAML, and
// the template languages of the workflow engines.
//
// There is one function per target. Each is exact: what comes out at the other
// end is the text that went in, byte for byte.
package quote

import (
	"encoding/base64"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain reports whether text can be written into an engine's YAML as it is.
//
// Text is not plain when it is not Printable, or somebody on its way would
// rewrite it:
//   - "{{" and "}}" are Argo's tags (argo-workflows, util/template), which have
//     no escape;
//   - "$" begins Tekton's variables and the kubelet's $(VAR), and "$$" is one
//     dollar to the kubelet (Kubernetes, third_party/forked/golang/expansion).
//
// It knows nothing of quoting: plain text still needs YAML, Bash or Python.
func Plain(text string) bool {
	return Printable(text) && !strings.Contains(text, "$") && !strings.Contains(text, "{{") && !strings.Contains(text, "}}")
}

// Printable reports whether text is UTF-8 (other bytes become U+FFFD in JSON)
// without control and other unprintable characters, which not every YAML parser
// keeps and which hide from whoever reads the file. Line feed and tab are kept.
func Printable(text string) bool {
	for i, r := range text {
		if r == '\n' || r == '\t' {
			continue
		}
		if !printable(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

// printable is what a reader sees and every YAML parser keeps: the line
// separators U+0085, U+2028 and U+2029, blanks other than the common one, and
// the byte order mark are not.
func printable(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != 0x7f
	}
	return unicode.IsPrint(r) && r != 0xfeff
}

// Bash writes text as one word of bash or any POSIX shell, in double quotes.
// Exactly four characters are special there: the backslash, the double quote,
// the backtick and the dollar ("!" too, but only at a prompt). A shell has no
// word that holds a NUL byte; the caller must have refused it.
func Bash(text string) string {
	var b strings.Builder
	b.Grow(len(text) + 2)
	b.WriteByte('"')
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\', '"', '`', '$':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// FromBash is the inverse of Bash. It takes what Bash writes at the start of
// script and returns the text and what follows the word; ok is false when no
// such word stands there.
func FromBash(script string) (text, rest string, ok bool) {
	if !strings.HasPrefix(script, `"`) {
		return "", script, false
	}
	var b strings.Builder
	for i := 1; i < len(script); i++ {
		switch c := script[i]; c {
		case '"':
			return b.String(), script[i+1:], true
		case '\\':
			if i++; i == len(script) || !strings.ContainsRune("\\\"`$", rune(script[i])) {
				return "", script, false
			}
			b.WriteByte(script[i])
		case '`', '$':
			return "", script, false
		default:
			b.WriteByte(c)
		}
	}
	return "", script, false
}

// BashVariable writes an assignment that gives the shell variable name the
// text, carried as base64 because it is not Plain. The text must be used as
//
//	"${name%.}"
//
// A command substitution drops trailing line feeds, so a dot is put behind the
// text and taken off again. The dot, and not a letter, because in no character
// set of a locale is it the second half of another character. The assignment
// fails, with the exit code of base64, when the image has no such program;
// what must not run then is to be joined to it by &&.
//
// The result holds neither "$(" nor "$$" nor braces, and so neither has the use.
func BashVariable(name, text string) string {
	return name + "=`printf %s " + base64.StdEncoding.EncodeToString([]byte(text)) + " | base64 -d && echo .`"
}

// FromBashVariable is the inverse of BashVariable, at the start of script.
func FromBashVariable(name, script string) (text, rest string, ok bool) {
	payload, found := strings.CutPrefix(script, name+"=`printf %s ")
	if !found {
		return "", script, false
	}
	payload, rest, found = strings.Cut(payload, " | base64 -d && echo .`")
	if !found {
		return "", script, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(payload)
	if err != nil {
		return "", script, false
	}
	return string(b), rest, true
}

// Comment writes text for the eyes only, as lines without line ends: what is
// unprintable shows as an escape, so that a line can neither end the comment
// nor move a terminal's cursor.
func Comment(text string) []string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(visible(strings.TrimSuffix(line, "\r")), " ")
	}
	return lines
}

func visible(line string) string {
	var b strings.Builder
	for i, r := range line {
		_, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case r == '\t':
			b.WriteString("    ")
		case r == utf8.RuneError && size == 1:
			escape(&b, 'x', uint32(line[i]), 2)
		case printable(r):
			b.WriteRune(r)
		default:
			escapeRune(&b, r)
		}
	}
	return b.String()
}

const hex = "0123456789abcdef"

func escape(b *strings.Builder, letter byte, value uint32, digits int) {
	b.WriteByte('\\')
	b.WriteByte(letter)
	for shift := (digits - 1) * 4; shift >= 0; shift -= 4 {
		b.WriteByte(hex[value>>shift&0xf])
	}
}

// escapeRune writes what Python and YAML both read in double quotes.
func escapeRune(b *strings.Builder, r rune) {
	switch {
	case r < 0x80:
		escape(b, 'x', uint32(r), 2)
	case r < 0x10000:
		escape(b, 'u', uint32(r), 4)
	default:
		escape(b, 'U', uint32(r), 8)
	}
}
