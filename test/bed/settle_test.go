package bed

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestANodeThatTakesNoPodsSaysWhy(t *testing.T) {
	t.Parallel()
	const ready = `"status": {"conditions": [{"type": "Ready", "status": "True"}]}`
	for name, c := range map[string]struct{ node, want string }{
		"well":          {`{"metadata": {"name": "a"}, ` + ready + `}`, ""},
		"not ready":     {`{"metadata": {"name": "a"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "silent"}]}}`, "a: silent"},
		"says nothing":  {`{"metadata": {"name": "a"}}`, "a has not said so yet"},
		"still tainted": {`{"metadata": {"name": "a"}, "spec": {"taints": [{"key": "not-ready", "effect": "NoSchedule"}]}, ` + ready + `}`, "a is tainted not-ready:NoSchedule"},
		"would rather":  {`{"metadata": {"name": "a"}, "spec": {"taints": [{"key": "busy", "effect": "PreferNoSchedule"}]}, ` + ready + `}`, ""},
		"cordoned":      {`{"metadata": {"name": "a"}, "spec": {"unschedulable": true}, ` + ready + `}`, "a is cordoned"},
	} {
		var n node
		if err := json.Unmarshal([]byte(c.node), &n); err != nil {
			t.Fatal(err)
		}
		if got := n.notReady() + n.closed(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFreePortsAreNoOutgoingConnections(t *testing.T) {
	t.Parallel()
	ports, err := FreePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			t.Error(err)
			continue
		}
		defer listener.Close()
		out, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if given := out.LocalAddr().(*net.TCPAddr).Port; slices.Contains(ports, given) {
			t.Errorf("an outgoing connection was given port %d", given)
		}
		seen[port] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d different ports, want 20", len(seen))
	}
}

func TestOnlyWhatNobodyMakesAnyMoreIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"half-old": 2 * stale, "half-new": 0, "whole-old": 2 * stale} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeStale(dir + "/half-*"); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(dir + "/*")
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != "half-new" {
		t.Errorf("there is left %v (%v)", left, err)
	}
}
