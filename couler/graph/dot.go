package graph

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// DOT draws a digraph in the language of Graphviz.
func DOT(w io.Writer, nodes []Node) error {
	if _, _, err := check(nodes); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprint(b, "digraph workflow {\n",
		"    rankdir=TB;\n",
		"    node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11, margin=\"0.15,0.08\"];\n",
		"    edge [color=\"#8c959f\", arrowsize=0.7];\n")
	for i, n := range nodes {
		text := dotText(cut(n.Name, diagramName))
		if label := firstLine(n.Label, diagramLabel); label != "" {
			text += `\n` + dotText(label)
		}
		p := colours(n.State)
		fmt.Fprintf(b, "    n%d [label=\"%s\", tooltip=\"%s\", fillcolor=\"%s\", color=\"%s\", fontcolor=\"%s\"];\n",
			i+1, text, n.State.text(), p.fill, p.stroke, p.text)
	}
	for i, n := range nodes {
		for _, j := range n.after() {
			fmt.Fprintf(b, "    n%d -> n%d;\n", j+1, i+1)
		}
	}
	fmt.Fprintln(b, "}")
	return b.Flush()
}

// text is the state's word, "planned" for none.
func (s State) text() string {
	if s.known() {
		return string(s)
	}
	return "planned"
}

func dotText(s string) string { return dotEscapes.Replace(s) }

// dotEscapes are for what a quoted string of DOT takes for itself, backslashes
// (\N is the node's name) and entities (&lt;) too.
var dotEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;")
