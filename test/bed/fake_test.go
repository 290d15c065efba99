package bed_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

func TestFakeNodesHoldManyPods(t *testing.T) {
	const pods = 500
	o := options(t, bed.Fake)
	b := up(t, o)
	t.Parallel() // from here on: booting may build programs, which is done once
	if nodes := strings.Fields(kubectl(t, b, "", "get", "nodes", "--output=name")); len(nodes) != 5 {
		t.Errorf("nodes: %v, want five", nodes)
	}
	all := make([]object, pods)
	for i := range all {
		all[i] = database(fmt.Sprintf("db-%d", i), nil, nil)
	}
	start := time.Now()
	create(t, b, all...)
	// Not kubectl wait, which asks for each pod by itself.
	eventually(t, "all are ready", func() error {
		const path = `--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`
		if n := strings.Count(kubectl(t, b, "", "get", "pods", path), "True"); n != pods {
			return fmt.Errorf("%d of %d pods are ready", n, pods)
		}
		return nil
	})
	t.Logf("%d pods ready %s after kubectl create", pods, time.Since(start).Round(100*time.Millisecond))
	addresses := strings.Fields(kubectl(t, b, "", "get", "pods", "--output=jsonpath={.items[*].status.podIP}"))
	distinct := map[string]bool{}
	for _, address := range addresses {
		distinct[address] = true
	}
	if len(distinct) != pods {
		t.Errorf("%d pods have %d addresses", pods, len(distinct))
	}
	kubectl(t, b, "", "delete", "pods", "--all", "--wait=false")

	if err := b.Restart(t.Context(), bed.APIServer); err != nil {
		t.Fatal(err)
	}
	create(t, b, database("later", nil, nil))
	kubectl(t, b, "", "wait", "--for=condition=Ready", "pod/later", "--timeout="+patience.String())
	if err := b.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := processes(t, "/run/fake/"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWhatCannotWorkIsToldInOneLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options bed.Options
		want    string
	}{
		"unknown nodes": {bed.Options{Nodes: "virtual"}, `nodes are real or fake, not "virtual"`},
		"no cluster":    {bed.Options{Cache: t.TempDir()}, "no cluster is up"},
	} {
		for what, act := range map[string]func() error{
			"open": func() error { _, err := bed.Open(c.options); return err },
			"down": func() error { return bed.Down(t.Context(), c.options) },
		} {
			if err := act(); err == nil || err.Error() != c.want {
				t.Errorf("%s, %s: got %v, want %s", name, what, err, c.want)
			}
		}
	}
}
