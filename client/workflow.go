package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"
)

// Program is a SQL program to be run as a workflow.
type Program struct {
	UserID string `json:"user_id"`
	SQL    string `json:"sql"`
	// Engine is "argo" or "tekton", or "" for the server's first.
	Engine string `json:"engine,omitempty"`
	// Parallel lets steps that do not need each other's tables run at the same time.
	Parallel bool `json:"parallel,omitempty"`
	// DataSource is where the tables are; "" is the user's own database.
	DataSource string `json:"data_source,omitempty"`
}

// Workflow is what the server tells about one; see /api/openapi.yaml. Times that it
// does not know are zero.
type Workflow struct {
	WorkflowID string         `json:"workflow_id"`
	UserID     string         `json:"user_id"`
	Engine     string         `json:"engine"`
	State      string         `json:"state"` // pending, running, succeeded, failed or error
	Message    string         `json:"message,omitempty"`
	Stopping   bool           `json:"stopping,omitempty"`
	Created    time.Time      `json:"created,omitzero"`
	Started    time.Time      `json:"started,omitzero"`
	Finished   time.Time      `json:"finished,omitzero"`
	Steps      []WorkflowStep `json:"steps"`
	// Messages are what happened since the cursor that was given, one of them telling
	// when a step printed more than the server shows, and Cursor is for the next call.
	// EOF is true when nothing more will come; Error then says why it failed, if it did.
	// An answer is bounded: until EOF the next may have more, though the workflow has ended.
	Messages []WorkflowMessage `json:"messages"`
	Cursor   string            `json:"cursor"`
	EOF      bool              `json:"eof"`
	Error    string            `json:"error,omitempty"`
}

// WorkflowStep is a step of a workflow. Its State may also be skipped, or "" when
// nobody knows any more.
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

// WorkflowMessage is one thing to show; one of its fields is set.
type WorkflowMessage struct {
	Message string   `json:"message,omitempty"` // a line of text or HTML
	Head    []string `json:"head,omitempty"`    // the columns of the rows that follow
	// Row holds nil, bool, json.Number or string; bytes are base64.
	Row            []any `json:"row,omitempty"`
	EndOfExecution bool  `json:"end_of_execution,omitempty"`
}

// UnmarshalJSON keeps numbers as they were written: a float64 has no room for a BIGINT.
func (m *WorkflowMessage) UnmarshalJSON(text []byte) error {
	type plain WorkflowMessage
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode((*plain)(m))
}

// SubmitWorkflow starts a program and returns the workflow's id. Like [Client.CreateDB]
// it asks again while the server says that the user's database is not ready yet; any other
// refusal may come when the program has begun, which must not run twice.
func (c *Client) SubmitWorkflow(ctx context.Context, p Program) (id string, err error) {
	for _, text := range []string{p.UserID, p.SQL, p.Engine, p.DataSource} {
		if !utf8.ValidString(text) {
			return "", errors.New("submit_workflow: the program is not UTF-8")
		}
	}
	body, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("submit_workflow: %w", err)
	}
	var answer struct {
		WorkflowID string `json:"workflow_id"`
	}
	before := []string{"still_creating", "too_many_databases", "maintenance", "interrupted"} // anything was submitted
	if err := c.create(ctx, "submit_workflow", "/api/workflow", body, &answer, before...); err != nil {
		return "", err
	}
	if answer.WorkflowID == "" {
		return "", errors.New("submit_workflow: the answer has no workflow_id; is this a playground server?")
	}
	return answer.WorkflowID, nil
}

// Workflow tells about a workflow, and what happened in it since cursor: "" at first,
// then the Cursor of the call before.
func (c *Client) Workflow(ctx context.Context, id, cursor string) (Workflow, error) {
	query := url.Values{"workflow_id": {id}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var w Workflow
	err := c.get(ctx, "workflow", "/api/workflow", query, &w)
	return w, err
}

// WorkflowLog returns what a step has printed until now, 4 MiB of it at most. An
// [*Error] with Code not_found says that there is nothing yet, or nothing any more.
func (c *Client) WorkflowLog(ctx context.Context, id, step string) (string, error) {
	var text string
	err := c.get(ctx, "workflow_log", "/api/workflow_log", url.Values{"workflow_id": {id}, "step": {step}}, &text)
	return text, err
}

// StopWorkflow asks a workflow to end. That it has ended is no error.
func (c *Client) StopWorkflow(ctx context.Context, id string) error {
	body, err := json.Marshal(map[string]string{"workflow_id": id})
	if err != nil {
		return fmt.Errorf("stop_workflow: %w", err)
	}
	return c.do(ctx, "stop_workflow", http.MethodPost, c.url("/api/stop_workflow", nil), bytes.NewReader(body), nil)
}
