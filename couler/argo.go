package couler

import (
	"fmt"
	"strconv"
	"time"
)

// argo builds an argoproj.io/v1alpha1 Workflow: a template per step, and one
// that puts them in order, as steps when they run one by one and as a DAG
// otherwise (argo-workflows v3.7, docs/fields.md).
func (w *Workflow) argo() (object, error) {
	env, err := w.envWriter()
	if err != nil {
		return nil, err
	}
	spec := object{{"entrypoint", entrypoint}}
	if w.ServiceAccount != "" {
		spec = append(spec, field{"serviceAccountName", w.ServiceAccount})
	}
	if w.Timeout > 0 {
		spec = append(spec, field{"activeDeadlineSeconds", seconds(w.Timeout)})
	}
	if w.TTL > 0 {
		spec = append(spec, field{"ttlStrategy", object{{"secondsAfterCompletion", seconds(w.TTL)}}})
	}
	if w.OnExit != nil {
		spec = append(spec, field{"onExit", w.OnExit.Name})
	}
	if len(w.Volumes) > 0 {
		spec = append(spec, field{"volumes", w.volumes()})
	}
	templates := list{w.argoOrder()}
	for _, s := range w.AllSteps() {
		template := object{{"name", s.Name}}
		if s.Timeout > 0 {
			template = append(template, field{"activeDeadlineSeconds", seconds(s.Timeout)})
		}
		if s.Retries > 0 {
			// Always, for a pod lost with its node is an error to
			// Argo and not a failure; Tekton retries both.
			template = append(template, field{"retryStrategy", object{
				{"limit", strconv.Itoa(s.Retries)},
				{"retryPolicy", "Always"},
			}})
		}
		container := object{{"image", s.Image}, {"command", w.command(s)}}
		container = append(container, env(s, "{{workflow.status}}")...)
		container = append(container, s.containerFields("resources")...)
		templates = append(templates, marked{s, append(template, field{"container", container})})
	}
	return object{
		{"apiVersion", "argoproj.io/v1alpha1"},
		{"kind", "Workflow"},
		{"metadata", w.metadata()},
		{"spec", append(spec, field{"templates", templates})},
	}, nil
}

// argoOrder is the template that orders the others.
func (w *Workflow) argoOrder() object {
	members := make(list, 0, len(w.Steps))
	if w.sequential() {
		for i := range w.Steps {
			name := w.Steps[i].Name
			members = append(members, list{object{{"name", name}, {"template", name}}})
		}
		return object{{"name", entrypoint}, {"steps", members}}
	}
	for i := range w.Steps {
		s := &w.Steps[i]
		task := object{{"name", s.Name}, {"template", s.Name}}
		if len(s.After) > 0 {
			task = append(task, field{"dependencies", strings2list(s.After)})
		}
		members = append(members, task)
	}
	return object{{"name", entrypoint}, {"dag", object{{"tasks", members}}}}
}

// argoWorkflow is what argo writes, to read it back. Unknown fields are errors.
type argoWorkflow struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   manifestMetadata
	Spec       struct {
		Entrypoint            string
		ServiceAccountName    string `yaml:"serviceAccountName"`
		ActiveDeadlineSeconds int64  `yaml:"activeDeadlineSeconds"`
		TTLStrategy           struct {
			SecondsAfterCompletion int64 `yaml:"secondsAfterCompletion"`
		} `yaml:"ttlStrategy"`
		OnExit    string `yaml:"onExit"`
		Volumes   []manifestVolume
		Templates []argoTemplate
	}
}

type argoTemplate struct {
	Name                  string
	ActiveDeadlineSeconds int64 `yaml:"activeDeadlineSeconds"`
	RetryStrategy         struct {
		Limit       string
		RetryPolicy string `yaml:"retryPolicy"`
	} `yaml:"retryStrategy"`
	Container manifestContainer
	Steps     [][]argoTask
	DAG       struct{ Tasks []argoTask }
}

type argoTask struct {
	Name, Template string
	Dependencies   []string
}

// readArgo reads Argo's YAML back into a workflow.
func readArgo(text []byte) (*Workflow, error) {
	var a argoWorkflow
	if err := decode(text, &a); err != nil {
		return nil, err
	}
	if a.APIVersion != "argoproj.io/v1alpha1" || a.Kind != "Workflow" || a.Spec.Entrypoint != entrypoint || len(a.Spec.Templates) == 0 {
		return nil, fmt.Errorf("it is no workflow")
	}
	w := &Workflow{
		Name:           a.Metadata.GenerateName,
		Namespace:      a.Metadata.Namespace,
		Labels:         a.Metadata.Labels,
		Annotations:    a.Metadata.Annotations,
		ServiceAccount: a.Spec.ServiceAccountName,
		Timeout:        time.Duration(a.Spec.ActiveDeadlineSeconds) * time.Second,
		TTL:            time.Duration(a.Spec.TTLStrategy.SecondsAfterCompletion) * time.Second,
		Volumes:        readVolumes(a.Spec.Volumes),
	}
	after := map[string][]string{}
	order := a.Spec.Templates[0]
	var before []string
	for _, group := range order.Steps {
		if len(group) != 1 || group[0].Template != group[0].Name {
			return nil, fmt.Errorf("a group of steps is not one step")
		}
		after[group[0].Name] = before
		before = []string{group[0].Name}
	}
	for _, task := range order.DAG.Tasks {
		if task.Template != task.Name {
			return nil, fmt.Errorf("task %s runs the template %s", task.Name, task.Template)
		}
		after[task.Name] = task.Dependencies
	}
	for _, t := range a.Spec.Templates[1:] {
		s := t.Container.step(t.Name, "{{workflow.status}}")
		s.Timeout = time.Duration(t.ActiveDeadlineSeconds) * time.Second
		if t.RetryStrategy.Limit != "" {
			retries, err := strconv.Atoi(t.RetryStrategy.Limit)
			if err != nil || t.RetryStrategy.RetryPolicy != "Always" {
				return nil, fmt.Errorf("step %s has another way to retry", t.Name)
			}
			s.Retries = retries
		}
		if t.Name == a.Spec.OnExit {
			w.OnExit = &s
			continue
		}
		waits, ordered := after[t.Name]
		if !ordered {
			return nil, fmt.Errorf("step %s is never called", t.Name)
		}
		s.After = waits
		w.Steps = append(w.Steps, s)
	}
	if len(after) != len(w.Steps) {
		return nil, fmt.Errorf("a step is called that is not there")
	}
	return w, nil
}
