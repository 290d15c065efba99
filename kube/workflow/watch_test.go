package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// turn replaces the objects of a capture by those of another, as if time went on.
func (f *fake) turn(t *testing.T, engine couler.Engine, capture, name string) {
	t.Helper()
	other, was := captured(t, engine, capture)
	text, err := json.Marshal(other.objects)
	if err != nil {
		t.Fatal(err)
	}
	var objects map[string]map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), was, name)), &objects); err != nil {
		t.Fatal(err)
	}
	for _, parts := range []bool{true, false} { // the workflow last, as engines do
		for key, object := range objects {
			resource, _, _ := strings.Cut(key, "/")
			if part := resource == "pods" || resource == "taskruns.tekton.dev"; part == parts {
				f.put(resource, object)
			}
		}
	}
}

func TestWatchTellsEachChangeUntilTheEnd(t *testing.T) {
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		t.Run(string(engine), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, name := captured(t, engine, "running")
				var told []workflow.State
				var step workflow.Step
				ended := make(chan error, 1)
				go func() {
					ended <- cluster(t, f, engine).Watch(t.Context(), name, func(s *workflow.Status) error {
						told, step = append(told, s.State), *s.Step("s2-slow")
						return nil
					})
				}()
				synctest.Wait()
				if len(told) != 1 || told[0] != workflow.Running || step.State != workflow.Running || step.Pod == "" || !step.Begun {
					t.Fatalf("at first %v was told, and %+v", told, step)
				}
				f.breakWatches()
				synctest.Wait()
				<-time.After(time.Second) // of the bubble's clock: the watches come back
				synctest.Wait()
				if len(told) != 1 {
					t.Errorf("the same was told twice: %v", told)
				}
				f.turn(t, engine, "stopped", name)
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if last := told[len(told)-1]; last != workflow.Failed || step.State != workflow.Failed {
					t.Errorf("at last %v was told, and %+v", last, step)
				}
			})
		})
	}
}

// The watch of TaskRuns may be behind that of PipelineRuns: the end is told whole all the same.
func TestWatchTellsTheEndWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, name := captured(t, couler.Tekton, "running")
		var last *workflow.Status
		ended := make(chan error, 1)
		go func() {
			ended <- cluster(t, f, couler.Tekton).Watch(t.Context(), name, func(s *workflow.Status) error {
				last = s
				return nil
			})
		}()
		synctest.Wait()
		f.mu.Lock()
		watches := f.watches
		for i, w := range f.watches {
			if w.resource == "taskruns.tekton.dev" { // it says nothing any more
				f.watches = []*fakeWatch{watches[1-i]}
			}
		}
		f.mu.Unlock()
		f.turn(t, couler.Tekton, "stopped", name)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if step := last.Step("s2-slow"); step.State != workflow.Failed || step.ExitCode == nil {
			t.Errorf("at last the step is told as %+v", step)
		}
	})
}

func TestWatchOfADeletedWorkflowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, name := captured(t, couler.Argo, "running")
		ended := make(chan error, 1)
		go func() {
			ended <- cluster(t, f, couler.Argo).Watch(t.Context(), name, func(*workflow.Status) error { return nil })
		}()
		synctest.Wait()
		f.remove("workflows.argoproj.io", name)
		if err := <-ended; !errors.Is(err, workflow.ErrNotFound) {
			t.Errorf("the watch ended with %v", err)
		}
	})
}

func TestWatchGivesUpWhenTheClusterStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, name := captured(t, couler.Argo, "running")
		away := errors.New("connection refused")
		ended := make(chan error, 1)
		go func() {
			ended <- cluster(t, f, couler.Argo).Watch(t.Context(), name, func(*workflow.Status) error { return nil })
		}()
		synctest.Wait()
		f.mu.Lock()
		f.fail = func([]string) error { return away }
		f.mu.Unlock()
		begun := time.Now()
		f.breakWatches()
		if err := <-ended; !errors.Is(err, away) {
			t.Errorf("the watch ended with %v", err)
		}
		if d := time.Since(begun); d < 2*time.Minute || d > 3*time.Minute {
			t.Errorf("it gave up after %v", d)
		}
	})
}

func TestWatchEndsWithItsContextAndWithTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, name := captured(t, couler.Tekton, "running")
		ctx, cancel := context.WithCancel(t.Context())
		enough := errors.New("enough")
		if err := cluster(t, f, couler.Tekton).Watch(ctx, name, func(*workflow.Status) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("the watch ended with %v", err)
		}
		ended := make(chan error, 1)
		go func() {
			ended <- cluster(t, f, couler.Tekton).Watch(ctx, name, func(*workflow.Status) error { return nil })
		}()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended with %v", err)
		}
	})
}

func TestLogsWaitForTheStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, name := captured(t, couler.Argo, "running")
		status, err := cluster(t, f, couler.Argo).Status(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		f.logs[status.Step("s2-slow").Pod+"/main"] = "1\ntime=\"2026-11-23T17:19:33.313Z\" level=info msg=\"sub-process exited\" argo=true error=\"<nil>\"\n2\n"
		read := func(step string, follow bool) (string, error) {
			var text strings.Builder
			err := cluster(t, f, couler.Argo).Logs(t.Context(), name, step, follow, func(line []byte) error {
				text.WriteString(string(line) + "|")
				return nil
			})
			return text.String(), err
		}
		if got, err := read("s2-slow", false); got != "1|2|" || err != nil {
			t.Errorf("the log is %q, %v", got, err)
		}
		if _, err := read("s3-later", false); !errors.Is(err, workflow.ErrNoLogs) {
			t.Errorf("a step that has not begun gave %v", err)
		}
		if _, err := read("nonsense", false); err == nil {
			t.Error("a step that is not there has logs")
		}
		ended := make(chan error, 1)
		go func() {
			_, err := read("s3-later", true)
			ended <- err
		}()
		synctest.Wait()
		f.turn(t, couler.Argo, "stopped", name)
		if err := <-ended; !errors.Is(err, workflow.ErrNoLogs) { // it will never begin
			t.Errorf("waiting for a step that is left out gave %v", err)
		}
	})
}
