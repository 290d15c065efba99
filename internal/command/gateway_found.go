package command

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// found is a workflow that was read.
type found struct {
	cluster *workflow.Cluster
	status  *workflow.Status
	user    playground.User
}

func (f *found) User() playground.User { return f.user }

func (f *found) Status() handlers.WorkflowStatus {
	s := f.status
	told := handlers.WorkflowStatus{
		WorkflowID: s.Name, UserID: string(f.user), Engine: string(s.Engine), State: string(s.State), Message: s.Message, Stopping: s.Stopping,
		Created: s.Created.UTC(), Started: s.Started.UTC(), Finished: s.Finished.UTC(), Steps: make([]handlers.WorkflowStep, len(s.Steps)),
	}
	for i, step := range s.Steps {
		told.Steps[i] = handlers.WorkflowStep{
			Name: step.Name, Statement: step.Statement, Text: step.Text, After: step.After, State: string(step.State), Message: step.Message,
			ExitCode: step.ExitCode, Retries: step.Retries, Started: step.Started.UTC(), Finished: step.Finished.UTC(),
		}
	}
	return told
}

const (
	// theEnd is the cursor behind the last message. It is no step's: those have a slash.
	theEnd = "end"
	// An answer goes on to no other step when it has so many messages, or so many bytes of
	// them, or took so long. The cursor leads to the others.
	mostMessages = 1000
	mostNews     = 4 << 20
	newsTime     = 10 * time.Second
)

// News implements [handlers.Workflow]. A cursor is what SQLFlow calls UpdatedFetchSince:
// the step that was looked at, and what was told of it last. Trouble with the cluster is an
// error when nothing was learned before it; else the next call meets it.
func (f *found) News(ctx context.Context, cursor string) (handlers.WorkflowNews, error) {
	news := handlers.WorkflowNews{Cursor: cursor}
	if cursor == theEnd {
		news.EOF = true
		return news, nil
	}
	since := workflow.FetchRequest{Job: workflow.Job{ID: f.status.Name, Namespace: f.status.Namespace}}
	if cursor != "" {
		var ok bool
		since.StepID, since.StepPhase, ok = strings.Cut(cursor, "/")
		if !ok || f.status.Step(since.StepID) == nil || len(since.StepPhase) > 20 {
			return news, playground.Errorf(playground.BadRequest, "the cursor %.80q is none of this workflow's", cursor)
		}
	}
	begun, size := time.Now(), 0
	ctx, cancel := context.WithTimeout(ctx, newsTime+logTime) // so that the last step too has its time
	defer cancel()
	for len(news.Messages) < mostMessages && size < mostNews && time.Since(begun) < newsTime {
		answer, err := f.cluster.FetchFrom(ctx, f.status, since)
		for _, r := range answer.Responses {
			m := handlers.WorkflowMessage{Message: r.Message, Head: r.Head, Row: plain(r.Row), EndOfExecution: r.EndOfExecution}
			text, err := json.Marshal(m)
			if err != nil {
				return news, fmt.Errorf("what %s has printed: %w", since.StepID, err)
			}
			news.Messages, size = append(news.Messages, m), size+len(text)
		}
		switch {
		case err != nil && ofKubectl(err) && len(news.Messages) > 0:
			return news, nil
		case err != nil && ofKubectl(err):
			return news, mistake(err)
		case err != nil:
			news.Error, news.EOF, news.Cursor = err.Error(), true, theEnd
			return news, nil
		case answer.EOF:
			news.EOF, news.Cursor = true, theEnd
			return news, nil
		case answer.UpdatedFetchSince == since:
			return news, nil
		}
		since = answer.UpdatedFetchSince
		if since.StepID != "" {
			news.Cursor = since.StepID + "/" + since.StepPhase
		}
	}
	return news, nil
}

// plain gives values that JSON has.
func plain(row []any) []any {
	for i, v := range row {
		switch v := v.(type) {
		case float64:
			if math.IsNaN(v) || math.IsInf(v, 0) {
				row[i] = fmt.Sprint(v)
			}
		case []byte:
			row[i] = base64.StdEncoding.EncodeToString(v)
		case time.Time:
			row[i] = v.Format(time.RFC3339Nano) // JSON's own form has no years beyond 9999
		}
	}
	return row
}

// Log implements [handlers.Workflow].
func (f *found) Log(ctx context.Context, step string) (string, error) {
	s := f.status.Step(step)
	gone := playground.Errorf(handlers.NotFound, "there is no log: the pod of %.80s is gone, or it had none", step)
	switch {
	case s == nil:
		return "", playground.Errorf(handlers.NotFound, "the workflow has no step %.80q", step)
	case s.Pod == "" && s.State.Ended():
		return "", gone
	case !s.Begun:
		return "", playground.Errorf(handlers.NotFound, "there is no log yet: %s has not begun", step)
	}
	var text strings.Builder
	err := f.cluster.PodLogs(ctx, f.status.Namespace, s.Pod, s.Container, func(line []byte) error {
		text.Write(line)
		return text.WriteByte('\n')
	})
	switch {
	case errors.Is(err, workflow.ErrNoLogs):
		return "", gone
	case err != nil:
		return "", mistake(err)
	}
	return strings.ToValidUTF8(text.String(), "\ufffd"), nil
}

// Stop implements [handlers.Workflow].
func (f *found) Stop(ctx context.Context) error {
	if f.status.State.Ended() {
		return nil
	}
	if err := f.cluster.Stop(ctx, f.status.Name, false); err != nil && !errors.Is(err, workflow.ErrFinished) {
		return mistake(err)
	}
	return nil
}
