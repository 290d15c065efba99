package graph

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
)

const (
	diagramName  = 63
	diagramLabel = 48
)

// Mermaid draws a flowchart in the language of mermaid.js. Renderers refuse
// big ones: more than 500 arrows or 50,000 characters by default.
func Mermaid(w io.Writer, nodes []Node) error {
	if _, _, err := check(nodes); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "flowchart TD")
	for i, n := range nodes {
		text := "<b>" + mermaidText(cut(n.Name, diagramName)) + "</b>"
		if label := firstLine(n.Label, diagramLabel); label != "" {
			text += "<br/>" + mermaidText(label)
		}
		fmt.Fprintf(b, "    n%d(\"%s\")", i+1, text)
		if n.State.known() {
			fmt.Fprintf(b, ":::%s", n.State)
		}
		fmt.Fprintln(b)
	}
	for i, n := range nodes {
		for _, j := range n.after() {
			fmt.Fprintf(b, "    n%d --> n%d\n", j+1, i+1)
		}
	}
	if tracked(nodes) {
		for _, s := range states {
			p := palette[s]
			fmt.Fprintf(b, "    classDef %s fill:%s,stroke:%s,color:%s\n", s, p.fill, p.stroke, p.text)
		}
	}
	return b.Flush()
}

// mermaidText writes everything but letters, digits and a few harmless signs
// as an entity, which Mermaid spells #NUMBER; and puts into the page as text.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,-*_=…", r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "#%d;", r)
	}
	return b.String()
}
