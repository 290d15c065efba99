package e2e_test

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
	pinned "sqlflow.org/sqlflow_playground/test/programs"
)

// load loads a workflow file for the scene and submits it.
func (s *scene) load(t *testing.T, file string) run {
	t.Helper()
	w, err := couler.Load(strings.NewReader(file), s.session(), s.options())
	if err != nil {
		t.Fatal(err)
	}
	return s.submit(t, w)
}

// What a file can say and SQL cannot: Python, volumes, a log file, an order of
// one's own, and what runs at the end.
func fileOfSteps(t *testing.T, s *scene) {
	s.kubectl(t, "", "create", "configmap", "settings", "--from-literal=colour=a  $(blue) {{sky}}")
	r := s.load(t, `
name: file-
parallel: true
logFile: /scratch/logs/step.log
exitWait: 1s
volumes:
- {name: settings, configMap: settings}
- {name: scratch}
env: {GREETING: "hello  $(HOME)"}
steps:
- name: first
  mounts: [{volume: settings, path: /etc/settings, readOnly: true}, {volume: scratch, path: /scratch}]
  python: |
    import os
    print(os.environ["GREETING"], open("/etc/settings/colour").read(), sep="|")
    return
    print("never")
- name: second
  after: [first]
  mounts: [{volume: scratch, path: /scratch}]
  sql: CREATE TABLE told (text VARCHAR(50)); INSERT INTO told VALUES ('by a file');
- name: third
  command: [bash, -c, "echo $((6*7))"]
onExit:
  command: [bash, -c, "echo it $SQLFLOW_WORKFLOW_STATUS"]
`)
	r.succeeded(t)
	for step, want := range map[string]string{
		"first": "hello  $(HOME)|a  $(blue) {{sky}}\n", "third": "42\n", "on-exit": "it Succeeded\n",
	} {
		if got := r.log(t, step); got != want {
			t.Errorf("%s said %q, want %q", step, got, want)
		}
	}
	if got := s.data.one(t, "SELECT text FROM told"); got != "by a file" {
		t.Errorf("the table holds %q", got)
	}
}

// A step that fails is tried again as often as it may, and then the exit step
// learns of it. The log is that of all tries, whether it is followed or read afterwards.
func retriesAndExit(t *testing.T, s *scene) {
	r := s.load(t, `
name: retries-
steps:
- name: stubborn
  retries: 2
  python: |
    print("tried")
    raise SystemExit(7)
- name: never
  command: ["true"]
onExit:
  command: [bash, -c, "echo it $SQLFLOW_WORKFLOW_STATUS"]
`)
	followed := make(chan string, 1)
	go func() {
		text, err := r.read(t.Context(), "stubborn", true)
		if err != nil {
			text += err.Error()
		}
		followed <- text
	}()
	status := r.end(t)
	stubborn := status.Step("stubborn")
	if status.State != workflow.Failed || stubborn.State != workflow.Failed || stubborn.Retries != 2 || code(*stubborn) != "7" {
		t.Errorf("the workflow is %s, its step %s after %d retries with code %s; want failed, failed, 2, 7",
			status.State, stubborn.State, stubborn.Retries, code(*stubborn))
	}
	if got := status.Step("never").State; got != workflow.Skipped {
		t.Errorf("the next step is %s, want skipped", got)
	}
	const said = "tried\ntried\ntried\n"
	if got := <-followed; got != said {
		t.Errorf("the failing step was heard to say %q", got)
	}
	if got := r.log(t, "stubborn"); got != said {
		t.Errorf("the failing step said %q", got)
	}
	if got := r.log(t, "on-exit"); got != "it Failed\n" {
		t.Errorf("the exit step said %q", got)
	}
}

// A step that takes too long is ended, long before the workflow is.
func tooLong(t *testing.T, s *scene) {
	r := s.load(t, `
name: slow-
timeout: 10m
steps:
- name: sleeper
  timeout: 5s
  command: [sleep, "900"]
`)
	begun := time.Now()
	status := r.end(t)
	if status.State != workflow.Failed || status.Step("sleeper").State != workflow.Failed {
		t.Errorf("the workflow is %s, its step %s; want failed", status.State, status.Step("sleeper").State)
	}
	if took := time.Since(begun); took > patience {
		t.Errorf("it took %s", took)
	}
}

// A workflow that takes too long is ended, and its exit step runs all the same.
func allTooLong(t *testing.T, s *scene) {
	r := s.load(t, `
name: late-
timeout: 10s
steps:
- name: sleeper
  command: [sleep, "900"]
- name: never
  command: ["true"]
onExit:
  command: [bash, -c, "echo it $SQLFLOW_WORKFLOW_STATUS"]
`)
	status := r.end(t)
	if status.State == workflow.Succeeded || status.Step("sleeper").State == workflow.Succeeded {
		t.Errorf("the workflow is %s, its step %s; want neither succeeded", status.State, status.Step("sleeper").State)
	}
	if got := status.Step("never").State; got != workflow.Skipped {
		t.Errorf("the next step is %s, want skipped", got)
	}
	s.noPodRuns(t)
	exit := status.Step("on-exit")
	if s.name == couler.Tekton && pinned.TektonVersion == "v1.9.0" {
		// Until v1.13 Tekton ends such a run before it has come to its exit step
		// (tektoncd/pipeline#9709).
		if exit.State != workflow.Skipped {
			t.Errorf("the exit step is %s; this Tekton skipped it", exit.State)
		}
		return
	}
	if exit.State != workflow.Succeeded {
		t.Fatalf("the exit step is %s, want succeeded", exit.State)
	}
	if got := r.log(t, "on-exit"); !strings.HasPrefix(got, "it ") || got == "it Succeeded\n" {
		t.Errorf("the exit step said %q", got)
	}
}

// The largest statements that are compiled run, whichever way they go: as they
// are, and in base64 for text that an engine would rewrite.
func largestStatements(t *testing.T, s *scene) {
	var program []string
	var lengths []int
	for i, text := range []string{"x", "$$"} {
		statement := func(n int) string {
			return fmt.Sprintf("CREATE TABLE big%d AS SELECT '%s' AS text;", i, strings.Repeat(text, n))
		}
		tooLarge := sort.Search(couler.MaxArgument, func(n int) bool {
			_, err := couler.Compile(statement(n), s.session(), s.options())
			return err != nil
		})
		program, lengths = append(program, statement(tooLarge-1)), append(lengths, (tooLarge-1)*len(text))
	}
	s.compile(t, strings.Join(program, "\n"), s.options()).succeeded(t)
	for i, want := range lengths {
		if got := s.data.one(t, fmt.Sprintf("SELECT LENGTH(text) FROM big%d", i)); got != fmt.Sprint(want) {
			t.Errorf("of %d bytes arrived %s", want, got)
		}
	}
}
