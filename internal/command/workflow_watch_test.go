package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// captures is a kubectl that shows what a real Argo wrote (kube/workflow/testdata), one
// capture until it is turned to another.
type captures struct {
	t    *testing.T
	logs func(ctx context.Context, pod string, line func([]byte) error) error

	mu      sync.Mutex
	capture string
	turned  chan struct{} // closed then
}

func newCaptures(t *testing.T, capture string) *captures {
	return &captures{t: t, capture: capture, turned: make(chan struct{})}
}

func (k *captures) turn(capture string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.capture = capture
	close(k.turned)
	k.turned = make(chan struct{})
}

func (k *captures) object(kind string) string {
	text, err := os.ReadFile(filepath.Join("..", "..", "kube", "workflow", "testdata", "argo-"+k.capture+"."+kind+".json"))
	if err != nil {
		k.t.Error(err)
	}
	return string(text)
}

func (k *captures) Run(_ context.Context, _ []byte, args ...string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch what := strings.Join(args, " "); {
	case strings.Contains(what, "/pods?") || strings.HasPrefix(what, "get pods --"):
		return []byte(k.object("pods")), nil
	case strings.Contains(what, "/workflows?"):
		return []byte(`{"items":[` + k.object("workflow") + `]}`), nil
	case strings.HasPrefix(what, "get workflows.argoproj.io "):
		return []byte(k.object("workflow")), nil
	case strings.HasPrefix(what, "get pods "):
		return []byte("pod/" + args[2]), nil
	}
	return nil, errors.New("unexpected: " + strings.Join(args, " "))
}

// Stream ends a watch when something has changed; then there is a list.
func (k *captures) Stream(ctx context.Context, line func([]byte) error, args ...string) error {
	if args[0] == "logs" {
		return k.logs(ctx, args[1], line)
	}
	k.mu.Lock()
	turned := k.turned
	k.mu.Unlock()
	select {
	case <-turned:
		return errors.New("the watch is over")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func lines(text string, line func([]byte) error) error {
	for l := range strings.Lines(text) {
		if err := line([]byte(strings.TrimSuffix(l, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

// heard is a display that keeps the lines.
type heard struct {
	lines      []string
	slow, draw time.Duration // that a line takes, and a tick
}

func (d *heard) status(*workflow.Status) {}
func (d *heard) tick()                   { <-time.After(d.draw) }
func (d *heard) close()                  {}
func (d *heard) line(step, text string) {
	<-time.After(d.slow)
	d.lines = append(d.lines, step+" | "+text)
}

func watch(t *testing.T, k *captures, name string, d display) (*workflow.Status, error) {
	t.Helper()
	cluster, err := workflow.New(workflow.Options{Kubectl: k, Engine: couler.Argo})
	if err != nil {
		t.Fatal(err)
	}
	w := newWatcher(cluster, name, true)
	w.again = func(command string, args ...string) string {
		return strings.Join(append([]string{command}, args...), " ")
	}
	return w.show(t.Context(), d)
}

func TestWatchReadsOnWhereALogBroke(t *testing.T) {
	for name, broken := range map[string]error{"exit code 0": nil, "an error": errors.New("unexpected EOF")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newCaptures(t, "running")
				calls := 0
				k.logs = func(_ context.Context, pod string, line func([]byte) error) error {
					if !strings.Contains(pod, "s2-slow") {
						return nil
					}
					if calls++; calls == 1 {
						return errors.Join(lines("1\n", line), broken)
					}
					k.turn("stopped")
					return lines("1\n2\n", line)
				}
				var d heard
				last, err := watch(t, k, "sqlflow-kw7sp", &d)
				if err != nil || last.State != workflow.Failed {
					t.Errorf("it ended with %v, %+v", err, last)
				}
				if got := strings.Join(d.lines, "\n"); got != "s2-slow | 1\ns2-slow | 2" {
					t.Errorf("told was\n%s", got)
				}
			})
		})
	}
}

// The logs of a workflow that ended may take as long as they come.
func TestWatchReadsLongLogsToTheirEnd(t *testing.T) {
	for name, test := range map[string]struct {
		lines            int
		pace, slow, draw time.Duration
	}{
		"a line a second": {lines: 60, pace: time.Second},
		"a slow reader":   {lines: 600, slow: 45 * time.Second},
		"a slow terminal": {lines: 600, pace: 10 * time.Millisecond, draw: 45 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newCaptures(t, "stopped")
				k.logs = func(ctx context.Context, pod string, line func([]byte) error) error {
					if !strings.Contains(pod, "s2-slow") {
						return nil
					}
					for i := range test.lines {
						select {
						case <-time.After(test.pace):
						case <-ctx.Done():
							return ctx.Err()
						}
						if err := line(fmt.Append(nil, i)); err != nil {
							return err
						}
					}
					return nil
				}
				d := heard{slow: test.slow, draw: test.draw}
				if _, err := watch(t, k, "sqlflow-kw7sp", &d); err != nil {
					t.Error(err)
				}
				if n := len(d.lines); n != test.lines || d.lines[n-1] != fmt.Sprint("s2-slow | ", n-1) {
					t.Errorf("%d lines of %d were told, the last %q", n, test.lines, d.lines[n-1:])
				}
			})
		})
	}
}

// Logs that never end are left, and that is told.
func TestWatchLeavesLogsThatSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCaptures(t, "stopped")
		k.logs = func(ctx context.Context, pod string, line func([]byte) error) error {
			if err := lines("1\n", line); err != nil || !strings.Contains(pod, "s2-slow") {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}
		var d heard
		begun := time.Now()
		last, err := watch(t, k, "sqlflow-kw7sp", &d)
		if err != nil || last.State != workflow.Failed || time.Since(begun) != lastLines {
			t.Errorf("it ended after %v with %v, %+v", time.Since(begun), err, last)
		}
		want := "s2-slow | (the rest of its log has not come for 30s; see `logs sqlflow-kw7sp s2-slow`)"
		if n := len(d.lines); n != 3 || d.lines[2] != want {
			t.Errorf("told was %q, want last %q", d.lines, want)
		}
	})
}

// A command that is suggested must mean the workflow that the user looks at.
func TestSuggestedCommandsMeanTheSameCluster(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		environ []string
		flags   workflowFlags
		engine  couler.Engine
		want    string
	}{
		{engine: couler.Argo, want: "stop x"},
		{engine: couler.Tekton, want: "stop --engine tekton x"},
		{engine: couler.Tekton, environ: []string{"SQLFLOW_PLAYGROUND_ENGINE=tekton"}, want: "stop x"},
		{engine: couler.Argo, environ: []string{"SQLFLOW_PLAYGROUND_ENGINE=tekton"}, want: "stop --engine argo x"},
		{
			engine: couler.Argo, flags: workflowFlags{namespace: "wf", context: "far", kubectl: "/opt/kubectl"},
			want: "stop --namespace wf --context far --kubectl /opt/kubectl x",
		},
		{
			engine: couler.Argo, flags: workflowFlags{namespace: "wf", context: "far"},
			environ: []string{"SQLFLOW_WF_NAMESPACE=wf", "SQLFLOW_PLAYGROUND_CONTEXT=far"}, want: "stop x",
		},
		{
			engine: couler.Argo, flags: workflowFlags{namespace: "wf"},
			environ: []string{"SQLFLOW_WF_NAMESPACE=other"}, want: "stop --namespace wf x",
		},
		{engine: couler.Argo, flags: workflowFlags{context: "it's $mine"}, want: `stop --context "it's \$mine" x`},
		{engine: couler.Argo, flags: workflowFlags{context: "arn:aws:eks:eu-west-1:1:cluster/a"}, want: "stop --context arn:aws:eks:eu-west-1:1:cluster/a x"},
	} {
		f := test.flags
		f.world.Environ = test.environ
		if got, want := f.again(test.engine, "stop", "x"), "sqlflow_playground workflow "+test.want; got != want {
			t.Errorf("with %q it is\n%s\nwant\n%s", test.environ, got, want)
		}
	}
}
