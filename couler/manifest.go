package couler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sqlflow.org/sqlflow_playground/couler/quote"
)

// MaxManifest is how many bytes of YAML a workflow may take without comments.
// The API server's store takes about 1.5 MiB in one object; couler
// (core/utils.py) refused more than this.
const MaxManifest = 1_573_000

// emitYAML writes a document, checks its size (a limit of 0 is none), and reads
// it back.
func (w *Workflow) emitYAML(build func() (object, error), read func([]byte) (*Workflow, error), limit int) ([]byte, error) {
	o, err := build()
	if err != nil {
		return nil, err
	}
	out := &writer{limit: limit}
	text := out.document(o)
	if out.overAt {
		p := &Problem{Text: fmt.Sprintf("the workflow is too large: %d bytes, and the API server takes about %d; cut the program into several", len(text)-out.comments, MaxManifest)}
		if out.over != nil {
			p.Step, p.Line = out.over.Name, out.over.Line
			p.Text = "with this step " + p.Text
		}
		return nil, p
	}
	back, err := read(text)
	if err == nil {
		err = w.compare(back)
	}
	if err != nil {
		return nil, fmt.Errorf("the YAML does not read back as the workflow it was made of: %w", err)
	}
	return text, nil
}

// Both engines use Kubernetes' own containers and volumes, but for a name.

func (w *Workflow) metadata() object {
	m := object{{"generateName", w.Name}}
	if w.Namespace != "" {
		m = append(m, field{"namespace", w.Namespace})
	}
	if len(w.Labels) > 0 {
		m = append(m, field{"labels", texts(w.Labels)})
	}
	if len(w.Annotations) > 0 {
		m = append(m, field{"annotations", texts(w.Annotations)})
	}
	return m
}

// command is a step's argument vector, with a comment before the argument that
// cannot be read.
func (w *Workflow) command(s *Step) list {
	argv := w.Argv(s)
	l := strings2list(argv)
	var text string
	switch {
	case s.SQL != "" && !quote.Plain(s.SQL):
		text = s.SQL
	case s.Python != "" && !readable(s.Python):
		text = s.Python
	case len(s.Command) > 0 && !slices.Equal(argv, s.Command):
		text = strings.Join(s.Command, " ")
	}
	if text != "" {
		l[len(l)-1] = commented{quote.Comment(text), l[len(l)-1]}
	}
	return l
}

// envWriter gives the env field of a step's container, if it has one. To the
// exit step it tells the status by the engine's own expression.
type envWriter func(s *Step, status string) object

func (w *Workflow) envWriter() (envWriter, error) {
	v := w.vault()
	if w.Secret == "" {
		var problems []error
		for _, s := range w.AllSteps() {
			for _, e := range s.Env {
				if e.From != (SecretKey{}) {
					continue
				}
				if why := uncarried(e.value()); why != "" {
					problems = append(problems, &Problem{Line: s.Line, Step: s.Name,
						Text: fmt.Sprintf("environment variable %s cannot stand in the YAML: %s; it needs the workflow's secret", e.Name, why)})
				}
			}
		}
		if len(problems) > 0 {
			return nil, errors.Join(problems...)
		}
	}
	return func(s *Step, status string) object {
		env := make(list, 0, len(s.Env)+1)
		for _, e := range s.Env {
			from := e.From
			if key, ok := v.keys[stepVariable{s.Name, e.Name}]; ok {
				from = SecretKey{w.Secret, key}
			}
			if from == (SecretKey{}) {
				env = append(env, object{{"name", e.Name}, {"value", e.value()}})
				continue
			}
			ref := object{{"name", from.Name}, {"key", from.Key}}
			env = append(env, object{{"name", e.Name}, {"valueFrom", object{{"secretKeyRef", ref}}}})
		}
		if s == w.OnExit {
			env = append(env, object{{"name", StatusVariable}, {"value", status}})
		}
		if len(env) == 0 {
			return nil
		}
		return object{{"env", env}}
	}, nil
}

// containerFields are what follows a container's env.
func (s *Step) containerFields(resources string) object {
	var o object
	if len(s.Resources) > 0 {
		r := texts(s.Resources)
		o = append(o, field{resources, object{{"requests", r}, {"limits", r}}})
	}
	if len(s.Mounts) > 0 {
		mounts := make(list, 0, len(s.Mounts))
		for _, m := range s.Mounts {
			mount := object{{"name", m.Volume}, {"mountPath", m.Path}}
			if m.ReadOnly {
				mount = append(mount, field{"readOnly", true})
			}
			mounts = append(mounts, mount)
		}
		o = append(o, field{"volumeMounts", mounts})
	}
	return o
}

func (w *Workflow) volumes() list {
	l := make(list, 0, len(w.Volumes))
	for _, v := range w.Volumes {
		o := object{{"name", v.Name}}
		switch {
		case v.Claim != "":
			o = append(o, field{"persistentVolumeClaim", object{{"claimName", v.Claim}}})
		case v.SecretName != "":
			o = append(o, field{"secret", object{{"secretName", v.SecretName}}})
		case v.ConfigMap != "":
			o = append(o, field{"configMap", object{{"name", v.ConfigMap}}})
		default:
			o = append(o, field{"emptyDir", object{}})
		}
		l = append(l, o)
	}
	return l
}

func strings2list(texts []string) list {
	l := make(list, len(texts))
	for i, text := range texts {
		l[i] = text
	}
	return l
}
