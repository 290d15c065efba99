package couler

import (
	"fmt"
	"strconv"
	"time"

	"sqlflow.org/sqlflow_playground/templates"
)

// argoStatus is how Argo tells the exit step the workflow's fate.
const argoStatus = "{{workflow.status}}"

// argo writes an argoproj.io/v1alpha1 Workflow.
func (w *Workflow) argo(limit int) ([]byte, error) {
	return w.manifest(templates.ArgoWorkflow, argoStatus, readArgo, limit)
}

// argoWorkflow is what argo writes (templates/argo_workflow.yaml), to read it back. Unknown fields are errors.
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
		s := t.Container.step(t.Name, argoStatus)
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
