// Package graph draws workflows: steps as boxes, arrows for what waits for
// what, colours for how far a running workflow is. Text is for a terminal,
// Mermaid for a page that renders it (GitHub does), DOT for Graphviz, and SVG
// is a finished picture, made without any other program.
//
// Names and labels may hold anything; each format escapes them its own way,
// and control characters are replaced. The same nodes always give the same
// bytes.
package graph

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// State is how far a step is. The zero State is that of a workflow which is
// only planned.
type State string

// The states of a step.
const (
	Pending   State = "pending"   // waits for its turn
	Running   State = "running"   // is at work
	Succeeded State = "succeeded" // ended well
	Failed    State = "failed"    // ended with an error of its own
	Skipped   State = "skipped"   // will not run, for an earlier one failed
	Error     State = "error"     // could not be run by the engine
)

// states in the order in which they are counted up.
var states = []State{Succeeded, Running, Failed, Error, Skipped, Pending}

// Node is a step.
type Node struct {
	// Name identifies the step for people, as in s3-train.
	Name string
	// Label says what it does, as SQL. Its first line is shown, cut to a
	// bounded length.
	Label string
	// State is one of the constants; any other is drawn like none.
	State State
	// After holds the indices of the nodes that it waits for.
	After []int
}

// after gives the nodes that it waits for in rising order, each once.
func (n Node) after() []int {
	list := slices.Clone(n.After)
	slices.Sort(list)
	return slices.Compact(list)
}

// check makes sure that the nodes can be drawn: each waits for others that are
// there, and none for itself, not even through others. It gives the order in
// which they may run, and for each node how many are one behind the other
// before it at most.
func check(nodes []Node) (order, level []int, err error) {
	missing := make([]int, len(nodes))
	next := make([][]int, len(nodes))
	for i, n := range nodes {
		for _, j := range n.After {
			if j < 0 || j >= len(nodes) {
				return nil, nil, fmt.Errorf("graph: %q waits for node %d of %d", n.Name, j, len(nodes))
			}
			missing[i]++
			next[j] = append(next[j], i)
		}
	}
	level = make([]int, len(nodes))
	for i := range nodes {
		if missing[i] == 0 {
			order = append(order, i)
		}
	}
	for k := 0; k < len(order); k++ {
		i := order[k]
		for _, j := range next[i] {
			level[j] = max(level[j], level[i]+1)
			if missing[j]--; missing[j] == 0 {
				order = append(order, j)
			}
		}
	}
	if len(order) < len(nodes) {
		for i := range nodes {
			if missing[i] > 0 {
				return nil, nil, fmt.Errorf("graph: %q waits for itself, or for nodes that wait for each other", nodes[i].Name)
			}
		}
	}
	return order, level, nil
}

// known tells whether a state is one of the constants.
func (s State) known() bool {
	switch s {
	case Pending, Running, Succeeded, Failed, Skipped, Error:
		return true
	}
	return false
}

// tracked tells whether any node has a state to show.
func tracked(nodes []Node) bool {
	for _, n := range nodes {
		if n.State.known() {
			return true
		}
	}
	return false
}

// firstLine gives the first line of a label with anything on it, its blanks
// made one, at most limit columns wide.
func firstLine(label string, limit int) string {
	label = strings.TrimSpace(label)
	line, rest, _ := strings.Cut(label, "\n")
	line = strings.Join(strings.Fields(bounded(line, 4*limit)), " ")
	if strings.TrimSpace(rest) != "" {
		line += " …"
	}
	return cut(line, limit)
}

// bounded keeps a label of megabytes from being worked on as a whole.
func bounded(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	for bytes > 0 && !utf8.RuneStart(s[bytes]) {
		bytes--
	}
	return s[:bytes] + "…"
}

// cut shortens a text to some columns of a terminal, and replaces what cannot
// be printed.
func cut(s string, limit int) string {
	s = printable(s)
	if columns(s) <= limit {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeColumns(r); n > limit-1 {
			return strings.TrimRight(s[:i], " …") + "…"
		}
	}
	return s
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return utf8.RuneError
	}, s)
}

// columns is how many columns of a terminal a text takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
