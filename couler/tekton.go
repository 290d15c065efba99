package couler

import (
	"fmt"
	"slices"
	"time"

	"sqlflow.org/sqlflow_playground/templates"
)

// What stands in templates/tekton_pipelinerun.yaml: the name of a task's only step, and the
// parameter through which the exit step learns the workflow's fate, for Tekton tells it
// only to parameters.
const (
	tektonStep   = "main"
	tektonParam  = "$(params.status)"
	tektonStatus = "$(tasks.status)"
)

// tekton writes a tekton.dev/v1 PipelineRun.
func (w *Workflow) tekton(limit int) ([]byte, error) {
	return w.manifest(templates.TektonPipelineRun, tektonParam, w.readTekton, limit)
}

// mounts tells whether any step mounts a volume.
func (w *Workflow) mounts() bool {
	return slices.ContainsFunc(w.AllSteps(), func(s *Step) bool { return len(s.Mounts) > 0 })
}

// tektonRun is what tekton writes, to read it back. Unknown fields are errors.
type tektonRun struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   manifestMetadata
	Spec       struct {
		TaskRunTemplate struct {
			ServiceAccountName string `yaml:"serviceAccountName"`
		} `yaml:"taskRunTemplate"`
		Timeouts     struct{ Pipeline, Tasks string }
		PipelineSpec struct {
			Tasks, Finally []tektonTask
		} `yaml:"pipelineSpec"`
	}
}

type tektonTask struct {
	Name     string
	RunAfter []string `yaml:"runAfter"`
	Retries  int
	Timeout  string
	Params   []struct{ Name, Value string }
	TaskSpec struct {
		Params  []struct{ Name, Type string }
		Steps   []manifestContainer
		Volumes []manifestVolume
	} `yaml:"taskSpec"`
}

// readTekton reads Tekton's YAML back into a workflow; what has no place there
// is taken from w.
func (w *Workflow) readTekton(text []byte) (*Workflow, error) {
	var r tektonRun
	if err := decode(text, &r); err != nil {
		return nil, err
	}
	if r.APIVersion != "tekton.dev/v1" || r.Kind != "PipelineRun" {
		return nil, fmt.Errorf("it is no pipeline run")
	}
	back := &Workflow{
		TTL:            w.TTL,
		Name:           r.Metadata.GenerateName,
		Namespace:      r.Metadata.Namespace,
		Labels:         r.Metadata.Labels,
		Annotations:    r.Metadata.Annotations,
		ServiceAccount: r.Spec.TaskRunTemplate.ServiceAccountName,
	}
	bound, tasks := r.Spec.Timeouts.Pipeline, r.Spec.Timeouts.Tasks
	if len(r.Spec.PipelineSpec.Finally) > 0 && bound == "0s" && tasks != "" {
		bound, tasks = tasks, "" // it leaves the exit step out
	}
	var err error
	if back.Timeout, err = time.ParseDuration(bound); err != nil {
		return nil, err
	}
	if tasks != "" || back.Timeout > 0 && bound == r.Spec.Timeouts.Pipeline && len(r.Spec.PipelineSpec.Finally) > 0 {
		return nil, fmt.Errorf("the timeouts are not those of the workflow")
	}
	for _, t := range r.Spec.PipelineSpec.Tasks {
		s, err := t.step(back)
		if err != nil {
			return nil, err
		}
		back.Steps = append(back.Steps, *s)
	}
	for _, t := range r.Spec.PipelineSpec.Finally {
		if back.OnExit, err = t.step(back); err != nil {
			return nil, err
		}
		if len(t.Params) != 1 || t.Params[0].Value != tektonStatus {
			return nil, fmt.Errorf("the exit step does not learn the status")
		}
	}
	if back.Volumes == nil && !w.mounts() {
		back.Volumes = w.Volumes
	}
	return back, nil
}

func (t *tektonTask) step(w *Workflow) (*Step, error) {
	if len(t.TaskSpec.Steps) != 1 || t.TaskSpec.Steps[0].Name != tektonStep {
		return nil, fmt.Errorf("task %s is not one step", t.Name)
	}
	s := t.TaskSpec.Steps[0].step(t.Name, tektonParam)
	s.After, s.Retries = t.RunAfter, t.Retries
	var err error
	if s.Timeout, err = time.ParseDuration(t.Timeout); err != nil {
		return nil, err
	}
	if len(t.TaskSpec.Volumes) > 0 {
		w.Volumes = readVolumes(t.TaskSpec.Volumes)
	}
	return &s, nil
}
