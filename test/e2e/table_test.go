package e2e_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
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

// record adds a row.
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

// attempts is how often what has a hard limit may be tried.
const attempts = 3

// inTime tries what must be done within a limit, from the start each time, until that
// succeeds: the machine may have a bad moment, but not at every attempt. It gives the
// figure for the table.
func inTime(t *testing.T, what string, limit time.Duration, try func(attempt int) (time.Duration, error)) string {
	t.Helper()
	for attempt := 1; ; attempt++ {
		took, err := try(attempt)
		if err == nil && took > limit {
			err = fmt.Errorf("it took %s, more than %s", brief(took), brief(limit))
		}
		switch {
		case err == nil && attempt == 1:
			return brief(took)
		case err == nil:
			return fmt.Sprintf("%s (attempt %d)", brief(took), attempt)
		case attempt == attempts:
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%s, attempt %d: %v", what, attempt, err)
	}
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

// points is how many things had to be proven.
const points = 9

// write makes the document anew, after a run in which no test failed: what a broken
// run measured is no proof, and what it did not come to would be missing. A run of
// some of the tests keeps the rows of the others.
func (t *table) write(passed bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return nil
	}
	if !passed {
		logf("%s is left as it was, because a test failed", tablePath)
		return nil
	}
	before, err := os.ReadFile(tablePath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rows := slices.Clone(t.rows)
	if value("test.run") == "" {
		rows = append(rows, &row{point: "5", test: "all", shown: "playgrounds of this run that two replicas served together (the others are measured, or have their only server killed)",
			figure: fmt.Sprintf("%d of %d", t.doubled, t.playgrounds), goal: "recorded"})
	}
	rows = append(rows, kept(string(before), rows, value("test.run"), value("test.skip"))...)
	slices.SortStableFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.point, b.point), cmp.Compare(a.test, b.test), cmp.Compare(a.number, b.number))
	})
	if value("test.run") == "" {
		if err := complete(rows); err != nil {
			return err
		}
	}
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

// complete says which point has no row.
func complete(rows []*row) error {
	for point := range points {
		want := strconv.Itoa(point + 1)
		if !slices.ContainsFunc(rows, func(r *row) bool { return r.point == want }) {
			return fmt.Errorf("%s would have no row for point %s", tablePath, want)
		}
	}
	return nil
}

// kept gives the rows of a document for tests that were left out now: by -skip, or
// because -run names others.
func kept(document string, now []*row, run, skip string) []*row {
	_, body, _ := strings.Cut(document, "|---|---|---|---|---|\n")
	var rows []*row
	for line := range strings.Lines(body) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if len(cells) != 5 {
			continue
		}
		r := &row{point: cells[0], test: cells[1], number: len(rows), shown: cells[2], figure: cells[3], goal: cells[4]}
		if run == "" && (skip == "" || !named(skip, r.test)) {
			continue // it ran, or is no more
		}
		if !slices.ContainsFunc(now, func(n *row) bool { return n.test == r.test }) {
			rows = append(rows, r)
		}
	}
	return rows
}

// named tells whether a pattern of -skip names a test, or one that it is part of.
func named(pattern, test string) bool {
	parts, names := strings.Split(pattern, "/"), strings.Split(test, "/")
	if len(parts) > len(names) {
		return false
	}
	for i, part := range parts {
		if ok, err := regexp.MatchString(part, names[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// value gives a flag of the test binary.
func value(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}
