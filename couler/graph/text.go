package graph

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	textName  = 63 // as long as a step's name may be
	textLabel = 60
	// textDepth bounds how far branches of branches move to the right.
	textDepth = 24
)

var glyphs = map[State]string{
	Pending: "○", Running: "◐", Succeeded: "●", Failed: "✗", Error: "!", Skipped: "–",
}

// Text draws a tree. A step stands below the last one it waits for: in the
// same column when it is the only one to do so, else on a branch of its own.
// Others that it waits for are listed behind it.
//
//	○ s1-normal        CREATE TABLE t AS SELECT * FROM s
//	○ s2-train         SELECT * FROM t …
//	├─○ s3-predict     SELECT * FROM u …
//	│ ○ s5-normal      SELECT * FROM p
//	└─○ s4-evaluate    SELECT * FROM u …
func Text(w io.Writer, nodes []Node) error {
	if _, _, err := check(nodes); err != nil {
		return err
	}
	t := text{nodes: nodes, below: make([][]int, len(nodes))}
	var roots []int
	for i, n := range nodes {
		if len(n.After) == 0 {
			roots = append(roots, i)
			continue
		}
		above := slices.Max(n.After)
		t.below[above] = append(t.below[above], i)
	}
	if len(roots) == 1 {
		t.draw(roots[0], "", "", 0)
	} else {
		t.branches(roots, "", 0, "┬─")
	}
	return t.print(w)
}

type text struct {
	nodes []Node
	below [][]int // for each node those that stand below it
	lines []textLine
}

type textLine struct {
	tree string
	node int
	more string // what the tree does not show
}

// draw lists a node and what is below it, the first line behind first, the
// others behind rest.
func (t *text) draw(i int, first, rest string, depth int) {
	for {
		t.lines = append(t.lines, textLine{tree: first, node: i, more: t.others(i)})
		below := t.below[i]
		if len(below) != 1 {
			t.branches(below, rest, depth, "├─")
			return
		}
		i, first = below[0], rest
	}
}

func (t *text) branches(list []int, rest string, depth int, fork string) {
	for k, i := range list {
		first, down := rest+"├─", rest+"│ "
		switch {
		case depth >= textDepth: // no room: stay in the column, and say why
			first, down = rest, rest
		case k == len(list)-1:
			first, down = rest+"└─", rest+"  "
		case k == 0:
			first = rest + fork
		}
		at := len(t.lines)
		t.draw(i, first, down, depth+1)
		if depth >= textDepth {
			t.lines[at].more = t.after(t.nodes[i].after())
		}
	}
}

// others tells what a node waits for besides the one above it.
func (t *text) others(i int) string {
	list := t.nodes[i].after()
	if len(list) < 2 {
		return ""
	}
	return t.after(list[:len(list)-1])
}

func (t *text) after(list []int) string {
	const most = 5
	var names []string
	for _, j := range list {
		if len(names) == most && len(list) > most+1 {
			names = append(names, fmt.Sprintf("%d more", len(list)-most))
			break
		}
		names = append(names, cut(t.nodes[j].Name, textName))
	}
	if names == nil {
		return ""
	}
	return "also after " + strings.Join(names, ", ")
}

func (t *text) print(w io.Writer) error {
	named, stated := 0, tracked(t.nodes)
	for _, l := range t.lines {
		named = max(named, columns(l.tree)+2+columns(cut(t.nodes[l.node].Name, textName)))
	}
	b := bufio.NewWriter(w)
	for _, l := range t.lines {
		n := t.nodes[l.node]
		glyph := glyphs[n.State]
		if glyph == "" {
			glyph = "○"
		}
		line := l.tree + glyph + " " + cut(n.Name, textName)
		line += strings.Repeat(" ", named-columns(line)+2)
		if stated {
			state := ""
			if n.State.known() {
				state = string(n.State)
			}
			line += fmt.Sprintf("%-11s", state)
		}
		line += firstLine(n.Label, textLabel)
		if l.more != "" {
			line += "  (" + l.more + ")"
		}
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
	return b.Flush()
}
