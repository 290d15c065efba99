package workflow

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FetchRequest asks for what is new in a workflow. The first has only a Job; each further
// one is the UpdatedFetchSince of the answer before (SQLFlow, go/proto/sqlflow.proto).
type FetchRequest struct {
	Job Job
	// StepID is the step that is looked at, StepPhase what was told of it last.
	StepID, StepPhase string
}

// Job is a workflow by its name. An empty namespace is "default", as in SQLFlow.
type Job struct{ ID, Namespace string }

// FetchResponse is what is new.
type FetchResponse struct {
	UpdatedFetchSince FetchRequest
	// EOF is true when the workflow has ended well and all was told.
	EOF       bool
	Responses []Response
}

// Response is one thing to show; exactly one of its fields is set.
type Response struct {
	Message string   // a line of text, or HTML
	Head    []string // the columns of the rows that follow
	// Row holds the values of a row: nil, bool, int64, uint64, float64, string,
	// []byte or time.Time.
	Row []any
	// EndOfExecution is true at the end of a statement.
	EndOfExecution bool
}

const (
	// mostResponses bounds what is kept of one step's output.
	mostResponses = 1 << 20
	// lastLines are the lines of a log that was cut in which a failed step may still say
	// what went wrong.
	lastLines = 1000
)

// More begins the line with which a Kubectl that bounds its streams ends one.
const More = "... there is more"

// phases are pods' phases, by which SQLFlow tells a step's state.
var phases = map[State]string{
	Pending: "Pending", Running: "Running", Succeeded: "Succeeded", Failed: "Failed", Error: "Failed", Skipped: "Skipped",
}

// Fetch tells what is new since the request was made, step by step in the order written
// (SQLFlow, go/workflow/argo/fetch.go):
//
//	SQLFlow Step: [1/3] Execute Code: bash -c step -e "SELECT 1;"
//	SQLFlow Step: [1/3] Log: http://localhost:8001/workflows/default/sqlflow-bdpff?tab=workflow&nodeId=...
//	SQLFlow Step: [1/3] Status: Running
//
// and, when a step has ended, the rows, HTML and end of execution that it printed; its
// other output is for Logs. Where the Kubectl did not show all of it, that is told too:
//
//	SQLFlow Step: [1/3] Output: ... there is more; ...; the whole log is at http://localhost:8001/...
//
// A step that failed is an error with the text that the step itself gave, beside a
// response; so is a workflow that failed without a step. Steps that never began are told
// as skipped where a later one failed, which may be when they do not wait for each other.
//
// Unlike SQLFlow's it also follows DAGs, groups, retries and Tekton, needs no pod to be
// left, and tells nothing twice.
func (c *Cluster) Fetch(ctx context.Context, r FetchRequest) (FetchResponse, error) {
	if r.Job.Namespace == "" {
		r.Job.Namespace = "default"
	}
	status, err := c.in(r.Job.Namespace).Status(ctx, r.Job.ID)
	if err != nil {
		return FetchResponse{UpdatedFetchSince: r}, err
	}
	return c.FetchFrom(ctx, status, r)
}

// FetchFrom is Fetch where the status was read already.
func (c *Cluster) FetchFrom(ctx context.Context, status *Status, r FetchRequest) (FetchResponse, error) {
	c = c.in(status.Namespace)
	answer := FetchResponse{UpdatedFetchSince: r}
	if status.State == Pending {
		return answer, nil
	}
	var steps []Step
	at := 0
	for _, step := range status.Steps {
		if step.Exit {
			continue
		}
		if steps = append(steps, step); step.Name == r.StepID {
			at = len(steps) - 1
		}
	}
	if len(steps) == 0 || r.StepID != "" && steps[at].Name != r.StepID {
		if status.State == Failed || status.State == Error {
			return answer, status.failure()
		}
		return answer, fmt.Errorf("the workflow %s has no step %.80q", r.Job.ID, r.StepID)
	}
	step := &steps[at]
	answer.UpdatedFetchSince.StepID = step.Name
	if step.ID == "" { // the engine has not come to it
		switch {
		case !status.State.Ended():
			return answer, nil
		case status.State != Succeeded && !slices.ContainsFunc(steps[at:], Step.failed):
			return answer, status.failure()
		}
	}
	f := fetch{Cluster: c, status: status, step: step, answer: &answer, prefix: fmt.Sprintf("SQLFlow Step: [%d/%d]", at+1, len(steps))}
	err := f.tell(ctx)
	if err == nil && step.State.Ended() {
		if at+1 < len(steps) {
			answer.UpdatedFetchSince.StepID, answer.UpdatedFetchSince.StepPhase = steps[at+1].Name, ""
		} else if status.State.Ended() {
			if status.State != Succeeded {
				return answer, status.failure()
			}
			answer.EOF = true
		}
	}
	return answer, err
}

func (s Step) failed() bool { return s.State == Failed || s.State == Error }

// failure is the error of a workflow that failed without a step to blame.
func (s *Status) failure() error {
	return fmt.Errorf("SQLFlow Workflow: %s %s: %s", s.Name, phases[s.State], s.Message)
}

// fetch is one look at one step.
type fetch struct {
	*Cluster
	status *Status
	step   *Step
	answer *FetchResponse
	prefix string
	reader responseReader
	errors []string // what the step says went wrong
	more   string   // the line that says that the output was cut
}

func (f *fetch) message(format string, args ...any) {
	f.answer.Responses = append(f.answer.Responses, Response{Message: f.prefix + " " + fmt.Sprintf(format, args...)})
}

func (f *fetch) tell(ctx context.Context) error {
	since := &f.answer.UpdatedFetchSince
	if since.StepPhase == "" {
		f.message("Execute Code: %s", f.step.code)
		f.message("Log: %s", f.logURL())
	}
	phase := phases[f.step.State]
	told := since.StepPhase == phase
	if !told {
		f.message("Status: %s", phase)
		since.StepPhase = phase
	}
	if !f.step.State.Ended() || told {
		return nil // of a step that has ended everything was told with its end
	}
	if f.step.Begun {
		var err error
		if f.reader, err = newResponseReader(); err != nil {
			return err
		}
		err = f.PodLogs(ctx, f.status.Namespace, f.step.Pod, f.step.Container, f.line)
		if err == nil && f.more != "" {
			f.message("Output: %s; the whole log is at %s", f.more, f.logURL())
			if !f.good() {
				err = f.tail(ctx)
			}
		}
		if err != nil && !errors.Is(err, ErrNoLogs) {
			since.StepPhase = "" // nothing was told yet
			f.answer.Responses = nil
			return err
		}
	}
	f.answer.Responses = append(f.answer.Responses, Response{EndOfExecution: true})
	if f.good() {
		return nil
	}
	if len(f.errors) == 0 {
		f.errors = append(f.errors, f.step.Message)
	}
	since.StepID = ""
	return fmt.Errorf("%s Failed, Log: %s\n%s", f.prefix, f.logURL(), strings.Join(f.errors, "\n"))
}

func (f *fetch) good() bool { return f.step.State == Succeeded || f.step.State == Skipped }

// html is what SQLFlow's client shows as a picture.
var html = regexp.MustCompile(`<div.*?>.*</div>`)

// line takes a line of a step's output.
func (f *fetch) line(text []byte) error {
	line := strings.TrimSpace(string(text))
	if line == "" {
		return nil
	}
	if len(f.answer.Responses) >= mostResponses {
		return errors.New("the step printed too much to be fetched; read its logs")
	}
	if strings.HasPrefix(line, More) {
		f.more = line
		return nil
	}
	if html.MatchString(line) {
		f.answer.Responses = append(f.answer.Responses, Response{Message: line})
		return nil
	}
	r, isMessage, ok := f.reader.read(line)
	switch {
	case !ok: // some other output
	case isMessage:
		f.errors = append(f.errors, r.Message)
	default:
		f.answer.Responses = append(f.answer.Responses, r)
	}
	return nil
}

// tail takes what went wrong from the end of a log that was cut before it.
func (f *fetch) tail(ctx context.Context) error {
	return f.kubectl.Stream(ctx, func(text []byte) error {
		r, isMessage, ok := f.reader.read(strings.TrimSpace(string(text)))
		if ok && isMessage && !slices.Contains(f.errors, r.Message) {
			f.errors = append(f.errors, r.Message)
		}
		return nil
	}, f.in(f.status.Namespace).command("logs", f.step.Pod, "--container="+f.step.Container, "--tail="+strconv.Itoa(lastLines))...)
}

// logURL is where people read the step's log in a browser. Argo's page knows steps by
// their node ids, a log collector by pods.
func (f *fetch) logURL() string {
	view, s := f.logView, f.step
	if view.DTMEndpoint != "" {
		now := f.now()
		return fmt.Sprintf("%s?jobName=%s&taskName=%s&__envName=PROD&startTime=%d&endTime=%d",
			view.DTMEndpoint, f.status.Name, s.Pod, now.Unix()*1000, now.Add(24*time.Hour).Unix()*1000)
	}
	return f.engine.logURL(view.Endpoint, f.status, s)
}
