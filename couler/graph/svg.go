package graph

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Sizes in pixels.
const (
	svgMargin  = 24
	svgHeight  = 54 // of a box
	svgDown    = 52 // between layers
	svgAside   = 28 // between boxes
	svgBend    = 20 // for an arrow that passes a layer
	svgPad     = 16 // between a box's edge and its text
	svgName    = 8  // a letter of a name, about, in 13 px bold
	svgLetter  = 6.7
	svgLabel   = 44 // columns of a label
	svgNamed   = 36 // columns of a name
	svgTooltip = 2000
)

// SVG draws a picture: rounded boxes in the colours of their states, smooth
// arrows, and, when there are states, a line that counts them. The full label
// appears when the mouse rests on a box. On a dark page it turns dark.
func SVG(w io.Writer, nodes []Node) error {
	_, level, err := check(nodes)
	if err != nil {
		return err
	}
	stated := tracked(nodes)
	inner := 120.0
	for _, n := range nodes {
		name := float64(columns(cut(n.Name, svgNamed))) * svgName
		if n.State.known() {
			name += 12 + float64(len(n.State))*6.4
		}
		inner = max(inner, name, float64(columns(firstLine(n.Label, svgLabel)))*svgLetter)
	}
	box := math.Ceil(inner + 2*svgPad + 6)
	l := arrange(nodes, level, box+svgAside, svgBend)

	s := svg{w: bufio.NewWriter(w), nodes: nodes, layout: l, box: box}
	width, height := max(2*svgMargin-svgAside+l.width, 2*svgMargin), 2*float64(svgMargin)
	if n := len(l.layers); n > 0 {
		height += float64(n*(svgHeight+svgDown) - svgDown)
	}
	legend := s.legend()
	if stated {
		height += 30
		last := legend[len(legend)-1]
		width = max(width, 2*svgMargin+last.x+last.width)
	}
	s.head(width, height)
	for _, a := range l.arrows {
		s.arrow(a)
	}
	for i := range nodes {
		s.node(i)
	}
	for _, e := range legend {
		s.entry(e, height-svgMargin)
	}
	s.printf("</svg>\n")
	return s.w.Flush()
}

type svg struct {
	w      *bufio.Writer
	nodes  []Node
	layout *layout
	box    float64
}

func (s *svg) printf(format string, args ...any) { fmt.Fprintf(s.w, format, args...) }

// x and y are the middle of a place's upper edge.
func (s *svg) x(p place) float64 { return svgMargin - svgAside/2 + p.x }
func (s *svg) y(p place) float64 { return svgMargin + float64(p.layer)*(svgHeight+svgDown) }

// px writes a length with at most one decimal, so that drawings stay small
// and the same on every machine.
func px(x float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
}

func (s *svg) head(width, height float64) {
	s.printf(`<svg xmlns="http://www.w3.org/2000/svg" role="img" width="%[1]s" height="%[2]s" viewBox="0 0 %[1]s %[2]s">
<title>Workflow of %[3]d steps</title>
<style>
.page { fill: #ffffff; }
.name { font: 600 13px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #24292f; }
.label { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #57606a; }
.state { font: 11px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
.arrow { fill: none; stroke: #8c959f; stroke-width: 1.5; }
.tip { fill: #8c959f; }
.shadow { fill: #1f2328; opacity: 0.07; }
`, px(width), px(height), len(s.nodes))
	for _, state := range append([]State{""}, states...) {
		c, class := colours(state), class(state)
		s.printf(".%s { fill: %s; stroke: %s; stroke-width: 1.2; }\n.%s-bar { fill: %s; }\n.%s-text { fill: %s; }\n",
			class, c.fill, c.stroke, class, c.stroke, class, c.text)
	}
	s.printf(".skipped { stroke-dasharray: 4 3; }\n@media (prefers-color-scheme: dark) {\n")
	s.printf(".page { fill: #0d1117; }\n.name { fill: #e6edf3; }\n.label { fill: #9198a1; }\n.shadow { opacity: 0; }\n")
	for _, state := range append([]State{""}, states...) {
		s.printf(".%s { fill: #161b22; }\n.%s-text { fill: %s; }\n", class(state), class(state), dark[state])
	}
	s.printf(`}
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0.8 L7.5 4 L0 7.2 L1.8 4 Z"/></marker></defs>
<rect class="page" width="100%%" height="100%%"/>
`)
}

// dark holds the colours of words on a dark page. It is only read.
var dark = map[State]string{
	"": "#9198a1", Pending: "#9198a1", Running: "#58a6ff", Succeeded: "#3fb950",
	Failed: "#f85149", Error: "#db6d28", Skipped: "#768390",
}

// class is the CSS class of a state.
func class(s State) string { return s.text() }

// arrow draws a line that leaves and enters each layer straight down.
func (s *svg) arrow(a arrow) {
	from := s.layout.places[a.path[0]]
	x, y := s.x(from), s.y(from)+svgHeight
	var d strings.Builder
	fmt.Fprintf(&d, "M%s %s", px(x), px(y))
	for k, p := range a.path[1:] {
		to := s.layout.places[p]
		tx, ty := s.x(to), s.y(to)
		if k == len(a.path)-2 {
			ty -= 2 // room for the tip
		}
		if dx := math.Abs(tx - x); dx < 0.5 || dx < 12 && len(a.path) == 2 { // too little for a curve
			fmt.Fprintf(&d, " L%s %s", px(tx), px(ty))
		} else {
			half := svgDown * 0.7
			fmt.Fprintf(&d, " C%s %s %s %s %s %s", px(x), px(y+half), px(tx), px(ty-half), px(tx), px(ty))
		}
		x, y = tx, ty
		if to.node < 0 { // straight past the boxes of the layer
			y += svgHeight
			fmt.Fprintf(&d, " L%s %s", px(x), px(y))
		}
	}
	s.printf("<path class=\"arrow\" d=\"%s\" marker-end=\"url(#tip)\"/>\n", d.String())
}

func (s *svg) node(i int) {
	n, p := s.nodes[i], s.layout.places[i]
	left, top := s.x(p)-s.box/2, s.y(p)
	s.printf("<g transform=\"translate(%s %s)\">\n<title>%s</title>\n", px(left), px(top), xmlText(tooltip(n)))
	c := class(n.State)
	s.printf("<rect class=\"shadow\" x=\"1\" y=\"2.5\" width=\"%s\" height=\"%d\" rx=\"9\"/>\n", px(s.box), svgHeight)
	s.printf("<rect class=\"%s\" width=\"%s\" height=\"%d\" rx=\"9\"/>\n", c, px(s.box), svgHeight)
	s.printf("<rect class=\"%s-bar\" x=\"6\" y=\"10\" width=\"4\" height=\"%d\" rx=\"2\"/>\n", c, svgHeight-20)
	label := firstLine(n.Label, svgLabel)
	y := 22
	if label == "" {
		y = svgHeight/2 + 5
	}
	s.printf("<text class=\"name\" x=\"%d\" y=\"%d\">%s</text>\n", svgPad+4, y, xmlText(cut(n.Name, svgNamed)))
	if n.State.known() {
		s.printf("<text class=\"state %s-text\" x=\"%s\" y=\"%d\" text-anchor=\"end\">%s</text>\n", c, px(s.box-12), y, n.State)
	}
	if label != "" {
		s.printf("<text class=\"label\" x=\"%d\" y=\"41\" xml:space=\"preserve\">%s</text>\n", svgPad+4, xmlText(label))
	}
	s.printf("</g>\n")
}

// tooltip is a node in full, or nearly.
func tooltip(n Node) string {
	text := n.Name
	if n.State.known() {
		text += " (" + string(n.State) + ")"
	}
	if label := strings.TrimSpace(n.Label); label != "" {
		text += "\n" + bounded(label, svgTooltip)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// legendEntry counts a state.
type legendEntry struct {
	state    State
	text     string
	x, width float64 // from the margin
}

func (s *svg) legend() []legendEntry {
	count := make(map[State]int)
	for _, n := range s.nodes {
		count[n.State]++
	}
	var list []legendEntry
	x := 0.0
	for _, state := range states {
		if count[state] > 0 {
			text := fmt.Sprintf("%d %s", count[state], state)
			list = append(list, legendEntry{state, text, x, 13 + float64(len(text))*6.4})
			x += list[len(list)-1].width + 18
		}
	}
	return list
}

func (s *svg) entry(e legendEntry, y float64) {
	x := svgMargin + e.x
	s.printf("<circle class=\"%s-bar\" cx=\"%s\" cy=\"%s\" r=\"4\"/>\n", class(e.state), px(x+4), px(y-4))
	s.printf("<text class=\"state %s-text\" x=\"%s\" y=\"%s\">%s</text>\n", class(e.state), px(x+13), px(y), e.text)
}

func xmlText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}
