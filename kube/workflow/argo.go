package workflow

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"sqlflow.org/sqlflow_playground/couler"
)

// argo reads Argo's Workflows (argoproj.io/v1alpha1, pkg/apis/workflow/v1alpha1).
type argo struct{}

const (
	argoLabel   = "workflows.argoproj.io/workflow" // of a pod: its workflow's name
	argoNodeID  = "workflows.argoproj.io/node-id"  // annotation of a pod
	argoMain    = "main"                           // the step's own container
	mostNodes   = 64 << 20                         // bytes of nodes, once decompressed
	argoExit    = ".onExit"
	argoRetried = "("
)

func (argo) name() couler.Engine { return couler.Argo }

func (argo) workflows() resource {
	return resource{"workflows.argoproj.io", "/apis/argoproj.io/v1alpha1", "workflows"}
}

func (argo) parts() (resource, string) {
	return resource{"pods", "/api/v1", "pods"}, argoLabel
}

// stop: both strategies end the running pods; Terminate leaves out the exit handler too.
func (argo) stop(now bool) string {
	if now {
		return `{"spec":{"shutdown":"Terminate"}}`
	}
	return `{"spec":{"shutdown":"Stop"}}`
}

// own: the executor tells how the step's program ended
// (workflow/executor/osspecific/command.go).
func (argo) own(line []byte) bool {
	return bytes.HasPrefix(line, []byte(`time="`)) && bytes.Contains(line, []byte(" argo=true"))
}

// logURL: the page knows nodes, whose ids were once the names of their pods
// (ui/src/workflows/components/workflow-details).
func (argo) logURL(endpoint string, w *Status, s *Step) string {
	return fmt.Sprintf("%s/workflows/%s/%s?tab=workflow&nodeId=%s&sidePanel=logs:%s:%s", endpoint, w.Namespace, w.Name, s.ID, s.ID, argoMain)
}

func (argo) part(object []byte) (part, error) {
	var pod struct {
		Metadata metadata `json:"metadata"`
		Status   struct {
			ContainerStatuses []struct {
				Name  string         `json:"name"`
				State containerState `json:"state"`
			} `json:"containerStatuses"`
		} `json:"status"`
	}
	if err := decode(object, "pod", &pod); err != nil {
		return part{}, err
	}
	p := part{name: pod.Metadata.Name, step: pod.Metadata.Annotations[argoNodeID], pod: pod.Metadata.Name, container: argoMain}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == argoMain {
			p.begun, p.running = c.State.begun(), c.State.Running != nil
		}
	}
	return p, nil
}

type argoWorkflow struct {
	Metadata metadata `json:"metadata"`
	Spec     argoSpec `json:"spec"`
	Status   struct {
		Phase                    string              `json:"phase"`
		Message                  string              `json:"message"`
		StartedAt                moment              `json:"startedAt"`
		FinishedAt               moment              `json:"finishedAt"`
		Nodes                    map[string]argoNode `json:"nodes"`
		CompressedNodes          string              `json:"compressedNodes"`
		OffloadNodeStatusVersion string              `json:"offloadNodeStatusVersion"`
		Stored                   *argoSpec           `json:"storedWorkflowTemplateSpec"`
	} `json:"status"`
}

type argoSpec struct {
	Entrypoint string         `json:"entrypoint"`
	Templates  []argoTemplate `json:"templates"`
	OnExit     string         `json:"onExit"`
	Shutdown   string         `json:"shutdown"`
}

type argoTemplate struct {
	Name      string       `json:"name"`
	Container container    `json:"container"`
	Script    container    `json:"script"`
	Steps     [][]argoCall `json:"steps"`
	DAG       *struct {
		Tasks []argoCall `json:"tasks"`
	} `json:"dag"`
}

// argoCall is a step in a group, or a task of a DAG.
type argoCall struct {
	Name         string   `json:"name"`
	Template     string   `json:"template"`
	Dependencies []string `json:"dependencies"`
	Depends      string   `json:"depends"`
}

type argoNode struct {
	ID          string   `json:"id"`
	DisplayName string   `json:"displayName"`
	Type        string   `json:"type"`
	Phase       string   `json:"phase"`
	BoundaryID  string   `json:"boundaryID"`
	Message     string   `json:"message"`
	StartedAt   moment   `json:"startedAt"`
	FinishedAt  moment   `json:"finishedAt"`
	Children    []string `json:"children"`
	Outputs     struct {
		ExitCode string `json:"exitCode"`
	} `json:"outputs"`
}

func (argo) run(object []byte) (Run, error) {
	var w argoWorkflow
	if err := decode(object, "workflow", &w); err != nil {
		return Run{}, err
	}
	return w.run(), nil
}

func (w *argoWorkflow) run() Run {
	return Run{
		Name: w.Metadata.Name, Namespace: w.Metadata.Namespace, Engine: couler.Argo,
		State: argoState(w.Status.Phase), Message: w.Status.Message, Stopping: w.Spec.Shutdown != "",
		Created: w.Metadata.CreationTimestamp.Time, Started: w.Status.StartedAt.Time, Finished: w.Status.FinishedAt.Time,
	}
}

// argoState reads a phase of a workflow or a node. Omitted is a DAG's word for Skipped.
func argoState(phase string) State {
	switch phase {
	case "Running":
		return Running
	case "Succeeded":
		return Succeeded
	case "Failed":
		return Failed
	case "Error":
		return Error
	case "Skipped", "Omitted":
		return Skipped
	}
	return Pending
}

func (argo) status(object []byte, parts map[string]part) (*Status, error) {
	var w argoWorkflow
	if err := decode(object, "workflow", &w); err != nil {
		return nil, err
	}
	if err := w.unpack(); err != nil {
		return nil, fmt.Errorf("the workflow %s: %w", w.Metadata.Name, err)
	}
	pods := make(map[string]part, len(parts))
	for _, p := range parts {
		pods[p.step] = p
	}
	s := &Status{Run: w.run(), Steps: w.plan()}
	called := w.called()
	for i := range s.Steps {
		step := &s.Steps[i]
		id, known := called[step.Name]
		if step.Exit {
			id, known = called[w.Metadata.Name+argoExit]
		}
		switch {
		case known:
			w.fill(step, w.Status.Nodes[id], pods)
		case s.State.Ended():
			step.State = Skipped
		default:
			step.State = Pending
		}
	}
	return s, nil
}

// unpack decompresses the nodes of a large workflow (workflow/packer/packer.go).
func (w *argoWorkflow) unpack() error {
	if len(w.Status.Nodes) > 0 {
		return nil
	}
	if w.Status.OffloadNodeStatusVersion != "" {
		return errors.New("the state of its steps is in a database of Argo, where kubectl cannot read it")
	}
	if w.Status.CompressedNodes == "" {
		return nil
	}
	packed, err := base64.StdEncoding.DecodeString(w.Status.CompressedNodes)
	if err == nil {
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
			err = json.NewDecoder(io.LimitReader(r, mostNodes)).Decode(&w.Status.Nodes)
		}
	}
	if err != nil {
		return fmt.Errorf("its compressed nodes cannot be read: %w", err)
	}
	return nil
}

// plan gives the steps that the workflow was told to run.
func (w *argoWorkflow) plan() []Step {
	spec := &w.Spec
	if len(spec.Templates) == 0 && w.Status.Stored != nil {
		spec = w.Status.Stored
	}
	templates := make(map[string]*argoTemplate, len(spec.Templates))
	for i := range spec.Templates {
		templates[spec.Templates[i].Name] = &spec.Templates[i]
	}
	var steps []Step
	add := func(name, template string, after []string) *Step {
		step := Step{Name: name, Statement: len(steps) + 1, After: after}
		if t := templates[template]; t != nil {
			c := t.Container
			if t.Script.Source != "" {
				c = t.Script
			}
			step.Text, step.code = c.text(), c.code()
		}
		steps = append(steps, step)
		return &steps[len(steps)-1]
	}
	if entry := templates[spec.Entrypoint]; entry != nil {
		var before []string
		for _, group := range entry.Steps {
			var names []string
			for _, call := range group {
				add(call.Name, call.Template, before)
				names = append(names, call.Name)
			}
			before = names
		}
		if entry.DAG != nil {
			for _, call := range entry.DAG.Tasks {
				add(call.Name, call.Template, append(call.Dependencies, dependsOn(call.Depends)...))
			}
		}
		if entry.Steps == nil && entry.DAG == nil {
			add(entry.Name, entry.Name, nil)
		}
	}
	if spec.OnExit != "" {
		exit := add(spec.OnExit, spec.OnExit, nil)
		exit.Statement, exit.Exit = 0, true
	}
	return steps
}

// dependsOn finds the tasks that a depends expression names, as in "a && (b.Failed || c)".
func dependsOn(expression string) []string {
	var names []string
	for _, word := range strings.FieldsFunc(expression, func(r rune) bool { return strings.ContainsRune("&|!() \t\n", r) }) {
		if name, _, _ := strings.Cut(word, "."); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// called gives, by the name of a step, the id of the node that stands for it: the one of
// that name directly under the entry point. The root's id is the workflow's own name.
func (w *argoWorkflow) called() map[string]string {
	root := w.Metadata.Name
	ids := make(map[string]string, len(w.Status.Nodes))
	for id, n := range w.Status.Nodes {
		switch {
		case n.DisplayName == root+argoExit:
			ids[n.DisplayName] = id
		case n.BoundaryID == root && n.Type != "StepGroup":
			ids[n.DisplayName] = id
		case id == root && n.Type != "Steps" && n.Type != "DAG":
			ids[w.Spec.Entrypoint] = id // the entry point is itself the only step
		}
	}
	return ids
}

// fill tells what a node says about a step.
func (w *argoWorkflow) fill(step *Step, n argoNode, pods map[string]part) {
	step.State, step.Message = argoState(n.Phase), n.Message
	step.Started, step.Finished = n.StartedAt.Time, n.FinishedAt.Time
	last := n
	if n.Type == "Retry" {
		tries := w.tries(n)
		if len(tries) > 0 {
			last = tries[len(tries)-1]
			step.Retries = len(tries) - 1
		}
		for _, try := range tries[:max(len(tries)-1, 0)] {
			if p, there := pods[try.ID]; there && p.begun { // else it has no log
				step.Earlier, step.Container = append(step.Earlier, p.pod), p.container
			}
		}
		if last.Message != "" {
			step.Message = last.Message
		}
	}
	step.ID = last.ID
	if code, err := strconv.Atoi(last.Outputs.ExitCode); err == nil {
		step.ExitCode = &code
	}
	if p, there := pods[last.ID]; there {
		step.Pod, step.Container, step.Begun, step.running = p.pod, p.container, p.begun, p.running
		if p.begun && step.State == Pending { // the controller looks at pods now and then
			step.State, step.Message = Running, ""
		}
	}
}

// tries are the nodes of a Retry node's attempts, called name(0), name(1) and so on, in
// their order. Hooks are its children too.
func (w *argoWorkflow) tries(n argoNode) []argoNode {
	var all []argoNode
	for _, id := range n.Children {
		child, there := w.Status.Nodes[id]
		if there && strings.HasPrefix(child.DisplayName, n.DisplayName+argoRetried) {
			all = append(all, child)
		}
	}
	return all
}
