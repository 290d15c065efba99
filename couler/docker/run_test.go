package docker_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/docker"
)

// output collects what a run prints.
type output struct {
	mu       sync.Mutex
	out, err bytes.Buffer
	watch    func(line string) // called with what is printed
}

type stream struct {
	o  *output
	to *bytes.Buffer
}

func (s stream) Write(b []byte) (int, error) {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	if s.o.watch != nil {
		s.o.watch(string(b))
	}
	return s.to.Write(b)
}

// run runs a workflow on the tests' daemon and checks that nothing remains.
func run(t *testing.T, ctx context.Context, w *couler.Workflow, o docker.Options, watch func(string)) (*output, error) {
	t.Helper()
	needsDaemon(t)
	out := &output{watch: watch}
	o.Client, o.Out, o.Err = daemon, stream{out, &out.out}, stream{out, &out.err}
	if o.Network == "" {
		o.Network = "none"
	}
	err := docker.Run(ctx, w, o)
	list, e := daemon.ContainerList(context.Background(), client.ContainerListOptions{All: true})
	if e != nil {
		t.Fatal(e)
	}
	for _, c := range list.Items {
		for _, s := range w.AllSteps() {
			if c.Labels[docker.StepLabel] == s.Name && strings.HasPrefix(c.Labels[docker.WorkflowLabel], w.Name) {
				t.Errorf("the container of step %s remains", s.Name)
			}
		}
	}
	return out, err
}

// workflow makes a workflow of steps, with a name of the test's own.
func workflow(t *testing.T, steps ...couler.Step) *couler.Workflow {
	name := strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	w := &couler.Workflow{Name: name[:min(len(name), 50)] + "-", Secret: "secret", Steps: steps}
	for i := range w.Steps {
		if w.Steps[i].Image == "" {
			w.Steps[i].Image = image
		}
	}
	return w
}

// do makes a SQL step whose program "step" does what a bash script says.
func do(name, script string, after ...string) couler.Step {
	return couler.Step{Name: name, SQL: "SELECT 1;", Env: []couler.EnvVar{{Name: "DO", Value: script}}, After: after}
}

// printed gives what a step printed, without the first line, which is its SQL.
func printed(out *output, step string) string {
	var lines []string
	for line := range strings.Lines(out.out.String()) {
		if rest, ok := strings.CutPrefix(line, step+" | "); ok {
			lines = append(lines, rest)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines[1:], "")
}
