package e2e_test

import (
	"strings"
	"testing"
)

// What the table says of a figure and its goal.
func TestComparison(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		c    comparison
		want string
	}{
		{"a floor and some more, kept", comparison{unit: inSeconds, ours: sample{3, 1, 2}, floor: sample{1.9}, peer: sample{4}, goals: []goal{floorPlus(0.15)}},
			"**2 s** (3) | 1.9 s (1) | 0.95 × | 4 s (1) | 2.00 × | ≤ floor + 150 ms | met"},
		{"and missed", comparison{unit: inSeconds, ours: sample{2.5}, floor: sample{2}, goals: []goal{floorPlus(0.15)}},
			"**2.5 s** (1) | 2 s (1) | 0.80 × | – | – | ≤ floor + 150 ms | missed by 350 ms"},
		{"more is better", comparison{unit: aSecond, more: true, ours: sample{28000}, floor: sample{30000, 31000}, peer: sample{1000}, goals: []goal{tornadoTimes(12), floorShare(0.95)}},
			"**28,000/s** (1) | 30,500/s (2) | 0.92 × | 1,000/s (1) | 28 × | ≥ 12 × tornado; ≥ 0.95 × floor | met; missed by 0.03 ×"},
		{"less is better, beside tornado", comparison{unit: inSeconds, ours: sample{4}, peer: sample{24}, goals: []goal{tornadoTimes(8)}},
			"**4 s** (1) | – | – | 24 s (1) | 6.00 × | ≥ 8 × tornado | missed by 2.00 ×"},
		{"no tornado here", comparison{unit: inSeconds, ours: sample{4}, goals: []goal{tornadoTimes(8)}},
			"**4 s** (1) | – | – | – | – | ≥ 8 × tornado | –"},
		{"a limit", comparison{unit: megabytes, ours: sample{61}, goals: []goal{atMost(60)}},
			"**61 MB** (1) | – | – | – | – | ≤ 60 MB | missed by 1 MB"},
		{"nothing to measure", comparison{unit: inSeconds, goals: []goal{atMost(0.4)}},
			"not measured | – | – | – | – | ≤ 400 ms | –"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(tt.c.cells()[1:], " | "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
