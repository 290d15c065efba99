package e2e_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tablePath is the document that holds what the tests measured.
const tablePath = "../../docs/e2e.md"

// noisy is how many times over its goal a figure may be: machines that run tests
// have other things to do.
const noisy = 10

// A row is one thing that a test showed.
type row struct {
	point  string // of what had to be proven
	test   string
	number int // among the test's rows
	shown  string
	figure string
	goal   string
}

// table collects rows while tests run.
type table struct {
	mu          sync.Mutex
	rows        []*row
	playgrounds int // that servers ran on
	doubled     int // of them, those with more than one
}

// playground notes on how many servers a playground ran.
func (t *table) playground(servers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.playgrounds += min(servers, 1)
	t.doubled += min(servers/2, 1)
}

// record adds a row. A test that fails, then or later, has no figures.
func record(t *testing.T, point, shown, figure, goal string) {
	t.Helper()
	t.Logf("%s: %s (goal: %s)", shown, figure, goal)
	r := &row{point: point, test: t.Name(), shown: shown, figure: figure, goal: goal}
	results := &shared.results
	results.mu.Lock()
	defer results.mu.Unlock()
	for _, other := range results.rows {
		if other.test == r.test {
			r.number++
		}
	}
	results.rows = append(results.rows, r)
	t.Cleanup(func() {
		if t.Failed() {
			results.mu.Lock()
			defer results.mu.Unlock()
			r.figure = "failed"
		}
	})
}

// measured records how long something took. The test fails if that is beyond all
// noise.
func measured(t *testing.T, point, shown string, took, goal time.Duration) {
	t.Helper()
	if took > noisy*goal {
		t.Errorf("%s took %s, more than %d times its goal of %s", shown, brief(took), noisy, brief(goal))
	}
	record(t, point, shown, brief(took), "≤ "+brief(goal))
}

// brief writes a duration with three digits at most.
func brief(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return d.Round(time.Second).String()
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(d)/1e6), ".0") + " ms"
}

// share gives the duration that so large a part of all does not exceed.
func share(all []time.Duration, part float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(int(part*float64(len(all))), len(all)-1)]
}

const tableHead = `# What the end-to-end tests showed

` + "`make e2e`" + ` writes this file: every figure was measured by the test named beside it, on the
test bed that [test/README.md](../test/README.md) describes. A test fails when what it shows is
not so, or when a figure is ten times over its goal; nearer than that it is recorded and no more,
because machines are noisy.

Measured last on %d cores (%s).

| point | test | what was shown | figure | goal |
|---|---|---|---|---|
`

// write makes the document anew. A run of some of the tests keeps the rows of the
// others.
func (t *table) write() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return nil
	}
	rows := slices.Clone(t.rows)
	all := &row{point: "5", test: "all", shown: "playgrounds of this run that two replicas served together (the others measure or kill one)",
		figure: fmt.Sprintf("%d of %d", t.doubled, t.playgrounds), goal: "recorded"}
	if !given("test.run") && !given("test.skip") {
		rows = append(rows, all)
	} else {
		kept, err := others(rows)
		if err != nil {
			return err
		}
		rows = append(rows, kept...)
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.point, b.point), cmp.Compare(a.test, b.test), cmp.Compare(a.number, b.number))
	})
	var text strings.Builder
	fmt.Fprintf(&text, tableHead, runtime.NumCPU(), runtime.GOOS+"/"+runtime.GOARCH)
	for _, r := range rows {
		cells := []string{r.point, r.test, r.shown, r.figure, r.goal}
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.ReplaceAll(cells[i], "|", "/"), "\n", " ")
		}
		fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | "))
	}
	return os.WriteFile(tablePath, []byte(text.String()), 0o644)
}

// given tells whether a flag of the test binary has a value.
func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != ""
}

// others reads the rows of tests that did not run now.
func others(now []*row) ([]*row, error) {
	text, err := os.ReadFile(tablePath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	_, body, _ := strings.Cut(string(text), "|---|---|---|---|---|\n")
	var kept []*row
	for line := range strings.Lines(body) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if len(cells) != 5 {
			continue
		}
		r := &row{point: cells[0], test: cells[1], number: len(kept), shown: cells[2], figure: cells[3], goal: cells[4]}
		if !slices.ContainsFunc(now, func(n *row) bool { return n.test == r.test }) {
			kept = append(kept, r)
		}
	}
	return kept, nil
}
