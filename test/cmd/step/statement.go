package main

import "strings"

// needsBackend says whether a statement is one of SQLFlow's own: a SELECT with
// TO TRAIN, PREDICT, EXPLAIN, EVALUATE, MAXIMIZE, MINIMIZE or RUN, or SHOW
// TRAIN. Words inside strings, quoted names and comments do not count.
func needsBackend(statement string) bool {
	var first, previous string
	n := 0
	for word := range words(statement) {
		n++
		if n == 1 {
			first = word
		}
		switch {
		// RENAME TABLE a TO train is plain SQL.
		case first == "SELECT" && previous == "TO":
			switch word {
			case "TRAIN", "PREDICT", "EXPLAIN", "EVALUATE", "MAXIMIZE", "MINIMIZE", "RUN":
				return true
			}
		case n == 2 && first == "SHOW" && word == "TRAIN":
			return true
		}
		previous = word
	}
	return false
}

// words yields the bare words of a statement in upper case, and "?" for every
// other thing that separates them.
func words(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i < len(s); {
			rest := s[i:]
			switch c := s[i]; {
			case c == '\'' || c == '"' || c == '`':
				i += quoted(rest)
				if !yield("?") {
					return
				}
			case strings.HasPrefix(rest, "/*"):
				i += until(rest, 2, "*/")
			case c == '#' || strings.HasPrefix(rest, "--"):
				i += until(rest, 1, "\n")
			case isWord(c):
				end := i
				for end < len(s) && isWord(s[end]) {
					end++
				}
				if !yield(strings.ToUpper(s[i:end])) {
					return
				}
				i = end
			case c == ' ' || c == '\t' || c == '\n' || c == '\r':
				i++
			default:
				i++
				if !yield("?") {
					return
				}
			}
		}
	}
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// quoted gives the length of the string or name that s starts with. A doubled
// quote inside it simply starts the next one.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] != '`':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return len(s)
}

// until gives the length of s up to and with the mark, searched from skip on.
func until(s string, skip int, mark string) int {
	if at := strings.Index(s[skip:], mark); at >= 0 {
		return skip + at + len(mark)
	}
	return len(s)
}
