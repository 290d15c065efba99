package workflow

import (
	"fmt"
	"slices"
	"strings"

	"sqlflow.org/sqlflow_playground/couler"
)

// tekton reads Tekton's PipelineRuns and TaskRuns (tekton.dev/v1, pkg/apis/pipeline/v1).
type tekton struct{}

const (
	tektonLabel     = "tekton.dev/pipelineRun" // of a TaskRun: its PipelineRun's name
	tektonTaskLabel = "tekton.dev/pipelineTask"
	tektonMain      = "step-main"
)

func (tekton) name() couler.Engine { return couler.Tekton }

func (tekton) workflows() resource {
	return resource{"pipelineruns.tekton.dev", "/apis/tekton.dev/v1", "pipelineruns"}
}

func (tekton) parts() (resource, string) {
	return resource{"taskruns.tekton.dev", "/apis/tekton.dev/v1", "taskruns"}, tektonLabel
}

func (tekton) stop(now bool) string {
	if now {
		return `{"spec":{"status":"Cancelled"}}`
	}
	return `{"spec":{"status":"CancelledRunFinally"}}`
}

func (tekton) own([]byte) bool { return false }

// logURL is of Tekton's dashboard.
func (tekton) logURL(endpoint string, w *Status, s *Step) string {
	return fmt.Sprintf("%s/#/namespaces/%s/pipelineruns/%s?pipelineTask=%s&step=main", endpoint, w.Namespace, w.Name, s.Name)
}

// condition is knative's: its status is True, False or Unknown, and of type Succeeded
// there is one.
type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

func succeeded(all []condition) condition {
	for _, c := range all {
		if c.Type == "Succeeded" {
			return c
		}
	}
	return condition{Status: "Unknown"}
}

// failed tells whether a reason is that of something which ran and ended badly. All
// others (a spec that is wrong, an image that cannot be had, ...) kept it from running.
func (c condition) failed() bool {
	switch c.Reason {
	case "Failed", "Cancelled", "CancelledRunningFinally", "StoppedRunningFinally", "PipelineRunTimeout", "PipelineRunStopping",
		"TaskRunCancelled", "TaskRunTimeout":
		return true
	}
	return false
}

func (c condition) state(begun bool) State {
	switch {
	case c.Status == "True":
		return Succeeded
	case c.Status == "False" && c.failed():
		return Failed
	case c.Status == "False":
		return Error
	case begun:
		return Running
	}
	return Pending
}

// tektonStep is a container of a TaskRun's pod.
type tektonStep struct {
	Container string `json:"container"`
	containerState
}

func (tekton) part(object []byte) (part, error) {
	var t struct {
		Metadata metadata `json:"metadata"`
		Status   struct {
			Conditions     []condition  `json:"conditions"`
			PodName        string       `json:"podName"`
			StartTime      moment       `json:"startTime"`
			CompletionTime moment       `json:"completionTime"`
			Steps          []tektonStep `json:"steps"`
			RetriesStatus  []struct {
				PodName string       `json:"podName"`
				Steps   []tektonStep `json:"steps"`
			} `json:"retriesStatus"`
		} `json:"status"`
	}
	if err := decode(object, "TaskRun", &t); err != nil {
		return part{}, err
	}
	p := part{
		name: t.Metadata.Name, step: t.Metadata.Name, task: t.Metadata.Labels[tektonTaskLabel],
		pod: t.Status.PodName, container: tektonMain,
		retries: len(t.Status.RetriesStatus),
		started: t.Status.StartTime.Time, finished: t.Status.CompletionTime.Time,
	}
	for i, step := range t.Status.Steps {
		if i > 0 && step.Container != tektonMain {
			continue
		}
		p.container, p.begun, p.running = step.Container, step.begun(), step.Running != nil
		if step.Terminated != nil {
			code := step.Terminated.ExitCode
			p.exitCode = &code
		}
	}
	for _, r := range t.Status.RetriesStatus {
		begun := slices.ContainsFunc(r.Steps, func(s tektonStep) bool { return s.begun() }) // else it has no log
		if begun && r.PodName != "" && r.PodName != p.pod {
			p.earlier = append(p.earlier, r.PodName)
		}
	}
	c := succeeded(t.Status.Conditions)
	p.state = c.state(p.begun || p.retries > 0)
	if p.state != Succeeded && c.Reason != "Running" && c.Reason != "Started" && c.Message != c.Reason {
		p.message = c.Message
	}
	return p, nil
}

type pipelineRun struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Status       string       `json:"status"`
		PipelineSpec pipelineSpec `json:"pipelineSpec"`
	} `json:"spec"`
	Status struct {
		Conditions     []condition  `json:"conditions"`
		StartTime      moment       `json:"startTime"`
		CompletionTime moment       `json:"completionTime"`
		PipelineSpec   pipelineSpec `json:"pipelineSpec"` // with the pipeline that was referred to
		SkippedTasks   []struct {
			Name   string `json:"name"`
			Reason string `json:"reason"`
		} `json:"skippedTasks"`
		ChildReferences []struct {
			Name             string `json:"name"`
			PipelineTaskName string `json:"pipelineTaskName"`
		} `json:"childReferences"`
	} `json:"status"`
}

type pipelineSpec struct {
	Tasks   []pipelineTask `json:"tasks"`
	Finally []pipelineTask `json:"finally"`
}

type pipelineTask struct {
	Name     string   `json:"name"`
	RunAfter []string `json:"runAfter"`
	TaskSpec struct {
		Steps []container `json:"steps"`
	} `json:"taskSpec"`
}

func (tekton) run(object []byte) (Run, error) {
	var r pipelineRun
	if err := decode(object, "PipelineRun", &r); err != nil {
		return Run{}, err
	}
	return r.run(), nil
}

func (r *pipelineRun) run() Run {
	c := succeeded(r.Status.Conditions)
	run := Run{
		Name: r.Metadata.Name, Namespace: r.Metadata.Namespace, Engine: couler.Tekton,
		State:    c.state(c.Reason != "" && c.Reason != "PipelineRunPending"),
		Stopping: strings.HasPrefix(r.Spec.Status, "Cancelled") || strings.HasPrefix(r.Spec.Status, "Stopped"),
		Created:  r.Metadata.CreationTimestamp.Time, Started: r.Status.StartTime.Time, Finished: r.Status.CompletionTime.Time,
	}
	if run.State != Succeeded && c.Reason != "Running" && c.Reason != "Started" {
		run.Message = c.Message
	}
	return run
}

func (tekton) status(object []byte, parts map[string]part) (*Status, error) {
	var r pipelineRun
	if err := decode(object, "PipelineRun", &r); err != nil {
		return nil, err
	}
	s := &Status{Run: r.run(), Steps: r.plan()}
	// A TaskRun is known by its label before the PipelineRun's status names it.
	runs := make(map[string]part, len(parts))
	for _, p := range parts {
		runs[p.task] = p
	}
	children := make(map[string]string, len(r.Status.ChildReferences))
	for _, child := range r.Status.ChildReferences {
		children[child.PipelineTaskName] = child.Name
		if p, there := parts[child.Name]; there {
			runs[child.PipelineTaskName] = p
		}
	}
	skipped := make(map[string]string, len(r.Status.SkippedTasks))
	for _, task := range r.Status.SkippedTasks {
		skipped[task.Name] = task.Reason
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		child, named := children[step.Name]
		reason, left := skipped[step.Name]
		p, there := runs[step.Name]
		switch {
		case there:
			step.fill(p)
		case named:
			// Its TaskRun is gone, and with it what became of it.
			step.ID = child
			if s.State == Succeeded {
				step.State = Succeeded
			}
		case left:
			step.State, step.Message = Skipped, reason
		case s.State.Ended():
			step.State = Skipped
		default:
			step.State = Pending
		}
	}
	return s, nil
}

func (step *Step) fill(p part) {
	step.ID, step.State, step.Message, step.ExitCode = p.step, p.state, p.message, p.exitCode
	step.Pod, step.Earlier, step.Begun, step.running = p.pod, slices.Clone(p.earlier), p.begun, p.running
	if p.pod != "" || len(p.earlier) > 0 {
		step.Container = p.container
	}
	step.Retries, step.Started, step.Finished = p.retries, p.started, p.finished
}

func (r *pipelineRun) plan() []Step {
	spec := r.Spec.PipelineSpec
	if len(spec.Tasks) == 0 {
		spec = r.Status.PipelineSpec
	}
	var steps []Step
	for i, task := range slices.Concat(spec.Tasks, spec.Finally) {
		step := Step{Name: task.Name, Statement: i + 1, After: task.RunAfter}
		if i >= len(spec.Tasks) {
			step.Statement, step.Exit = 0, true
		}
		for _, c := range task.TaskSpec.Steps {
			if c.Name == "main" || len(task.TaskSpec.Steps) == 1 {
				step.Text, step.code = c.text(), c.code()
			}
		}
		steps = append(steps, step)
	}
	return steps
}
