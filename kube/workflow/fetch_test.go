package workflow_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// asked is what a client that asks again and again was told.
func asked(t *testing.T, c *workflow.Cluster, name string, times int) (all []workflow.Response, eof bool, err error) {
	t.Helper()
	r := workflow.FetchRequest{Job: workflow.Job{ID: name, Namespace: "wf"}}
	for range times {
		answer, err := c.Fetch(t.Context(), r)
		all = append(all, answer.Responses...)
		if err != nil || answer.EOF {
			return all, answer.EOF, err
		}
		r = answer.UpdatedFetchSince
	}
	return all, false, nil
}

func messages(all []workflow.Response) string {
	var lines []string
	for _, r := range all {
		switch {
		case r.EndOfExecution:
			lines = append(lines, "(end of execution)")
		case r.Message != "":
			lines = append(lines, r.Message)
		default:
			lines = append(lines, "(data)")
		}
	}
	return strings.Join(lines, "\n")
}

func TestFetchTellsAsSQLFlowDid(t *testing.T) {
	t.Parallel()
	f, name := captured(t, couler.Argo, "succeeded")
	c := cluster(t, f, couler.Argo)
	status, err := c.Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range status.Steps {
		f.logs[step.Pod+"/main"] = "some output\n"
	}
	f.logs[status.Steps[1].Pod+"/main"] = `some output
head:<column_names:"n" column_names:"name" >
row:<data:<type_url:"type.googleapis.com/google.protobuf.Int64Value" value:"\010\007" > data:<type_url:"type.googleapis.com/google.protobuf.StringValue" value:"\n\003abc" > >
row:<data:<type_url:"type.googleapis.com/google.protobuf.DoubleValue" value:"\t\000\000\000\000\000\000\370?" > data:<type_url:"type.googleapis.com/proto.Row.Null" > >
<div id="x">a picture</div>
# no message at all

`
	all, eof, err := asked(t, c, name, 10)
	if err != nil || !eof {
		t.Fatalf("eof is %t, the error %v", eof, err)
	}
	url := func(i int) string {
		id := status.Steps[i].ID
		return "http://localhost:8001/workflows/wf/" + name + "?tab=workflow&nodeId=" + id + "&sidePanel=logs:" + id + ":main"
	}
	want := `SQLFlow Step: [1/3] Execute Code: bash -c echo quick ` + `
SQLFlow Step: [1/3] Log: ` + url(0) + `
SQLFlow Step: [1/3] Status: Succeeded
(end of execution)
SQLFlow Step: [2/3] Execute Code: bash -c for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 2; done ` + `
SQLFlow Step: [2/3] Log: ` + url(1) + `
SQLFlow Step: [2/3] Status: Succeeded
(data)
(data)
(data)
<div id="x">a picture</div>
(end of execution)
SQLFlow Step: [3/3] Execute Code: bash -c echo later ` + `
SQLFlow Step: [3/3] Log: ` + url(2) + `
SQLFlow Step: [3/3] Status: Succeeded
(end of execution)`
	if got := messages(all); got != want {
		t.Errorf("was told:\n%s\nwant:\n%s", got, want)
	}
	var data []workflow.Response
	for _, r := range all {
		if r.Head != nil || r.Row != nil {
			data = append(data, r)
		}
	}
	if !reflect.DeepEqual(data, []workflow.Response{
		{Head: []string{"n", "name"}}, {Row: []any{int64(7), "abc"}}, {Row: []any{1.5, nil}},
	}) {
		t.Errorf("the rows are %#v", data)
	}
}

func TestFetchTellsNothingTwice(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		f, name := captured(t, engine, "running")
		status, err := cluster(t, f, engine).Status(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		f.logs[status.Steps[0].Pod+"/"+status.Steps[0].Container] = "quick\n"
		all, eof, err := asked(t, cluster(t, f, engine), name, 5)
		if err != nil || eof {
			t.Fatalf("eof is %t, the error %v", eof, err)
		}
		for _, line := range []string{"[1/3] Status: Succeeded", "[2/3] Execute Code: ", "[2/3] Log: ", "[2/3] Status: Running"} {
			if got := strings.Count(messages(all), "SQLFlow Step: "+line); got != 1 {
				t.Errorf("%s: %q was told %d times:\n%s", engine, line, got, messages(all))
			}
		}
	}
}

func TestFetchOfAFailedStepIsAnErrorWithItsText(t *testing.T) {
	t.Parallel()
	f, name := captured(t, couler.Argo, "steps")
	c := cluster(t, f, couler.Argo)
	status, err := c.Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	f.logs[status.Steps[0].Pod+"/main"] = ""
	f.logs[status.Steps[1].Pod+"/main"] = `message:<message:"no such table" >` + "\n"
	all, _, err := asked(t, c, name, 10)
	id := status.Steps[1].ID
	want := "SQLFlow Step: [2/3] Failed, Log: http://localhost:8001/workflows/wf/" + name + "?tab=workflow&nodeId=" + id + "&sidePanel=logs:" + id + ":main\nno such table"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
	if !strings.HasSuffix(messages(all), "SQLFlow Step: [2/3] Status: Failed\n(end of execution)") {
		t.Errorf("was told:\n%s", messages(all))
	}
	if strings.Contains(messages(all), "/4]") {
		t.Error("the exit step is counted")
	}
}

// SQLFlow lost all of these: it took node ids for pods, and knew no other shape than steps.
func TestFetchOfOtherShapes(t *testing.T) {
	t.Parallel()
	for capture, want := range map[string]string{
		"dag":   "[3/4] Failed, Log: ",
		"retry": "[1/2] Failed, Log: ",
		"image": "[1/1] Failed, Log: ",
	} {
		for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
			f, name := captured(t, engine, capture)
			for key := range f.objects {
				if pod, ok := strings.CutPrefix(key, "pods/"); ok {
					f.logs[pod+"/main"] = ""
				}
			}
			status, err := cluster(t, f, engine).Status(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range status.Steps {
				f.logs[step.Pod+"/"+step.Container] = ""
			}
			_, _, err = asked(t, cluster(t, f, engine), name, 10)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %s ended with %v, want %q", capture, engine, err, want)
			}
		}
	}
}

// A TaskRun names its pod also when that is gone.
func TestFetchWithoutPods(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		f, name := captured(t, engine, "steps")
		for key := range f.objects {
			if strings.HasPrefix(key, "pods/") {
				delete(f.objects, key)
			}
		}
		all, _, err := asked(t, cluster(t, f, engine), name, 10)
		if err == nil || !strings.Contains(err.Error(), "[2/3] Failed, Log: ") || !strings.Contains(err.Error(), "code 3") {
			t.Errorf("%s: the error is %v, want the second step's with the engine's own words", engine, err)
		}
		if !strings.Contains(messages(all), "[1/3] Status: Succeeded\n(end of execution)") {
			t.Errorf("%s: was told:\n%s", engine, messages(all))
		}
		if err := cluster(t, f, engine).Logs(t.Context(), name, "s1-first", false, nil); !errors.Is(err, workflow.ErrNoLogs) {
			t.Errorf("%s: the logs gave %v, want ErrNoLogs", engine, err)
		}
	}
}

func TestFetchOfAWorkflowWithoutSteps(t *testing.T) {
	t.Parallel()
	for engine, want := range map[couler.Engine]string{
		couler.Argo:   "template name 's9-missing' undefined",
		couler.Tekton: "s9-missing wasn't present",
	} {
		f, name := captured(t, engine, "bad")
		_, _, err := asked(t, cluster(t, f, engine), name, 3)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want the engine's own words %q", engine, err, want)
		}
	}
}

// With parallel a step may fail while one that was written earlier has not begun.
func TestFetchGoesPastStepsThatNeverBegan(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.logs["pod-3/main"] = `row:<data:<type_url:"type.googleapis.com/proto.Row.Null" > >` + "\n" + `message:<message:"no such table" >` + "\n"
	a := workflow.Step{Name: "a", State: workflow.Succeeded, ID: "1"}
	never := workflow.Step{Name: "b", State: workflow.Skipped}
	for name, test := range map[string]struct {
		later []workflow.Step
		told  []string
		want  string
	}{
		"a later one failed": {
			[]workflow.Step{{Name: "c", State: workflow.Failed, ID: "3", Message: "boom"}},
			[]string{"[1/3] Status: Succeeded", "[2/3] Status: Skipped", "[3/3] Status: Failed"}, "\nboom",
		},
		"and said why": {
			[]workflow.Step{{Name: "c", State: workflow.Failed, ID: "3", Message: "boom", Pod: "pod-3", Container: "main", Begun: true}},
			[]string{"[3/3] Status: Failed\n(data)\n(end of execution)"}, "\nno such table",
		},
		"the engine could not run a later one": {
			[]workflow.Step{{Name: "c", State: workflow.Succeeded, ID: "3"}, {Name: "d", State: workflow.Error, ID: "4", Message: "no image"}},
			[]string{"[3/4] Status: Succeeded", "[4/4] Status: Failed"}, "\nno image",
		},
		"none failed": {
			[]workflow.Step{{Name: "c", State: workflow.Succeeded, ID: "3"}},
			[]string{"[1/3] Status: Succeeded"}, "SQLFlow Workflow: w Failed: stopped",
		},
		"but the exit step": {
			[]workflow.Step{{Name: "exit", State: workflow.Failed, ID: "3", Exit: true}},
			[]string{"[1/2] Status: Succeeded"}, "SQLFlow Workflow: w Failed: stopped",
		},
	} {
		status := &workflow.Status{
			Run:   workflow.Run{Name: "w", Namespace: "wf", State: workflow.Failed, Message: "stopped"},
			Steps: append([]workflow.Step{a, never}, test.later...),
		}
		var all []workflow.Response
		var err error
		r := workflow.FetchRequest{Job: workflow.Job{ID: "w", Namespace: "wf"}}
		for range 10 {
			var answer workflow.FetchResponse
			if answer, err = cluster(t, f, couler.Tekton).FetchFrom(t.Context(), status, r); err != nil || answer.EOF {
				all = append(all, answer.Responses...)
				break
			}
			all, r = append(all, answer.Responses...), answer.UpdatedFetchSince
		}
		if err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, test.want)
		}
		for _, want := range test.told {
			if strings.Count(messages(all), want) != 1 {
				t.Errorf("%s: was told\n%s\nwithout %q", name, messages(all), want)
			}
		}
	}
}

func TestFetchOfWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	f := newFake()
	run, err := cluster(t, f, couler.Argo).Submit(t.Context(), compiled(t))
	if err != nil {
		t.Fatal(err)
	}
	r := workflow.FetchRequest{Job: workflow.Job{ID: run.Name}}
	answer, err := cluster(t, f, couler.Argo).Fetch(t.Context(), r)
	if err != nil || answer.EOF || len(answer.Responses) > 0 || answer.UpdatedFetchSince.StepID != "" {
		t.Errorf("it is told as %+v, %v", answer, err)
	}
	if got := option(f.calls[len(f.calls)-1], "namespace"); got != "kubectls-own" && got != "default" {
		t.Errorf("it was looked for in %q", got)
	}
	_, err = cluster(t, f, couler.Argo).Fetch(t.Context(), workflow.FetchRequest{Job: workflow.Job{ID: "sqlflow-none"}})
	if !errors.Is(err, workflow.ErrNotFound) {
		t.Errorf("no such workflow gave %v", err)
	}
}

func TestFetchNamesTheLogCollector(t *testing.T) {
	t.Parallel()
	f, name := captured(t, couler.Argo, "running")
	now := time.Unix(1_700_000_000, 0)
	c, err := workflow.New(workflow.Options{
		Kubectl: f, Engine: couler.Argo, Now: func() time.Time { return now },
		LogView: workflow.LogView{Endpoint: "http://unused", DTMEndpoint: "http://dtm"},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Fetch(t.Context(), workflow.FetchRequest{Job: workflow.Job{ID: name, Namespace: "wf"}, StepID: "s2-slow"})
	if err != nil {
		t.Fatal(err)
	}
	status, err := c.Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	want := "SQLFlow Step: [2/3] Log: http://dtm?jobName=" + name + "&taskName=" + status.Step("s2-slow").Pod +
		"&__envName=PROD&startTime=1700000000000&endTime=1700086400000"
	if got := messages(answer.Responses); !strings.Contains(got, want) {
		t.Errorf("was told:\n%s\nwant %s", got, want)
	}
}
