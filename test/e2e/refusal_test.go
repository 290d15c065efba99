package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// toldWithin is how soon Kubernetes' own message must reach the notebook.
const toldWithin = 10 * time.Second

// What can never start is told at once, in Kubernetes' words, and nothing of it stays.
// No other test runs meanwhile, and of these one asks at a time.
func TestFailureToldEarly(t *testing.T) {
	quota := `{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}`
	turn := make(chan struct{}, 1)
	for _, c := range []struct {
		name  string
		flags func(t *testing.T) []string
		ready func(t *testing.T, s *site) // after the servers' start
		says  string
	}{
		{
			name:  "an image that does not exist",
			flags: func(*testing.T) []string { return []string{"--image=sqlflow/no-such-image:1"} },
			says:  "sqlflow/no-such-image:1",
		},
		{
			name:  "a request that no node can meet",
			flags: func(t *testing.T) []string { return []string{"--template_dir=" + greedyTemplates(t)} },
			says:  "Insufficient cpu",
		},
		{
			name: "an exceeded quota",
			ready: func(t *testing.T, s *site) {
				s.kubectl(t, quota, "create", "--filename=-")
				s.kubectl(t, "", "wait", "resourcequota/none", "--for=jsonpath={.status.hard.pods}=0", "--timeout="+patience.String())
			},
			says: "exceeded quota",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			var flags []string
			if c.flags != nil {
				flags = c.flags(t)
			}
			servers := s.replicas(t, flags...)
			if c.ready != nil {
				c.ready(t, s)
			}
			turn <- struct{}{}
			defer func() { <-turn }()
			for i, where := range []string{"", ", asked of the other replica"} {
				var told string
				figure := inTime(t, c.name, toldWithin, func(attempt int) (time.Duration, error) {
					user := fmt.Sprintf("ann-%d-%d", i, attempt)
					a, err := servers[i].create(t.Context(), servers[i].clients, user)
					if err == nil && (a.status != http.StatusBadGateway || !strings.Contains(a.message(), c.says)) {
						err = fmt.Errorf("it was answered %s, want 502 and %q", a, c.says)
					}
					told = a.message()
					return a.took, err
				})
				record(t, "6", c.name+": 502 with Kubernetes' words, “"+cut(told, 120)+"”, after"+where, figure, "< "+brief(toldWithin))
			}
			s.nothingLeft(t)
			record(t, "6", c.name+": objects left behind", "0", "0")
		})
	}
}

// cut shortens a text that is shown.
func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// greedyTemplates are ours with a request for more processors than there are.
func greedyTemplates(t *testing.T) string {
	t.Helper()
	return changedTemplates(t, "cpu: 50m", `cpu: "4000"`, `cpu: "1"`, `cpu: "4000"`)
}

// changedTemplates is a folder for --template_dir with our pod template, in which
// texts were replaced: an old one and a new one in turn.
func changedTemplates(t *testing.T, oldnew ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../templates/mysql_pod.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(string(text), oldnew[i]) {
			t.Fatalf("the pod template no longer says %q", oldnew[i])
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mysql_pod.yaml"), []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
