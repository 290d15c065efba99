package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

// The table keeps the rows of what was left out now, and no others.
func TestTheTableKeepsWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	document := strings.ReplaceAll(tableHead, "%", "") + `| 1 | TestA | shown | 1 ms | ≤ 2 ms |
| 9 | TestB/crowd | shown | 1 ms | ≤ 2 ms |
| 9 | TestB/crowd/deeper | shown | 1 ms | ≤ 2 ms |
| 9 | TestB/other | shown | 1 ms | ≤ 2 ms |
`
	now := []*row{{point: "1", test: "TestA"}}
	for name, c := range map[string]struct{ run, skip, want string }{
		"all ran":                 {"", "", ""},
		"one was skipped":         {"", "^TestB$/^crowd$", "TestB/crowd TestB/crowd/deeper"},
		"a test and its own":      {"", "^TestB$", "TestB/crowd TestB/crowd/deeper TestB/other"},
		"only one was run":        {"^TestA$", "", "TestB/crowd TestB/crowd/deeper TestB/other"},
		"it was run all the same": {"", "A", ""},
	} {
		var tests []string
		for _, r := range kept(document, now, c.run, c.skip) {
			tests = append(tests, r.test)
		}
		if got := strings.Join(tests, " "); got != c.want {
			t.Errorf("%s: the rows of %q are kept, want %q", name, got, c.want)
		}
	}
}

func TestTheTableHasEveryPoint(t *testing.T) {
	t.Parallel()
	var rows []*row
	for _, point := range strings.Fields("1 2 3 4 5 6 7 8 9") {
		rows = append(rows, &row{point: point})
	}
	if err := complete(rows); err != nil {
		t.Error(err)
	}
	if err := complete(slices.Delete(rows, 4, 5)); err == nil || !strings.Contains(err.Error(), "point 5") {
		t.Errorf("without point 5: %v", err)
	}
}
