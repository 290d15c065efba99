package couler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sqlflow.org/sqlflow_playground/couler/program"
)

// Compile makes a workflow of a SQL program, a step for each statement. Without
// Options.Parallel a step waits for the one before, as in SQLFlow; with it, for
// those whose tables or models it needs.
//
// A step's image is the one its statement names; for PREDICT, EXPLAIN and
// EVALUATE the one of the nearest earlier TRAIN that made their model; else the
// default. Nothing is asked of a database or a registry.
//
// The error is a *program.Error or program.Errors for a program that is wrong,
// or holds no statement, and else the *Problems of Validate, joined: a
// statement too large for the kernel is one, with its line.
func Compile(sql string, session Session, options Options) (*Workflow, error) {
	statements, err := program.Parse(sql)
	if err != nil {
		return nil, err
	}
	if len(statements) == 0 {
		return nil, program.NewError(sql, 0, "the program is empty", "")
	}
	w := newWorkflow(session, options)
	w.Steps = make([]Step, len(statements))
	env := stepEnv(session, options)
	images := images(statements, options.image())
	for i, s := range statements {
		w.Steps[i] = Step{
			Name:      stepLabel(i, string(s.Kind)),
			Kind:      s.Kind,
			Statement: i + 1,
			Line:      s.Line,
			Image:     images[i],
			SQL:       ended(s),
			Env:       slices.Clone(env),
			Resources: maps.Clone(options.Resources),
			Retries:   options.Retries,
		}
	}
	if options.Parallel {
		for i, earlier := range program.Dependencies(statements) {
			for _, j := range earlier {
				w.Steps[i].After = append(w.Steps[i].After, w.Steps[j].Name)
			}
		}
	} else {
		for i := 1; i < len(w.Steps); i++ {
			w.Steps[i].After = []string{w.Steps[i-1].Name}
		}
	}
	if err := w.Validate(); err != nil {
		return nil, err
	}
	return w, nil
}

func (o Options) image() string { return cmp.Or(o.Image, defaultImage) }

// managedBy marks what this program makes in a cluster, by Kubernetes' own
// recommended label.
const managedBy = "app.kubernetes.io/managed-by"

func newWorkflow(session Session, options Options) *Workflow {
	w := &Workflow{
		Name:           cmp.Or(options.Name, defaultName),
		Namespace:      session.Namespace,
		ServiceAccount: session.ServiceAccount,
		Labels:         map[string]string{managedBy: "sqlflow_playground"},
		TTL:            options.TTL,
		Timeout:        options.Timeout,
		LogFile:        options.LogFile,
		ExitWait:       options.ExitWait,
	}
	if !options.InlineCredentials {
		w.Secret = cmp.Or(options.Credentials, defaultCredentials)
	}
	return w
}

// stepLabel names the step of a statement, like s3-show-train.
func stepLabel(i int, kind string) string {
	return fmt.Sprintf("s%d-%s", i+1, strings.ReplaceAll(kind, "_", "-"))
}

// ended gives a statement's text. SQLFlow's grammar wants a semicolon behind an
// extended statement (go/parser/extended_syntax_parser.y), which may be missing
// in the program's last.
func ended(s program.Statement) string {
	if s.Kind == program.Normal || strings.HasSuffix(s.Text, ";") {
		return s.Text
	}
	return s.Text + ";"
}

// images gives each statement's image.
func images(statements []program.Statement, otherwise string) []string {
	models := map[string]string{} // by the model's name, the image that trained it
	images := make([]string, len(statements))
	for i, s := range statements {
		image := s.Image
		switch s.Kind {
		case program.Predict, program.Explain, program.Evaluate:
			image = models[s.ModelIn]
		}
		images[i] = cmp.Or(image, otherwise)
		if s.Kind == program.Train {
			models[s.ModelOut] = images[i]
		}
	}
	return images
}
