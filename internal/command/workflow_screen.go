package command

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/text/width"

	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// screen keeps a table of a workflow's steps at the bottom of a terminal, below what they
// have printed. It draws only with: carriage return, cursor up, erase below, colours.
type screen struct {
	out   io.Writer
	now   func() time.Time
	size  func() (columns, rows int)
	last  *workflow.Status
	lines []string // that have come since it was drawn
	drawn int      // rows of the table that stand on the terminal
	turn  int      // of the spinner
}

func newScreen(out io.Writer, now func() time.Time, size func() (int, int)) *screen {
	fmt.Fprint(out, hideCursor)
	return &screen{out: out, now: now, size: size}
}

const (
	hideCursor  = "\x1b[?25l"
	showCursor  = "\x1b[?25h"
	eraseBelow  = "\x1b[J"
	resetColour = "\x1b[0m"
	mostKept    = 500 // lines between two drawings; then it draws at once
)

func (s *screen) status(now *workflow.Status) {
	s.last = now
	s.draw()
}

func (s *screen) line(step, text string) {
	s.lines = append(s.lines, "\x1b[2m"+step+" |"+resetColour+" "+printable(text))
	if len(s.lines) >= mostKept {
		s.draw()
	}
}

func (s *screen) tick() {
	s.turn++
	s.draw()
}

// close leaves the table as it is last.
func (s *screen) close() {
	s.draw()
	fmt.Fprint(s.out, showCursor)
}

// draw writes what has come, and the table again, in one write.
func (s *screen) draw() {
	var b bytes.Buffer
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA", s.drawn)
	}
	b.WriteString(eraseBelow)
	for _, line := range s.lines {
		b.WriteString(line + "\n")
	}
	s.lines = nil
	s.drawn = 0
	if s.last != nil {
		columns, rows := s.size()
		table := s.table(columns, max(rows-1, 3))
		for _, line := range table {
			b.WriteString(line + "\n")
		}
		s.drawn = len(table)
	}
	_, _ = s.out.Write(b.Bytes())
}

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// sign gives a state its sign and colour.
func (s *screen) sign(state workflow.State) (sign, colour string) {
	switch state {
	case workflow.Running:
		return string(spinner[s.turn%len(spinner)]), "\x1b[36m"
	case workflow.Succeeded:
		return "✓", "\x1b[32m"
	case workflow.Failed:
		return "✗", "\x1b[31m"
	case workflow.Error:
		return "!", "\x1b[31m"
	case workflow.Skipped:
		return "–", "\x1b[2m"
	case workflow.Pending:
		return "·", "\x1b[2m"
	}
	return "?", ""
}

// table gives the lines of the table, cut to the terminal. When the steps do not fit, those
// that have ended are left out first, the earliest first, then those that wait.
func (s *screen) table(columns, rows int) []string {
	now := s.now()
	steps := s.last.Steps
	shown, left := choose(steps, rows-2)
	nameWidth := 4
	for _, i := range shown {
		nameWidth = max(nameWidth, len(steps[i].Name))
	}
	var lines []string
	sign, colour := s.sign(s.last.State)
	lines = append(lines, colour+cut(fmt.Sprintf("%s %s %s, %s", sign, s.last.Name, s.last.State, headline(s.last, now)), columns)+resetColour)
	for _, i := range shown {
		step := steps[i]
		sign, colour := s.sign(step.State)
		what := step.Message
		if what == "" {
			what = firstLine(step.Text)
		}
		if step.Retries > 0 {
			what = fmt.Sprintf("try %d  %s", step.Retries+1, what)
		}
		text := fmt.Sprintf("  %s %-*s  %-9s %7s  %s", sign, nameWidth, step.Name, dash(string(step.State)), elapsed(step.Started, step.Finished, now), printable(what))
		lines = append(lines, colour+cut(text, columns)+resetColour)
	}
	if left > 0 {
		lines = append(lines, "\x1b[2m"+cut(fmt.Sprintf("  … and %s more", count(left, "step")), columns)+resetColour)
	}
	return lines
}

// choose gives the numbers of the steps to show, at most so many.
func choose(steps []workflow.Step, most int) (shown []int, left int) {
	most = max(most, 1)
	keep := make([]bool, len(steps))
	room := most
	for _, wanted := range []func(workflow.State) bool{
		func(s workflow.State) bool { return s == workflow.Running },
		func(s workflow.State) bool { return s == workflow.Failed || s == workflow.Error },
		func(s workflow.State) bool { return s == workflow.Pending },
	} {
		for i := range steps {
			if room > 0 && !keep[i] && wanted(steps[i].State) {
				keep[i], room = true, room-1
			}
		}
	}
	for i := len(steps) - 1; i >= 0 && room > 0; i-- { // of what ended the latest
		if !keep[i] {
			keep[i], room = true, room-1
		}
	}
	for i := range steps {
		if keep[i] {
			shown = append(shown, i)
		}
	}
	return shown, len(steps) - len(shown)
}

func firstLine(text string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if strings.TrimSpace(rest) != "" {
		line += " …"
	}
	return line
}

// cut cuts text to so many columns, so that no line of the table ever wraps.
func cut(text string, columns int) string {
	used := 0
	for i, r := range text {
		w := 1
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			w = 2
		}
		if used+w > columns-1 {
			return text[:i] + "…"
		}
		used += w
	}
	return text
}
