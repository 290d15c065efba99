package command

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// objects is a kubectl with a small cluster behind it.
type objects struct {
	mu    sync.Mutex
	all   map[string]string // JSON by "kind/name"
	pods  string            // the list of what runs steps
	logs  string            // of every pod
	mute  error             // instead of logs
	texts []string          // all that came on standard input
	calls []string
	fail  error
}

func (o *objects) Run(_ context.Context, stdin []byte, args ...string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, args[0]+" "+args[1])
	switch {
	case o.fail != nil:
		return nil, o.fail
	case args[0] == "create":
		o.texts = append(o.texts, string(stdin))
		var made map[string]any
		if err := yaml.Unmarshal(stdin, &made); err != nil {
			return nil, err
		}
		meta := made["metadata"].(map[string]any)
		if start, ok := meta["generateName"].(string); ok {
			meta["name"] = start + "x7k2p"
		}
		meta["uid"] = "a uid"
		text, err := json.Marshal(made)
		o.all[fmt.Sprint(map[string]string{"Workflow": "workflows.argoproj.io", "PipelineRun": "pipelineruns.tekton.dev"}[made["kind"].(string)], "/", meta["name"])] = string(text)
		return text, err
	case args[0] == "get" && strings.HasPrefix(args[2], "--"):
		return []byte(o.pods), nil
	case args[0] == "get":
		return []byte(o.all[args[1]+"/"+args[2]]), nil
	case args[0] == "patch", args[0] == "delete":
		return nil, nil
	}
	return nil, fmt.Errorf("the fake knows no %v", args)
}

func (o *objects) Stream(_ context.Context, line func([]byte) error, args ...string) error {
	if args[0] != "logs" {
		return fmt.Errorf("the fake knows no %v", args)
	}
	if o.mute != nil {
		return o.mute
	}
	for l := range strings.Lines(o.logs) {
		if err := line([]byte(strings.TrimSuffix(l, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

func (o *objects) called() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := o.calls
	o.calls = nil
	return calls
}

func newObjects() *objects {
	return &objects{all: map[string]string{}, pods: `{"items": []}`}
}

func programsOn(t *testing.T, o *objects, allowed ...string) *programs {
	t.Helper()
	p, err := makePrograms(boundKubectl(o), []string{"argo", "tekton"}, couler.Session{Namespace: "wf", ServiceAccount: "steps"},
		couler.Options{Image: "sqlflow/step:v1"}, allowed, workflow.LogView{Endpoint: "http://logs"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// captured is what a real engine made, of which the workflow has another name here.
func captured(t *testing.T, file, name, here string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "kube", "workflow", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), name, here)
}

// failedWorkflow is what a real Argo made of three steps, the second of which failed.
func failedWorkflow(t *testing.T, user string) (o *objects, id string) {
	t.Helper()
	read := func(file string) string { return captured(t, file, "sqlflow-5wb5k", "sqlflow-argo-5wb5k") }
	note, err := json.Marshal(user)
	if err != nil {
		t.Fatal(err)
	}
	const there = `"annotations": {`
	text := read("argo-steps.workflow.json")
	if user != "" {
		text = strings.Replace(text, there, there+`"sqlflow.org/user": `+string(note)+",", 1)
	}
	o = newObjects()
	o.all["workflows.argoproj.io/sqlflow-argo-5wb5k"], o.pods = text, read("argo-steps.pods.json")
	return o, "sqlflow-argo-5wb5k"
}

func code(err error) playground.Code { return playground.AsError(err).Code }

func TestAProgramIsSubmittedForItsUser(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"", "argo", "tekton"} {
		for _, user := range []string{"ann", "a {{workflow.name}} $(context.x) $$", "🦊\n\t\"'\\: #", "\x01\x7f\u2028", strings.Repeat("长", 341)} {
			o := newObjects()
			p := programsOn(t, o)
			of := handlers.Program{User: playground.User(user), SQL: "SELECT 1; SELECT 2;", Engine: engine, DataSource: "mysql://root:s3cret@tcp(db:3306)/"}
			if err := p.Check(of); err != nil {
				t.Errorf("%q on %q: %v", user, engine, err)
				continue
			}
			id, err := p.Submit(t.Context(), of)
			if err != nil {
				t.Errorf("%q on %q: %v", user, engine, err)
				continue
			}
			if want := "sqlflow-" + cmp.Or(engine, "argo") + "-x7k2p"; id != want {
				t.Errorf("the id is %q, want %q", id, want)
			}
			if len(o.texts) != 2 || !strings.Contains(o.texts[0]+decoded(o.texts[0]), "s3cret") || strings.Contains(o.texts[1], "s3cret") {
				t.Errorf("%q on %q: the data source is not in the Secret alone:\n%s", user, engine, strings.Join(o.texts, "---\n"))
			}
			var made struct {
				Metadata struct{ Namespace string }
			}
			if err := yaml.Unmarshal([]byte(o.texts[1]), &made); err != nil || made.Metadata.Namespace != "wf" || !strings.Contains(o.texts[1], "steps") {
				t.Errorf("namespace and service account: %v\n%s", err, o.texts[1])
			}
			found, err := p.Find(t.Context(), id)
			if err != nil || string(found.User()) != user || found.Status().UserID != user {
				t.Errorf("%q on %q: found %+v, %v", user, engine, found, err)
			}
		}
	}
}

// decoded gives what a Secret's values say.
func decoded(secret string) string {
	var s struct {
		Data map[string]string `yaml:"data"`
	}
	_ = yaml.Unmarshal([]byte(secret), &s)
	var all []string
	for _, v := range s.Data {
		text, _ := base64.StdEncoding.DecodeString(v)
		all = append(all, string(text))
	}
	return strings.Join(all, "\n")
}

func TestParallelProgramsAreADAG(t *testing.T) {
	t.Parallel()
	for parallel, want := range map[bool]bool{true: true, false: false} {
		o := newObjects()
		if _, err := programsOn(t, o).Submit(t.Context(), handlers.Program{
			User: "ann", SQL: "SELECT * FROM d.a; SELECT * FROM d.b;", Parallel: parallel, DataSource: "mysql://x",
		}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(o.texts[1], "dag:"); got != want {
			t.Errorf("parallel %t:\n%s", parallel, o.texts[1])
		}
	}
}

func TestWrongProgramsAreShown(t *testing.T) {
	t.Parallel()
	o := newObjects()
	p := programsOn(t, o)
	for _, test := range []struct {
		name string
		of   handlers.Program
		want string
	}{
		{"open string", handlers.Program{SQL: "SELECT 1;\nSELECT 'a"}, "line 2, column 8: "},
		{"the line and a caret", handlers.Program{SQL: "SELECT 1;\nSELECT 'a"}, "\n  SELECT 'a\n         ^"},
		{"empty", handlers.Program{SQL: " -- nothing"}, "the program is empty"},
		{"no SELECT", handlers.Program{SQL: "DROP TABLE t TO TRAIN DNN INTO m;"}, "line 1, column "},
		{"another engine", handlers.Program{SQL: "SELECT 1;", Engine: "docker"}, `the engine "docker" is not served here; it must be argo or tekton`},
		{"an image", handlers.Program{SQL: "SELECT 1;\n SELECT 2 TO RUN evil/image CMD 'x' INTO t;"}, `line 2, column 18: the image "evil/image" is not allowed here`},
		{"a name of another image in the select", handlers.Program{SQL: "SELECT 'evil/x' TO TRAIN evil/x/DNN LABEL c INTO m;"}, "line 1, column 26: "},
		{"two images", handlers.Program{SQL: "SELECT 1 TO RUN a/b;SELECT 1 TO RUN c/d;"}, `"c/d"`},
		{"too large", handlers.Program{SQL: "SELECT '" + strings.Repeat("x", couler.MaxArgument) + "';"}, "line 1"},
	} {
		test.of.User = "ann"
		err := p.Check(test.of)
		if code(err) != playground.BadRequest || !strings.Contains(playground.AsError(err).Message, test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		if _, again := p.Submit(t.Context(), test.of); code(again) != playground.BadRequest {
			t.Errorf("%s: submitted with %v", test.name, again)
		}
	}
	if calls := o.called(); len(calls) != 0 {
		t.Errorf("the cluster was asked: %q", calls)
	}
	many := strings.Repeat("SELECT 1 TO RUN evil/image;\n", 1000)
	if message := playground.AsError(p.Check(handlers.Program{User: "ann", SQL: many})).Message; len(message) > 17<<10 {
		t.Errorf("a thousand mistakes are told in %d bytes", len(message))
	}
}

func TestImagesThatStatementsMayName(t *testing.T) {
	t.Parallel()
	p := programsOn(t, newObjects(), "registry.example.com/models/*", "docker.io/x/y:v?")
	for sql, want := range map[string]bool{
		"SELECT 1 TO RUN registry.example.com/models/a:1;":         true,
		"SELECT 1 TO RUN registry.example.com/models/deep/a;":      false,
		"SELECT 1 TO RUN registry.example.com/models;":             false,
		"SELECT 1 TO RUN evil.com/registry.example.com/models/a;":  false,
		"SELECT 1 TO RUN docker.io/x/y:v2;":                        true,
		"SELECT 1 TO RUN docker.io/x/y:v22;":                       false,
		"SELECT 1 TO RUN sqlflow/step:v1;":                         true,
		"SELECT 1 TO RUN sqlflow/step:v2;":                         false,
		"SELECT * FROM a.b TO TRAIN DNNClassifier LABEL c INTO m;": true,
		"SELECT * FROM a.b TO TRAIN registry.example.com/models/x/DNN LABEL c INTO m; SELECT * FROM a.b TO PREDICT a.r.c USING m;": true,
		"SELECT * FROM a.b TO TRAIN registry.example.com/others/x/DNN LABEL c INTO m; SELECT * FROM a.b TO PREDICT a.r.c USING m;": false,
		"SELECT * FROM a.b TO TRAIN DNNClassifier WITH note='registry.example.com/others/x' LABEL c INTO m; -- TO RUN evil/image;": true,
	} {
		err := p.Check(handlers.Program{User: "ann", SQL: sql})
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "not allowed here") {
			t.Errorf("%s: %v, want it allowed: %t", sql, err, want)
		}
	}
	for _, pattern := range []string{"", "[", `a\`} {
		if _, err := makePrograms(newObjects(), []string{"argo"}, couler.Session{}, couler.Options{}, []string{pattern}, workflow.LogView{}); err == nil {
			t.Errorf("the pattern %q is taken", pattern)
		}
	}
}

func TestAWorkflowIsToldInSQLFlowsWords(t *testing.T) {
	t.Parallel()
	o, id := failedWorkflow(t, "ann")
	o.logs = "two\n"
	p := programsOn(t, o)
	w, err := p.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	status := w.Status()
	var states []string
	for _, s := range status.Steps {
		states = append(states, s.Name+" "+s.State)
	}
	if want := []string{"s1-first succeeded", "s2-fails failed", "s3-never skipped", "on-exit succeeded"}; status.State != "failed" || !slices.Equal(states, want) {
		t.Errorf("%s, %q, want %q", status.State, states, want)
	}
	if code := status.Steps[1].ExitCode; code == nil || *code != 3 {
		t.Errorf("the exit code is %v", code)
	}
	news, err := w.News(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	lines := linesOf(news)
	for _, want := range []string{
		"SQLFlow Step: [1/3] Execute Code: bash -c echo one; sleep 1 \n",
		"SQLFlow Step: [1/3] Log: http://logs/workflows/wf/" + id + "?tab=workflow&nodeId=" + id + "-",
		"SQLFlow Step: [1/3] Status: Succeeded\n(end)\nSQLFlow Step: [2/3] Execute Code: bash -c echo two; exit 3 \n",
		"SQLFlow Step: [2/3] Status: Failed\n(end)\n",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("told\n%s\nwithout\n%s", lines, want)
		}
	}
	if !strings.Contains(news.Error, "SQLFlow Step: [2/3] Failed, Log: ") || !news.EOF {
		t.Errorf("it ends with %q, %t", news.Error, news.EOF)
	}
	last, err := w.News(t.Context(), news.Cursor)
	if err != nil || len(last.Messages) > 0 || !last.EOF || last.Cursor != news.Cursor {
		t.Errorf("and then %+v, %v", last, err)
	}
	// From a cursor in between only what came later is told.
	rest, err := w.News(t.Context(), "s1-first/Succeeded")
	if err != nil || strings.Contains(linesOf(rest), "[1/3]") {
		t.Errorf("from the first step's end: %q, %v", linesOf(rest), err)
	}
	for _, cursor := range []string{"x", "s9/Running", "/", "s1-first", "s1-first/" + strings.Repeat("x", 100)} {
		if _, err := w.News(t.Context(), cursor); code(err) != playground.BadRequest {
			t.Errorf("the cursor %q: %v", cursor, err)
		}
	}
}

func linesOf(news handlers.WorkflowNews) string {
	var b strings.Builder
	for _, m := range news.Messages {
		if m.EndOfExecution {
			m.Message = "(end)"
		}
		b.WriteString(m.Message + "\n")
	}
	return b.String()
}

func TestLogsAreBounded(t *testing.T) {
	t.Parallel()
	o, id := failedWorkflow(t, "ann")
	w, err := programsOn(t, o).Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	o.logs = "one\n\xff\n"
	if text, err := w.Log(t.Context(), "s1-first"); err != nil || text != "one\n\ufffd\n" {
		t.Errorf("got %q, %v", text, err)
	}
	o.logs = strings.Repeat(strings.Repeat("x", 1023)+"\n", 5<<10)
	text, err := w.Log(t.Context(), "s1-first")
	if err != nil || len(text) < mostLog || len(text) > mostLog+100 || !strings.HasSuffix(text, "... there is more; this server shows the first 4 MiB\n") {
		t.Errorf("of 5 MiB %d bytes came, %v", len(text), err)
	}
	for _, step := range []string{"s3-never", "s9", "../x"} {
		if _, err := w.Log(t.Context(), step); code(err) != handlers.NotFound {
			t.Errorf("the log of %s: %v", step, err)
		}
	}
}

// Tekton deletes the pods of what is cancelled, and names them for ever.
func TestTheLogOfAPodThatIsGone(t *testing.T) {
	t.Parallel()
	const id = "sqlflow-tekton-6s57t"
	read := func(file string) string { return captured(t, file, "sqlflow-6s57t", id) }
	o := newObjects()
	o.all["pipelineruns.tekton.dev/"+id] = strings.Replace(read("tekton-stopped.pipelinerun.json"),
		`"metadata": {`, `"metadata": {"annotations": {"sqlflow.org/user": "\"ann\""},`, 1)
	o.pods = read("tekton-stopped.taskruns.json")
	o.mute = &kube.Error{Reason: kube.NotFound, Err: errors.New("exit status 1")}
	w, err := programsOn(t, o).Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if step := w.(*found).status.Step("s2-slow"); step.Pod == "" {
		t.Fatal("the step names no pod")
	}
	text, err := w.Log(t.Context(), "s2-slow")
	if code(err) != handlers.NotFound || !strings.Contains(err.Error(), "the pod of s2-slow is gone") {
		t.Errorf("of a pod that is gone: %q, %v", text, err)
	}
	o.all["pods/"+id+"-s2-slow-pod"] = "pod/" + id + "-s2-slow-pod\n"
	if text, err := w.Log(t.Context(), "s2-slow"); code(err) != playground.Internal {
		t.Errorf("of one that is there: %q, %v", text, err)
	}
}

func TestWorkflowsOfOthersAreNotFound(t *testing.T) {
	t.Parallel()
	o, id := failedWorkflow(t, "")
	p := programsOn(t, o)
	if _, err := p.Find(t.Context(), id); code(err) != handlers.NotFound {
		t.Errorf("without a user: %v", err)
	}
	o.called()
	for _, id := range []string{"", "sqlflow-5wb5k", "sqlflow-docker-x", "-oyaml", "x", "../sqlflow-argo-x"} {
		if _, err := p.Find(t.Context(), id); code(err) != handlers.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"sqlflow-argo-", "sqlflow-argo-x y", "sqlflow-argo-x/../../secrets", "sqlflow-argo-" + strings.Repeat("x", 300)} {
		if _, err := p.Find(t.Context(), id); code(err) != handlers.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
	if calls := o.called(); len(calls) != 0 {
		t.Errorf("the cluster was asked: %q", calls)
	}
	if _, err := p.Find(t.Context(), "sqlflow-argo-none"); code(err) != handlers.NotFound {
		t.Errorf("none: %v", err)
	}
}

func TestStopping(t *testing.T) {
	t.Parallel()
	o, id := failedWorkflow(t, "ann")
	p := programsOn(t, o)
	ended, err := p.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	o.called()
	if err := ended.Stop(t.Context()); err != nil || len(o.called()) > 0 {
		t.Errorf("what has ended: %v", err)
	}
	id, err = p.Submit(t.Context(), handlers.Program{User: "ann", SQL: "SELECT 1;", DataSource: "mysql://x"})
	if err != nil {
		t.Fatal(err)
	}
	w, err := p.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	o.called()
	if err := w.Stop(t.Context()); err != nil || !slices.Contains(o.called(), "patch workflows.argoproj.io") {
		t.Errorf("what runs: %v", err)
	}
}

func TestAnAbsentClusterIsUnavailable(t *testing.T) {
	t.Parallel()
	o := newObjects()
	p := programsOn(t, o)
	for _, test := range []struct {
		err  error
		want playground.Code
	}{
		{&kube.Error{Reason: kube.Unreachable, Err: errors.New("exit status 1")}, playground.Unavailable},
		{&kube.Error{Reason: kube.Timeout, Err: context.DeadlineExceeded}, playground.Unavailable},
		{&kube.Error{Reason: kube.Forbidden, Err: errors.New("exit status 1")}, playground.Internal},
	} {
		o.fail = test.err
		_, submit := p.Submit(t.Context(), handlers.Program{User: "ann", SQL: "SELECT 1;", DataSource: "mysql://root:s3cret@tcp(x)/"})
		_, find := p.Find(t.Context(), "sqlflow-argo-x")
		for _, err := range []error{submit, find} {
			if code(err) != test.want || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v: %v", test.err, err)
			}
		}
	}
}
