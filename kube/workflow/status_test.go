package workflow_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// captures are what Argo v3.7.6 and Tekton v1.9.0 made of the same workflows.
var captures = []string{
	"steps",   // in sequence, the second fails, with an exit step
	"dag",     // a, then b and c, of which c fails, then d
	"retry",   // a step that fails three times
	"image",   // an image that cannot be had, until the time is over
	"bad",     // a spec that the controller refuses
	"running", // the second step at work
	"stopped", // ended early
}

func TestStatusOfCapturedWorkflows(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		for _, capture := range captures {
			t.Run(string(engine)+" "+capture, func(t *testing.T) {
				t.Parallel()
				f, name := captured(t, engine, capture)
				status, err := cluster(t, f, engine).Status(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				got, err := json.MarshalIndent(status, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join("testdata", string(engine)+"-"+capture+".status.json")
				if *update {
					if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if string(got)+"\n" != string(want) {
					t.Errorf("the status differs from %s:\n%s", golden, got)
				}
			})
		}
	}
}

func TestBothEnginesTellTheSame(t *testing.T) {
	t.Parallel()
	states := func(s *workflow.Status) string {
		all := []string{string(s.State)}
		for _, step := range s.Steps {
			all = append(all, step.Name+" "+string(step.State))
		}
		return strings.Join(all, ", ")
	}
	for capture, want := range map[string]string{
		"steps":   "failed, s1-first succeeded, s2-fails failed, s3-never skipped, on-exit succeeded",
		"dag":     "failed, a succeeded, b succeeded, c failed, d skipped",
		"retry":   "failed, flaky failed, never skipped",
		"image":   "failed, only failed",
		"running": "running, s1-quick succeeded, s2-slow running, s3-later pending",
		"stopped": "failed, s1-quick succeeded, s2-slow failed, s3-later skipped",
	} {
		for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
			f, name := captured(t, engine, capture)
			status, err := cluster(t, f, engine).Status(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if got := states(status); got != want {
				t.Errorf("%s of %s: %s, want %s", capture, engine, got, want)
			}
		}
	}
}

func TestRetriesAreTold(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		f, name := captured(t, engine, "retry")
		status, err := cluster(t, f, engine).Status(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		step := status.Step("flaky")
		if step.Retries != 2 || len(step.Earlier) != 2 || step.Pod == "" || slices.Contains(step.Earlier, step.Pod) || !step.Begun {
			t.Errorf("%s: %d retries, pod %q, earlier %q, begun %t", engine, step.Retries, step.Pod, step.Earlier, step.Begun)
		}
		if step.ExitCode == nil || *step.ExitCode != 7 {
			t.Errorf("%s: exit code %v, want 7", engine, step.ExitCode)
		}
	}
}

// Tekton's words for the exit step's time, when that of the others was up, and for the end.
func TestAnExitStepAfterTheTimeout(t *testing.T) {
	t.Parallel()
	f, name := captured(t, couler.Tekton, "steps")
	run := f.objects["pipelineruns.tekton.dev/"+name]["status"].(map[string]any)
	for _, now := range []struct {
		status, reason string
		want           workflow.State
	}{
		{"Unknown", "PipelineRunTimeoutRunningFinally", workflow.Running},
		{"False", "PipelineRunTimeout", workflow.Failed},
	} {
		run["conditions"] = []any{map[string]any{"type": "Succeeded", "status": now.status, "reason": now.reason, "message": "tasks failed to finish within 10s"}}
		status, err := cluster(t, f, couler.Tekton).Status(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if status.State != now.want || status.Message == "" || status.Step("on-exit").State != workflow.Succeeded {
			t.Errorf("%s: the workflow is %s (%s), its exit step %s", now.reason, status.State, status.Message, status.Step("on-exit").State)
		}
	}
}

// Pods go when they are collected or their node is lost; what became of the steps is known
// to Argo's workflow. Tekton keeps it in the TaskRuns, which may go too.
func TestPodsThatAreGone(t *testing.T) {
	t.Parallel()
	f, name := captured(t, couler.Argo, "steps")
	for key := range f.objects {
		if strings.HasPrefix(key, "pods/") {
			delete(f.objects, key)
		}
	}
	status, err := cluster(t, f, couler.Argo).Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if s := status.Step("s2-fails"); s.State != workflow.Failed || s.Pod != "" || s.ExitCode == nil || *s.ExitCode != 3 {
		t.Errorf("without its pod the step is told as %+v", s)
	}
	if err := cluster(t, f, couler.Argo).Logs(t.Context(), name, "s2-fails", true, nil); !errors.Is(err, workflow.ErrNoLogs) {
		t.Errorf("its logs gave %v, want ErrNoLogs", err)
	}

	f, name = captured(t, couler.Tekton, "steps")
	for key := range f.objects {
		if strings.HasPrefix(key, "taskruns") {
			delete(f.objects, key)
		}
	}
	status, err = cluster(t, f, couler.Tekton).Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if s := status.Step("s2-fails"); s.State != "" || s.ID == "" {
		t.Errorf("without its TaskRun the step is told as %+v", s)
	}
	if s := status.Step("s3-never"); s.State != workflow.Skipped {
		t.Errorf("the step behind it is %q", s.State)
	}
}

// Argo compresses the nodes of a workflow of more than 1 MiB.
func TestCompressedNodes(t *testing.T) {
	t.Parallel()
	f, name := captured(t, couler.Argo, "dag")
	plain, err := cluster(t, f, couler.Argo).Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	status := f.objects["workflows.argoproj.io/"+name]["status"].(map[string]any)
	text, err := json.Marshal(status["nodes"])
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(text)
	_ = w.Close()
	delete(status, "nodes")
	status["compressedNodes"] = base64.StdEncoding.EncodeToString(packed.Bytes())
	got, err := cluster(t, f, couler.Argo).Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Steps) != len(plain.Steps) || got.Steps[2].State != workflow.Failed || got.Steps[2].Pod != plain.Steps[2].Pod {
		t.Errorf("compressed, the steps are told as %+v", got.Steps)
	}

	status["compressedNodes"] = "H4sI"
	if _, err := cluster(t, f, couler.Argo).Status(t.Context(), name); err == nil {
		t.Error("broken compressed nodes were no error")
	}
	delete(status, "compressedNodes")
	status["offloadNodeStatusVersion"] = "fnv:1"
	if _, err := cluster(t, f, couler.Argo).Status(t.Context(), name); err == nil || !strings.Contains(err.Error(), "database") {
		t.Errorf("nodes in a database gave %v", err)
	}
}

func TestNoSuchWorkflow(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlflow-none", "--all", "a/b", "", "../secrets/x", "UPPER"} {
		for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
			f := newFake()
			c := cluster(t, f, engine)
			if _, err := c.Status(t.Context(), name); !errors.Is(err, workflow.ErrNotFound) {
				t.Errorf("Status(%q) gave %v", name, err)
			}
			if err := c.Delete(t.Context(), name); !errors.Is(err, workflow.ErrNotFound) {
				t.Errorf("Delete(%q) gave %v", name, err)
			}
			if err := c.Stop(t.Context(), name, false); !errors.Is(err, workflow.ErrNotFound) {
				t.Errorf("Stop(%q) gave %v", name, err)
			}
			if err := c.Watch(t.Context(), name, nil); !errors.Is(err, workflow.ErrNotFound) {
				t.Errorf("Watch(%q) gave %v", name, err)
			}
			if name != "sqlflow-none" && len(f.calls) > 0 {
				t.Errorf("%q reached kubectl: %q", name, f.calls)
			}
		}
	}
}

func TestEnginesThatRunOnNoCluster(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Docker, couler.Python, ""} {
		if _, err := workflow.New(workflow.Options{Kubectl: newFake(), Engine: engine}); err == nil {
			t.Errorf("a cluster of %q was made", engine)
		}
	}
}

func TestListNewestFirst(t *testing.T) {
	t.Parallel()
	f := newFake()
	for _, capture := range captures {
		other, name := captured(t, couler.Argo, capture)
		f.objects["workflows.argoproj.io/"+name] = other.objects["workflows.argoproj.io/"+name]
	}
	runs, err := cluster(t, f, couler.Argo).List(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) < len(captures)-1 { // two captures are of one workflow
		t.Fatalf("%d workflows are listed", len(runs))
	}
	for i := 1; i < len(runs); i++ {
		if runs[i].Created.After(runs[i-1].Created) {
			t.Errorf("%s stands behind the older %s", runs[i].Name, runs[i-1].Name)
		}
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		engine couler.Engine
		now    bool
		field  string
		want   string
	}{
		{couler.Argo, false, "shutdown", "Stop"},
		{couler.Argo, true, "shutdown", "Terminate"},
		{couler.Tekton, false, "status", "CancelledRunFinally"},
		{couler.Tekton, true, "status", "Cancelled"},
	} {
		f, name := captured(t, c.engine, "running")
		to := cluster(t, f, c.engine)
		if err := to.Stop(t.Context(), name, c.now); err != nil {
			t.Fatal(err)
		}
		status, err := to.Status(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		resource := map[couler.Engine]string{couler.Argo: "workflows.argoproj.io/", couler.Tekton: "pipelineruns.tekton.dev/"}[c.engine]
		if got := field(f.objects[resource+name], "spec", c.field); got != c.want || !status.Stopping {
			t.Errorf("%s, at once %t: spec.%s is %v, stopping %t", c.engine, c.now, c.field, got, status.Stopping)
		}
		ended, name := captured(t, c.engine, "stopped")
		if err := cluster(t, ended, c.engine).Stop(t.Context(), name, c.now); !errors.Is(err, workflow.ErrFinished) {
			t.Errorf("stopping what has ended gave %v", err)
		}
	}
}
