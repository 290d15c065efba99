package handlers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/playground"
)

// engine runs programs in memory: a statement is done at each look.
type engine struct {
	mu   sync.Mutex
	runs map[string]*run
	fail error // what each call meets
}

type run struct {
	program handlers.Program
	done    int
	stopped bool
}

func newEngine() *engine { return &engine{runs: map[string]*run{}} }

func (e *engine) Check(p handlers.Program) error {
	if strings.Contains(p.SQL, "mistake") {
		return playground.Errorf(playground.BadRequest, "line 1, column 8: a mistake\n  SELECT mistake\n         ^")
	}
	return nil
}

func (e *engine) Submit(_ context.Context, p handlers.Program) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return "", e.fail
	}
	id := fmt.Sprintf("sqlflow-%d", len(e.runs)+1)
	e.runs[id] = &run{program: p}
	return id, nil
}

func (e *engine) Find(_ context.Context, id string) (handlers.Workflow, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, ok := e.runs[id]
	switch {
	case e.fail != nil:
		return nil, e.fail
	case !ok:
		return nil, playground.Errorf(handlers.NotFound, "there is no workflow %q", id)
	}
	r.done = min(r.done+1, len(r.steps()))
	return &sight{e, r, id, *r}, nil
}

func (r *run) steps() []string {
	return strings.SplitAfter(strings.TrimSuffix(r.program.SQL, ";"), ";")
}

// sight is a run as it was when somebody looked.
type sight struct {
	engine *engine
	run    *run
	id     string
	then   run
}

func (s *sight) User() playground.User { return s.then.program.User }

func (s *sight) Status() handlers.WorkflowStatus {
	told := handlers.WorkflowStatus{
		WorkflowID: s.id, UserID: string(s.User()), Engine: s.then.program.Engine, State: "running", Stopping: s.then.stopped, Created: began,
	}
	for i, text := range s.then.steps() {
		state := "pending"
		if i < s.then.done {
			state = "succeeded"
		}
		told.Steps = append(told.Steps, handlers.WorkflowStep{Name: fmt.Sprintf("s%d-normal", i+1), Statement: i + 1, Text: text, State: state})
	}
	if s.then.done == len(told.Steps) {
		told.State = "succeeded"
	}
	return told
}

func (s *sight) News(_ context.Context, cursor string) (handlers.WorkflowNews, error) {
	var from int
	if _, err := fmt.Sscan(cursor, &from); cursor != "" && err != nil {
		return handlers.WorkflowNews{}, playground.Errorf(playground.BadRequest, "no cursor")
	}
	news := handlers.WorkflowNews{Cursor: fmt.Sprint(s.then.done), EOF: s.then.done == len(s.then.steps())}
	for i := from; i < s.then.done; i++ {
		news.Messages = append(news.Messages,
			handlers.WorkflowMessage{Message: fmt.Sprintf("SQLFlow Step: [%d/%d] Status: Succeeded", i+1, len(s.then.steps()))},
			handlers.WorkflowMessage{Head: []string{"n", "t"}}, handlers.WorkflowMessage{Row: []any{int64(1)<<62 + 1, nil}},
			handlers.WorkflowMessage{EndOfExecution: true})
	}
	return news, nil
}

func (s *sight) Log(_ context.Context, step string) (string, error) {
	if step != "s1-normal" {
		return "", playground.Errorf(handlers.NotFound, "there is no log yet: %.80q has not begun", step)
	}
	return "log of <b>" + step + "\n", nil
}

func (s *sight) Stop(context.Context) error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	s.run.stopped = true
	return nil
}

// withWorkflows is a gateway that runs programs.
func withWorkflows(t *testing.T) (*gateway, *engine) {
	e := newEngine()
	return newGateway(t, func(o *handlers.Options) { o.Workflows = e }), e
}

func TestAProgramsDay(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	ann := g.client(t, "ann")
	p := client.Program{UserID: "ann", SQL: "SELECT 1; SELECT '<&\u2028\"';", Engine: "tekton", Parallel: true}
	id, err := ann.SubmitWorkflow(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	want := handlers.Program{User: "ann", SQL: p.SQL, Engine: "tekton", Parallel: true, DataSource: "mysql://root:root@tcp(10.0.0.1:3306)/?maxAllowedPacket=0"}
	if got := e.runs[id].program; got != want {
		t.Errorf("the engine got %+v, want %+v", got, want)
	}

	first, err := ann.Workflow(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	step := func(n int, state, text string) client.WorkflowStep {
		return client.WorkflowStep{Name: fmt.Sprintf("s%d-normal", n), Statement: n, Text: text, State: state}
	}
	messages := func(n int) []client.WorkflowMessage {
		return []client.WorkflowMessage{
			{Message: fmt.Sprintf("SQLFlow Step: [%d/2] Status: Succeeded", n)}, {Head: []string{"n", "t"}},
			{Row: []any{json.Number("4611686018427387905"), nil}}, {EndOfExecution: true},
		}
	}
	wanted := client.Workflow{
		WorkflowID: id, UserID: "ann", Engine: "tekton", State: "running", Created: began,
		Steps:    []client.WorkflowStep{step(1, "succeeded", "SELECT 1;"), step(2, "pending", " SELECT '<&\u2028\"'")},
		Messages: messages(1), Cursor: "1",
	}
	if !reflect.DeepEqual(first, wanted) {
		t.Errorf("first\n%+v\nwant\n%+v", first, wanted)
	}
	if err := ann.StopWorkflow(t.Context(), id); err != nil {
		t.Error(err)
	}
	second, err := ann.Workflow(t.Context(), id, first.Cursor)
	if err != nil || !second.Stopping || !second.EOF || second.State != "succeeded" || !reflect.DeepEqual(second.Messages, messages(2)) {
		t.Errorf("second %+v, %v", second, err)
	}
	last, err := ann.Workflow(t.Context(), id, second.Cursor)
	if err != nil || len(last.Messages) != 0 || last.Messages == nil || !last.EOF {
		t.Errorf("last %+v, %v", last, err)
	}
	if text, err := ann.WorkflowLog(t.Context(), id, "s1-normal"); err != nil || text != "log of <b>s1-normal\n" {
		t.Errorf("log %q, %v", text, err)
	}
	_, err = ann.WorkflowLog(t.Context(), id, "s2-normal")
	if e := refusal(t, err); e.Status != http.StatusNotFound || !strings.Contains(e.Message, "not begun") {
		t.Errorf("log of a step to come: %+v", e)
	}
}

func TestAProgramMayBringItsDataSource(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	id, err := g.client(t, "ann").SubmitWorkflow(t.Context(), client.Program{UserID: "ann", SQL: "SELECT 1;", DataSource: "mysql://mine"})
	if err != nil {
		t.Fatal(err)
	}
	if got := e.runs[id].program.DataSource; got != "mysql://mine" {
		t.Errorf("got %q", got)
	}
	if db := g.Database("ann"); db.State != playground.StateNone {
		t.Errorf("and a database was made: %+v", db)
	}
}

// Nothing is done for a program that is wrong.
func TestAWrongProgramMakesNoDatabase(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	_, err := g.client(t, "ann").SubmitWorkflow(t.Context(), client.Program{UserID: "ann", SQL: "SELECT mistake"})
	refused := refusal(t, err)
	if refused.Status != http.StatusBadRequest || !strings.HasPrefix(refused.Message, "line 1, column 8: ") || !strings.HasSuffix(refused.Message, "\n         ^") {
		t.Errorf("got %+v", refused)
	}
	if len(e.runs) > 0 || g.Database("ann").State != playground.StateNone {
		t.Errorf("there are %d workflows and the database %+v", len(e.runs), g.Database("ann"))
	}
}

func TestAProgramWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	g.fail("ann", &playground.Error{Code: playground.StillCreating, Message: "not yet", RetryAfter: 7 * time.Second})
	_, err := g.client(t, "ann").SubmitWorkflow(t.Context(), client.Program{UserID: "ann", SQL: "SELECT 1;"})
	if refused := refusal(t, err); refused.Code != "still_creating" || refused.RetryAfter != 7*time.Second || len(e.runs) != 0 {
		t.Errorf("got %+v and %d workflows", refused, len(e.runs))
	}
}

func TestAWorkflowIsForItsUsersClientsOnly(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	id, err := g.client(t, "ann").SubmitWorkflow(t.Context(), client.Program{UserID: "ann", SQL: "SELECT 1; SELECT 2;"})
	if err != nil {
		t.Fatal(err)
	}
	requests := []struct{ method, path, body string }{
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"SELECT 1;"}`},
		{"GET", "/api/workflow?workflow_id=" + id, ""},
		{"GET", "/api/workflow_log?workflow_id=" + id + "&step=s1-normal", ""},
		{"POST", "/api/stop_workflow", `{"workflow_id":"` + id + `"}`},
	}
	for name, want := range map[string]int{"ann": 200, gatewayName: 200, "bob": 403, "": 403, oldName: 403} {
		c := g.http(t, name, false)
		for _, r := range requests {
			got := g.do(t, c, r.method, r.path, r.body)
			if got.status != want {
				t.Errorf("%q, %s %s: %d %s", name, r.method, r.path, got.status, got.body)
			}
			if want == 403 && r.method+r.path != "POST/api/workflow" && strings.Contains(got.body, "ann") {
				t.Errorf("%q is told whose it is: %s", name, got.body)
			}
		}
	}
	e.runs[id].stopped = false
	g.do(t, g.http(t, "bob", false), "POST", "/api/stop_workflow", requests[3].body)
	if e.runs[id].stopped {
		t.Error("bob stopped it")
	}
	// The log says whose it was.
	answer := g.do(t, g.http(t, "bob", false), "POST", "/api/stop_workflow", requests[3].body)
	line := g.line(t, decodeError(t, answer).RequestID)
	if line.Data["audit"] != "stop_workflow" || line.Data["result"] != "forbidden" || line.Data["user"] != `"ann"` || line.Data["workflow"] != id {
		t.Errorf("logged %v", line.Data)
	}
}

func TestBadWorkflowRequestsAreRefused(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	c := g.http(t, gatewayName, false)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/api/workflow", `{"sql":"SELECT 1;"}`, 400, "user_id is missing"},
		{"POST", "/api/workflow", `{"user_id":"ann"}`, 400, "sql is missing"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":""}`, 400, "sql is missing"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":["SELECT 1;"]}`, 400, "sql must be a string"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"a","sql":"b"}`, 400, "sql is there twice"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"\ud83e"}`, 400, "sql is not valid Unicode"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"SELECT 1;","parallel":"yes"}`, 400, "parallel must be"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"SELECT 1;","parallel":true,"parallel":false}`, 400, "parallel is there twice"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"SELECT 1;","engine":7}`, 400, "engine must be a string"},
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"` + strings.Repeat("x", 64<<10) + `"}`, 413, "larger than"},
		{"GET", "/api/workflow", "", 400, "workflow_id is missing"},
		{"GET", "/api/workflow?workflow_id=none", "", 404, "no workflow"},
		{"GET", "/api/workflow_log?workflow_id=none", "", 400, "step is missing"},
		{"GET", "/api/workflow_log?workflow_id=none&step=s1", "", 404, "no workflow"},
		{"POST", "/api/stop_workflow", `{}`, 400, "workflow_id is missing"},
		{"POST", "/api/stop_workflow", `[]`, 400, "no object"},
		{"POST", "/api/stop_workflow", `{`, 400, "not valid JSON"},
		{"POST", "/api/stop_workflow", "{\"workflow_id\":\"\xff\"}", 400, "not UTF-8"},
		{"POST", "/api/stop_workflow", `{"workflow_id":"none"}`, 404, "no workflow"},
		{"PUT", "/api/workflow", "", 405, "GET, HEAD, POST"},
	} {
		got := g.do(t, c, test.method, test.path, test.body)
		if message := decodeError(t, got).Message; got.status != test.status || !strings.Contains(message, test.want) {
			t.Errorf("%s %s %.60s: %d %q, want %d %q", test.method, test.path, test.body, got.status, message, test.status, test.want)
		}
	}
	if len(e.runs) != 0 {
		t.Errorf("%d workflows were made", len(e.runs))
	}
}

func TestNullIsNotGiven(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	got := g.do(t, g.http(t, "ann", false), "POST", "/api/workflow",
		`{"user_id":"ann","sql":"SELECT 1;","engine":null,"parallel":null,"data_source":null,"more":1}`)
	if got.status != http.StatusOK || e.runs["sqlflow-1"].program.Engine != "" {
		t.Errorf("got %+v", got)
	}
}

func TestWithoutEnginesThereAreNoWorkflows(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.http(t, gatewayName, false)
	for _, r := range [][3]string{
		{"POST", "/api/workflow", `{"user_id":"ann","sql":"SELECT 1;"}`}, {"GET", "/api/workflow?workflow_id=x", ""},
		{"GET", "/api/workflow_log?workflow_id=x&step=s", ""}, {"POST", "/api/stop_workflow", `{"workflow_id":"x"}`},
	} {
		if got := g.do(t, c, r[0], r[1], r[2]); got.status != http.StatusNotFound || decodeError(t, got).Code != "not_found" {
			t.Errorf("%s %s: %+v", r[0], r[1], got)
		}
	}
}

func TestTroublesOfTheClusterAreOurs(t *testing.T) {
	t.Parallel()
	g, e := withWorkflows(t)
	for _, test := range []struct {
		err    error
		status int
	}{
		{&playground.Error{Code: playground.Unavailable, Message: "not now", Err: fmt.Errorf("secret")}, http.StatusServiceUnavailable},
		{fmt.Errorf("kubectl: secret"), http.StatusInternalServerError},
	} {
		e.fail = test.err
		_, submit := g.client(t, "ann").SubmitWorkflow(t.Context(), client.Program{UserID: "ann", SQL: "SELECT 1;"})
		_, look := g.client(t, "ann").Workflow(t.Context(), "x", "")
		for _, err := range []error{submit, look} {
			if refused := refusal(t, err); refused.Status != test.status || strings.Contains(refused.Message, "secret") {
				t.Errorf("%v: %+v", test.err, refused)
			}
		}
	}
}
