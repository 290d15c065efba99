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

// manifest writes the workflow by an engine's template, and reads that back.
func (w *Workflow) manifest(template, status string, read func([]byte) (*Workflow, error), limit int) ([]byte, error) {
	text, err := w.write(template, status, limit)
	if err != nil {
		return nil, err
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

// write fills in an engine's template and checks the size of what comes out (a
// limit of 0 is none). The exit step is told how the workflow ended by the
// engine's own expression for it, status.
func (w *Workflow) write(template, status string, limit int) ([]byte, error) {
	p, err := w.page(status)
	if err != nil {
		return nil, err
	}
	out := &sheet{limit: limit}
	text, err := out.fill(template, out.yaml(), p)
	if err != nil || !out.full {
		return text, err
	}
	problem := &Problem{Text: fmt.Sprintf("the workflow is too large: %d bytes, and the API server takes about %d; cut the program into several", out.sent(), MaxManifest)}
	if out.last != nil {
		problem.Step, problem.Line = out.last.Name, out.last.Line
		problem.Text = "with this step " + problem.Text
	}
	return nil, problem
}

// page is what the templates of the engines see of a workflow.
type page struct {
	*Workflow
	Entrypoint string // Argo's name for the template that orders the others
	Sequential bool   // the steps run one by one in the order they stand
	Ordered    []*stepPage
	Exit       *stepPage   // nil for none
	All        []*stepPage // Ordered and Exit
}

// stepPage is what they see of a step. Its Env is as the engine is to have it:
// what a Secret carries is From, and has no Value.
type stepPage struct {
	*Step
	Argv    []argument
	Env     []EnvVar
	Volumes []Volume
	Last    bool // it is the exit step
}

// argument is an element of a command, with a comment before one that cannot
// be read.
type argument struct {
	Text    string
	Comment []string
}

func (w *Workflow) page(status string) (*page, error) {
	if err := w.uncarried(); err != nil {
		return nil, err
	}
	v := w.vault()
	p := &page{Workflow: w, Entrypoint: entrypoint, Sequential: w.sequential()}
	for _, s := range w.AllSteps() {
		step := &stepPage{Step: s, Argv: w.arguments(s), Env: v.env(s, w.Secret), Volumes: w.Volumes}
		p.All = append(p.All, step)
		if s == w.OnExit {
			step.Last = true
			step.Env = append(step.Env, EnvVar{Name: StatusVariable, Value: status})
			p.Exit = step
			continue
		}
		p.Ordered = append(p.Ordered, step)
	}
	return p, nil
}

// arguments gives a step's argument vector.
func (w *Workflow) arguments(s *Step) []argument {
	argv := w.Argv(s)
	all := make([]argument, len(argv))
	for i, text := range argv {
		all[i].Text = text
	}
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
		all[len(all)-1].Comment = quote.Comment(text)
	}
	return all
}

// uncarried refuses, without a Secret, the variables that would need one.
func (w *Workflow) uncarried() error {
	if w.Secret != "" {
		return nil
	}
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
	return errors.Join(problems...)
}
