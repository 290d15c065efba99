package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A moment is what all processes have taken of the processors so far.
type moment struct {
	at         time.Time
	idle, busy time.Duration // of all processors
	processes  map[string]process
}

// process is one of them; children are those of its that ended.
type process struct {
	name          string
	own, children time.Duration
}

func now(t *testing.T) moment {
	t.Helper()
	const tick = 10 * time.Millisecond // sysconf(_SC_CLK_TCK) is 100 on Linux
	ticks := func(field string) time.Duration {
		n, _ := strconv.Atoi(field)
		return time.Duration(n) * tick
	}
	m := moment{at: time.Now(), processes: map[string]process{}}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line)[1:9] { // proc(5): user nice system idle iowait irq softirq steal
		if i == 3 || i == 4 {
			m.idle += ticks(field)
		} else {
			m.busy += ticks(field)
		}
	}
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		stat, _ := os.ReadFile(path) // it may have ended
		head, rest, _ := strings.Cut(string(stat), ") ")
		_, name, _ := strings.Cut(head, "(")
		if f := strings.Fields(rest); len(f) > 14 {
			m.processes[path] = process{name, ticks(f[11]) + ticks(f[12]), ticks(f[13]) + ticks(f[14])}
		}
	}
	return m
}

// usedBy sums up who used the processors over some stretches of time.
type usedBy struct {
	stretches  int
	took       time.Duration
	idle, busy time.Duration
	names      map[string]time.Duration
}

// Names of what the server of the measurement takes, itself and by its kubectl.
const (
	ourName     = "sqlflow_playground"
	kubectlName = "kubectl of sqlflow_playground"
)

// add takes the time from before until now. server is ours.
func (u *usedBy) add(t *testing.T, before moment, server int) {
	t.Helper()
	after := now(t)
	if u.names == nil {
		u.names = map[string]time.Duration{}
	}
	u.stretches++
	u.took += after.at.Sub(before.at)
	u.idle += after.idle - before.idle
	u.busy += after.busy - before.busy
	ourPath := filepath.Join("/proc", strconv.Itoa(server), "stat")
	for path, p := range after.processes {
		was := before.processes[path]
		switch {
		case path == ourPath:
			u.names[ourName] += p.own - was.own
			u.names[kubectlName] += p.children - was.children
		case path == filepath.Join("/proc", strconv.Itoa(os.Getpid()), "stat"):
			u.names["the clients"] += p.own - was.own
		case p.name == "kubectl":
			u.names[kubectlName] += p.own - was.own // those that watch
		default:
			u.names[p.name] += p.own - was.own
		}
	}
}

// detail is the sum as a table.
func (u *usedBy) detail(title, text string) detail {
	d := detail{title: title, text: text, head: []string{"", "processor time of one run", "share"}}
	total := u.idle + u.busy
	each := func(name string, took time.Duration) {
		d.rows = append(d.rows, []string{name, brief(took / time.Duration(u.stretches)), fmt.Sprintf("%.0f %%", 100*float64(took)/float64(max(total, 1)))})
	}
	var names []string
	listed := time.Duration(0)
	for name, took := range u.names {
		if took*100 >= total || name == ourName {
			names = append(names, name)
			listed += took
		}
	}
	slices.SortFunc(names, func(a, b string) int { return int(u.names[b] - u.names[a]) })
	for _, name := range names {
		each(name, u.names[name])
	}
	each("everything else, and what came and went", max(u.busy-listed, 0))
	each("nobody", u.idle)
	return d
}
