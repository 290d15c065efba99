package handlers

import (
	"context"
	"net/http"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Workflows runs SQL programs on engines in a cluster. Its errors are *playground.Error
// with codes BadRequest (what is wrong with the program, with line, column and caret),
// [NotFound] and Unavailable; any other is our own fault.
type Workflows interface {
	// Check says what is wrong with a program, before anything is done for it.
	Check(p Program) error
	// Submit starts a program that Check accepts and returns the workflow's id.
	Submit(ctx context.Context, p Program) (id string, err error)
	// Find reads a workflow that Submit made.
	Find(ctx context.Context, id string) (Workflow, error)
}

// Program is a SQL program and how it is to run.
type Program struct {
	User       playground.User
	SQL        string
	Engine     string // "" is the server's first
	Parallel   bool   // steps that do not need each other's tables run at the same time
	DataSource string
}

// Workflow is one that was found.
type Workflow interface {
	// User is for whom it was submitted.
	User() playground.User
	// Status is as it was when it was found.
	Status() WorkflowStatus
	// News is what happened until then, from cursor on; "" is the start. It is bounded:
	// until EOF there may be more behind its own cursor.
	News(ctx context.Context, cursor string) (WorkflowNews, error)
	// Log is what a step has printed; it is bounded.
	Log(ctx context.Context, step string) (string, error)
	// Stop asks it to end. That it has ended is no error.
	Stop(ctx context.Context) error
}

// WorkflowStatus is the JSON of a workflow.
type WorkflowStatus struct {
	WorkflowID string         `json:"workflow_id"`
	UserID     string         `json:"user_id"`
	Engine     string         `json:"engine"`
	State      string         `json:"state"`
	Message    string         `json:"message,omitempty"`
	Stopping   bool           `json:"stopping,omitempty"`
	Created    time.Time      `json:"created,omitzero"`
	Started    time.Time      `json:"started,omitzero"`
	Finished   time.Time      `json:"finished,omitzero"`
	Steps      []WorkflowStep `json:"steps"`
}

// WorkflowStep is the JSON of a step.
type WorkflowStep struct {
	Name      string    `json:"name"`
	Statement int       `json:"statement,omitempty"`
	Text      string    `json:"text,omitempty"`
	After     []string  `json:"after,omitempty"`
	State     string    `json:"state"`
	Message   string    `json:"message,omitempty"`
	ExitCode  *int      `json:"exit_code,omitempty"`
	Retries   int       `json:"retries,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
}

// WorkflowNews is the JSON of what happened: SQLFlow's own messages.
type WorkflowNews struct {
	Messages []WorkflowMessage `json:"messages"`
	// Cursor is where to go on next time. EOF is true when nothing more will come.
	Cursor string `json:"cursor"`
	EOF    bool   `json:"eof"`
	// Error is why the workflow failed.
	Error string `json:"error,omitempty"`
}

// WorkflowMessage is one thing to show; one of its fields is set. Values of a row are
// null, true or false, numbers, or texts; bytes are base64.
type WorkflowMessage struct {
	Message        string   `json:"message,omitempty"`
	Head           []string `json:"head,omitempty"`
	Row            []any    `json:"row,omitempty"`
	EndOfExecution bool     `json:"end_of_execution,omitempty"`
}

// submitWorkflow answers POST /api/workflow.
func (a *API) submitWorkflow(x *exchange) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	p, err := parseProgram(body)
	if err != nil {
		return err
	}
	if err := x.actFor(p.User); err != nil {
		return err
	}
	if err := a.Workflows.Check(p); err != nil {
		return err
	}
	if p.DataSource == "" {
		db, err := a.Manager.Create(x.r.Context(), x.client, p.User)
		if err != nil {
			return err
		}
		p.DataSource = db.DataSource
	}
	id, err := a.Workflows.Submit(x.r.Context(), p)
	if err != nil {
		return err
	}
	x.workflow = id
	x.replyJSON(http.StatusOK, struct {
		WorkflowID string `json:"workflow_id"`
	}{id})
	return nil
}

// find reads the workflow that x is about, if x's client may act for its user. Whose it
// is, is not told to others.
func (a *API) find(x *exchange, id string) (Workflow, error) {
	if id == "" {
		return nil, playground.Errorf(playground.BadRequest, "workflow_id is missing or empty")
	}
	x.workflow = id
	w, err := a.Workflows.Find(x.r.Context(), id)
	if err != nil {
		return nil, err
	}
	if x.actFor(w.User()) != nil {
		return nil, playground.Errorf(playground.Forbidden, "this certificate may not act for the user of this workflow")
	}
	return w, nil
}

// workflow answers GET /api/workflow?workflow_id=id&cursor=cursor.
func (a *API) workflow(x *exchange) error {
	query := x.r.URL.Query()
	w, err := a.find(x, query.Get("workflow_id"))
	if err != nil {
		return err
	}
	news, err := w.News(x.r.Context(), query.Get("cursor"))
	if err != nil {
		return err
	}
	if news.Messages == nil {
		news.Messages = []WorkflowMessage{}
	}
	x.replyJSON(http.StatusOK, struct {
		WorkflowStatus
		WorkflowNews
	}{w.Status(), news})
	return nil
}

// workflowLog answers GET /api/workflow_log?workflow_id=id&step=name.
func (a *API) workflowLog(x *exchange) error {
	query := x.r.URL.Query()
	step := query.Get("step")
	if step == "" {
		return playground.Errorf(playground.BadRequest, "step is missing or empty")
	}
	w, err := a.find(x, query.Get("workflow_id"))
	if err != nil {
		return err
	}
	text, err := w.Log(x.r.Context(), step)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.replyText(plainText, text)
	return nil
}

// stopWorkflow answers POST /api/stop_workflow.
func (a *API) stopWorkflow(x *exchange) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	id, err := parseWorkflowID(body)
	if err != nil {
		return err
	}
	w, err := a.find(x, id)
	if err != nil {
		return err
	}
	if err := w.Stop(x.r.Context()); err != nil {
		return err
	}
	x.replyJSON(http.StatusOK, struct {
		WorkflowID string `json:"workflow_id"`
	}{id})
	return nil
}
