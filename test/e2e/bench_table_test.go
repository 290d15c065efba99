package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// performancePath is the document that the benchmark writes.
const performancePath = "../../docs/performance.md"

// A sample is what several runs gave: seconds, a rate, or a number.
type sample []float64

func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// A unit writes a figure.
type unit func(float64) string

func inSeconds(f float64) string { return brief(time.Duration(f * 1e9)) }
func aSecond(f float64) string   { return thousands(f) + "/s" }
func number(f float64) string    { return strconv.FormatFloat(f, 'f', 2, 64) }
func megabytes(f float64) string { return fmt.Sprintf("%.0f MB", f) }
func times(f float64) string {
	if f >= 20 {
		return fmt.Sprintf("%.0f ×", f)
	}
	return fmt.Sprintf("%.2f ×", f)
}

func thousands(f float64) string {
	text := strconv.Itoa(int(f + 0.5))
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// A comparison is one row of the table: our server, the floor under it, and tornado.
type comparison struct {
	what              string
	unit              unit
	ours, floor, peer sample
	more              bool // more is better
	goals             []goal
}

// gain is how many times better ours is than the other.
func (c comparison) gain(other sample) float64 {
	if c.more {
		return c.ours.median() / other.median()
	}
	return other.median() / c.ours.median()
}

// A goal says what is wanted, the figure that it is about, and its limit.
type goal func(comparison) (says string, value, limit float64, atLeast bool, as unit)

func atMost(limit float64) goal {
	return func(c comparison) (string, float64, float64, bool, unit) {
		return "≤ " + c.unit(limit), c.ours.median(), limit, false, c.unit
	}
}

// floorPlus allows so much more than the floor.
func floorPlus(more float64) goal {
	return func(c comparison) (string, float64, float64, bool, unit) {
		return "≤ floor + " + c.unit(more), c.ours.median(), c.floor.median() + more, false, c.unit
	}
}

// floorShare wants so large a part of the floor's rate.
func floorShare(part float64) goal {
	return func(c comparison) (string, float64, float64, bool, unit) {
		return fmt.Sprintf("≥ %.2f × floor", part), c.gain(c.floor), part, true, times
	}
}

// tornadoTimes wants to be so many times better than tornado.
func tornadoTimes(n float64) goal {
	return func(c comparison) (string, float64, float64, bool, unit) {
		return fmt.Sprintf("≥ %.0f × tornado", n), c.gain(c.peer), n, true, times
	}
}

// cells are the row as it is printed.
func (c comparison) cells() []string {
	row := []string{c.what, "not measured", "–", "–", "–", "–", "", ""}
	if len(c.ours) > 0 {
		row[1] = fmt.Sprintf("**%s** (%d)", c.unit(c.ours.median()), len(c.ours))
	}
	for i, other := range []sample{c.floor, c.peer} {
		if len(other) == 0 {
			continue
		}
		row[2+2*i] = fmt.Sprintf("%s (%d)", c.unit(other.median()), len(other))
		if len(c.ours) > 0 {
			row[3+2*i] = times(c.gain(other))
		}
	}
	var says, verdicts []string
	for _, g := range c.goals {
		goal, value, limit, atLeast, as := g(c)
		says = append(says, goal)
		switch needsTornado := strings.Contains(goal, "tornado"); {
		case len(c.ours) == 0 || needsTornado && len(c.peer) == 0:
			verdicts = append(verdicts, "–")
		case atLeast && value >= limit, !atLeast && value <= limit:
			verdicts = append(verdicts, "met")
		case atLeast:
			verdicts = append(verdicts, "missed by "+as(limit-value))
		default:
			verdicts = append(verdicts, "missed by "+as(value-limit))
		}
	}
	row[6], row[7] = strings.Join(says, "; "), strings.Join(verdicts, "; ")
	return row
}

// performance collects what the benchmark measures, in order.
type performance struct {
	machine []string
	rows    []comparison
	details []detail
	// What tornado takes on a real node, which has no pool: for one user, for eight at
	// once, and for the worst heart beat meanwhile.
	one, eight, eightWorst sample
}

// A detail is a table of its own below the main one.
type detail struct {
	title, text string
	head        []string
	rows        [][]string
}

func (p *performance) add(t *testing.T, c comparison) {
	t.Helper()
	logf("%s", strings.Join(c.cells(), " | "))
	p.rows = append(p.rows, c)
}

// procField gives the value of the first line "name: value" of a file of /proc.
func procField(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// describeMachine tells what the figures belong to; not the machine's name.
func describeMachine(tornado string) []string {
	memory, _ := strconv.Atoi(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"))
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	before, _, _ := strings.Cut(string(load), " ")
	if tornado == "" {
		tornado = "no tornado"
	}
	return []string{
		fmt.Sprintf("%d cores of %s, %d GB, Linux %s %s", runtime.NumCPU(), procField("/proc/cpuinfo", "model name"), memory>>20, strings.TrimSpace(string(kernel)), runtime.GOARCH),
		runtime.Version() + "; " + tornado,
		"load average of the minute before the run: " + before,
	}
}

const performanceHead = `# How fast it is

` + "`make bench-e2e`" + ` writes this file down to "Where the time goes". Every figure is of one run on one
machine, on which the server, its clients, the cluster and what is measured beside it share all cores:

%s
* **sqlflow_playground**: the program of ` + "`make lean`" + `, which the [Dockerfile](../Dockerfile)'s image has.
* **floor**: what no server can beat. For databases, ` + "`kubectl create`" + ` and then ` + "`kubectl wait`" + ` of the same pod
  and service by hand; for requests, a bare ` + "`net/http`" + ` handler behind mutual TLS with the same certificates
  and settings ([test/cmd/bare](../test/cmd/bare)).
* **tornado**: a server of one thread that does for each request what the Python server did
  ([tornado_server.py](../test/e2e/testdata/tornado_server.py)): two runs of kubectl to look a pod up, then create
  and poll once a second. It makes no service, asks no database whether it answers, and has no pool: beside a
  warm create_db stands its cold one.

Figures are medians of as many runs as stand behind them, taken in turns. The factors say how many times better
the server is than its neighbour on the left.

`

const performanceTail = "## Where the time goes"

var performanceColumns = []string{"", "sqlflow_playground", "floor", "to it", "tornado", "to it", "goal", ""}

// text is the document without its last part, which is written by hand.
func (p *performance) text() string {
	var text strings.Builder
	machine := ""
	for _, line := range p.machine {
		machine += "* " + line + "\n"
	}
	fmt.Fprintf(&text, performanceHead, strings.TrimSuffix(machine, "\n"))
	var rows [][]string
	for _, c := range p.rows {
		rows = append(rows, c.cells())
	}
	writeTable(&text, performanceColumns, rows)
	for _, d := range p.details {
		fmt.Fprintf(&text, "\n## %s\n\n%s\n\n", d.title, d.text)
		writeTable(&text, d.head, d.rows)
	}
	return text.String()
}

func writeTable(to *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(to, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, cells := range rows {
		fmt.Fprintf(to, "| %s |\n", strings.Join(cells, " | "))
	}
}

// write makes the document anew and keeps what was written by hand.
func (p *performance) write() error {
	old, err := os.ReadFile(performancePath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := p.text()
	if i := strings.Index(string(old), performanceTail); i >= 0 {
		text += "\n" + string(old[i:])
	}
	if err := os.MkdirAll(filepath.Dir(performancePath), 0o755); err != nil {
		return err
	}
	return os.WriteFile(performancePath, []byte(text), 0o644)
}
