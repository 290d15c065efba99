package couler

import (
	"fmt"
	"slices"
	"time"
)

// tekton builds a tekton.dev/v1 PipelineRun with the pipeline inside: a task of
// one step per step, ordered by runAfter (tektoncd/pipeline v1, docs/pipelineruns.md).
//
// Every timeout is written out, "0s" for none: the PipelineRun's own default is
// an hour, and so is each task's, whatever the PipelineRun says
// (pkg/apis/pipeline/v1/taskrun_defaults.go), which would kill a training.
func (w *Workflow) tekton() (object, error) {
	env, err := w.envWriter()
	if err != nil {
		return nil, err
	}
	spec := object{}
	if w.ServiceAccount != "" {
		spec = append(spec, field{"taskRunTemplate", object{{"serviceAccountName", w.ServiceAccount}}})
	}
	spec = append(spec, field{"timeouts", object{{"pipeline", w.Timeout.String()}}})
	tasks := make(list, 0, len(w.Steps))
	for i := range w.Steps {
		s := &w.Steps[i]
		tasks = append(tasks, marked{s, w.tektonTask(s, env)})
	}
	pipeline := object{{"tasks", tasks}}
	if w.OnExit != nil {
		pipeline = append(pipeline, field{"finally", list{marked{w.OnExit, w.tektonTask(w.OnExit, env)}}})
	}
	return object{
		{"apiVersion", "tekton.dev/v1"},
		{"kind", "PipelineRun"},
		{"metadata", w.metadata()},
		{"spec", append(spec, field{"pipelineSpec", pipeline})},
	}, nil
}

// mounts tells whether any step mounts a volume.
func (w *Workflow) mounts() bool {
	return slices.ContainsFunc(w.AllSteps(), func(s *Step) bool { return len(s.Mounts) > 0 })
}

const (
	tektonStep   = "main"
	tektonParam  = "status"
	tektonStatus = "$(tasks.status)"
)

func (w *Workflow) tektonTask(s *Step, env envWriter) object {
	task := object{{"name", s.Name}}
	if len(s.After) > 0 {
		task = append(task, field{"runAfter", strings2list(s.After)})
	}
	if s.Retries > 0 {
		task = append(task, field{"retries", int64(s.Retries)})
	}
	task = append(task, field{"timeout", s.Timeout.String()})
	spec := object{}
	if s == w.OnExit {
		// Tekton tells the status only to parameters.
		task = append(task, field{"params", list{object{{"name", tektonParam}, {"value", tektonStatus}}}})
		spec = append(spec, field{"params", list{object{{"name", tektonParam}, {"type", "string"}}}})
	}
	container := object{{"name", tektonStep}, {"image", s.Image}, {"command", w.command(s)}}
	container = append(container, env(s, "$(params."+tektonParam+")")...)
	container = append(container, s.containerFields("computeResources")...)
	spec = append(spec, field{"steps", list{container}})
	if len(s.Mounts) > 0 && len(w.Volumes) > 0 {
		spec = append(spec, field{"volumes", w.volumes()})
	}
	return append(task, field{"taskSpec", spec})
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
		Timeouts     struct{ Pipeline string }
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
	var err error
	if back.Timeout, err = time.ParseDuration(r.Spec.Timeouts.Pipeline); err != nil {
		return nil, err
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
	s := t.TaskSpec.Steps[0].step(t.Name, "$(params."+tektonParam+")")
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
