package workflow_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// flaky makes of the capture "retry", whose step failed three times, the moment at which so
// many tries have begun, and puts it into f.
func flaky(t *testing.T, f *fake, tries int) (name string) {
	t.Helper()
	then, name := captured(t, couler.Argo, "retry")
	w := then.objects["workflows.argoproj.io/"+name]
	status := field(w, "status").(map[string]any)
	status["phase"], status["finishedAt"], status["message"] = "Running", nil, ""
	for _, node := range status["nodes"].(map[string]any) {
		if node := node.(map[string]any); node["type"] != "Pod" {
			node["phase"], node["finishedAt"] = "Running", nil
		}
		if node := node.(map[string]any); node["type"] == "Retry" {
			children := node["children"].([]any)
			last := field(w, "status", "nodes", children[tries-1].(string)).(map[string]any)
			last["phase"], last["finishedAt"] = "Running", nil
			node["children"] = children[:tries]
			for i, id := range children {
				pod := then.objects["pods/"+strings.Replace(id.(string), name, name+"-flaky", 1)]
				if i == tries-1 {
					for _, c := range field(pod, "status", "containerStatuses").([]any) {
						c.(map[string]any)["state"] = map[string]any{"running": map[string]any{}}
					}
				}
				if i < tries {
					f.put("pods", pod)
				}
			}
		}
	}
	f.put("workflows.argoproj.io", w)
	return name
}

// A step that is tried again has the logs of all its tries, also of those that came later.
func TestLogsGoOnThroughTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		name := flaky(t, f, 1)
		reads := map[string]int{}
		var ordered []string
		f.stream = func(args []string) (string, error) {
			pod := args[1]
			if reads[pod]++; reads[pod] > 1 {
				return "try " + pod + "\n", nil
			}
			ordered = append(ordered, "try "+pod)
			switch len(ordered) { // it ends
			case 1:
				flaky(t, f, 2)
			case 2:
				f.turn(t, couler.Argo, "retry", name)
			}
			return "try " + pod + "\n", nil
		}
		var got []string
		line := func(text []byte) error {
			got = append(got, string(text))
			return nil
		}
		if err := cluster(t, f, couler.Argo).Logs(t.Context(), name, "flaky", true, line); err != nil {
			t.Error(err)
		}
		if len(got) != 3 || strings.Join(got, "\n") != strings.Join(ordered, "\n") {
			t.Errorf("the log is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(ordered, "\n"))
		}
		for _, follow := range []bool{false, true} { // it is all the same afterwards
			got = nil
			if err := cluster(t, f, couler.Argo).Logs(t.Context(), name, "flaky", follow, line); err != nil {
				t.Error(err)
			}
			if strings.Join(got, "\n") != strings.Join(ordered, "\n") {
				t.Errorf("in the end the log is\n%s", strings.Join(got, "\n"))
			}
		}
	})
}

// Whoever reads the steps one after the other comes late to a step, which had tries meanwhile.
func TestLogsFromAnOldStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		name := flaky(t, f, 1)
		old := status(t, f, couler.Argo, name)
		f.turn(t, couler.Argo, "retry", name)
		f.stream = func(args []string) (string, error) { return args[1] + "\n", nil }
		var got []string
		err := cluster(t, f, couler.Argo).LogsFrom(t.Context(), old, "flaky", true, func(text []byte) error {
			got = append(got, string(text))
			return nil
		})
		if step := status(t, f, couler.Argo, name).Step("flaky"); err != nil || !slices.Equal(got, append(step.Earlier, step.Pod)) {
			t.Errorf("the logs are those of %q, %v", got, err)
		}
	})
}

// What is followed may go.
func TestFollowedLogsEndWithTheWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, name := captured(t, couler.Argo, "running")
		refused := errors.New("refused")
		var said error
		f.stream = func([]string) (string, error) {
			if said == nil {
				f.remove("workflows.argoproj.io", name)
			}
			return "1\n", nil
		}
		follow := func() error {
			return cluster(t, f, couler.Argo).Logs(t.Context(), name, "s2-slow", true, func([]byte) error { return said })
		}
		if err := follow(); !errors.Is(err, workflow.ErrNotFound) {
			t.Errorf("without its workflow it ended with %v", err)
		}
		f.turn(t, couler.Argo, "running", name)
		said = refused
		if err := follow(); !errors.Is(err, refused) {
			t.Errorf("it ended with %v, want what the reader said", err)
		}
	})
}

// A pod that was given up before its container began has no log, and hides none.
func TestATryThatNeverBeganIsPassedOver(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		f, name := captured(t, engine, "retry")
		waiting := map[string]any{"waiting": map[string]any{"reason": "ContainerCreating"}}
		all := status(t, f, engine, name).Step("flaky").Earlier
		if engine == couler.Argo {
			for _, c := range field(f.objects["pods/"+all[0]], "status", "containerStatuses").([]any) {
				c.(map[string]any)["state"] = waiting
			}
		} else {
			for _, o := range f.objects {
				if tries, _ := field(o, "status").(map[string]any)["retriesStatus"].([]any); len(tries) > 0 {
					for _, step := range tries[0].(map[string]any)["steps"].([]any) {
						delete(step.(map[string]any), "terminated")
						step.(map[string]any)["waiting"] = waiting["waiting"]
					}
				}
			}
		}
		if got := status(t, f, engine, name).Step("flaky").Earlier; !slices.Equal(got, all[1:]) {
			t.Errorf("%s: the earlier tries are %q, want %q", engine, got, all[1:])
		}
	}
}
