// Package docker runs a workflow on a Docker Engine, each step a container, so
// that what will run on a cluster can be tried on a desk.
//
// What a step prints is shown as it comes, each line with the step's name
// before it. Images that are not there are pulled. Containers are removed when
// they end, whatever happened; they carry the labels WorkflowLabel and
// StepLabel, should this program be killed before.
//
// It is a package of its own so that whoever imports couler does not import the
// Docker client.
package docker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"sqlflow.org/sqlflow_playground/couler"
)

// Labels of the containers: the run they belong to, and the step they are.
const (
	WorkflowLabel = "sqlflow.org/workflow"
	StepLabel     = "sqlflow.org/step"
)

// TimedOut is the exit code of a step that was stopped because it, or the
// workflow, took too long. It is that of timeout(1).
const TimedOut = 124

// Options say how and where a workflow runs. The zero value is usable.
type Options struct {
	// Client is the Docker Engine; nil for the one that DOCKER_HOST and its
	// fellows name, or the local one.
	Client *client.Client
	// Parallel is how many steps may run at once; 0 is 1.
	Parallel int
	// Network is the containers' network mode: a network's name, "host",
	// "none", or empty for Docker's default.
	Network string
	// Volumes say what stands for a volume of the workflow: an absolute
	// path of the Docker host, or the name of a Docker volume. A volume of
	// the workflow that is an empty directory needs none.
	Volumes map[string]string
	// Out and Err get what the steps print there; Err also the progress.
	// Nil is nowhere. They are not written to at the same time, nor after
	// Run, which waits for as long as they take.
	Out, Err io.Writer
	// Grace is how long a container has to end when it is stopped; 0 is ten
	// seconds, as with docker stop.
	Grace time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// StepError tells which step made a workflow fail, and how.
type StepError struct {
	Step     string
	Line     int   // of its statement; 0 for none
	ExitCode int   // of the step's last try; TimedOut when it took too long; 0 when it never ran
	Err      error // why it did not run to its end; nil when it did
}

// Error gives one line.
func (e *StepError) Error() string {
	where := "step " + e.Step
	if e.Line > 0 {
		where += fmt.Sprintf(" (line %d)", e.Line)
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", where, e.Err)
	}
	return fmt.Sprintf("%s failed with exit code %d", where, e.ExitCode)
}

// Unwrap gives Err.
func (e *StepError) Unwrap() error { return e.Err }

// Run runs a workflow to its end. After a step has failed no more are started,
// those that run are waited for, and the exit step runs. When ctx ends all
// containers are stopped and the exit step does not run; the error then is that
// of ctx. In any case Run returns when no container is left.
//
// The error of a workflow that failed is a *StepError, of the first step that
// did. Nothing has been started when the workflow cannot run here: it is
// invalid, a value is only known to a cluster, a volume stands for nothing, no
// Docker Engine answers, or an image cannot be pulled.
func Run(ctx context.Context, w *couler.Workflow, options Options) error {
	r, err := newRun(w, options)
	if err != nil {
		return err
	}
	if options.Client == nil {
		if r.client, err = client.New(client.FromEnv); err != nil {
			return fmt.Errorf("no Docker Engine: %w", err)
		}
		defer r.client.Close()
	}
	err = r.prepare(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	bounded := ctx
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeoutCause(ctx, w.Timeout, errors.New("the workflow took longer than "+w.Timeout.String()))
		defer cancel()
	}
	failed := r.steps(bounded)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if w.OnExit != nil {
		r.environ[w.OnExit.Name] = append(r.environ[w.OnExit.Name], couler.StatusVariable+"="+status(failed))
		if err := r.step(ctx, w.OnExit); err != nil && failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if failed != nil {
		return failed
	}
	return nil
}

func status(failed *StepError) string {
	if failed != nil {
		return "Failed"
	}
	return "Succeeded"
}

// run is a workflow that runs.
type run struct {
	w       *couler.Workflow
	o       Options
	client  *client.Client
	id      string              // of this run, in labels and names
	environ map[string][]string // by step
	cpus    int                 // of the Docker host
	out     *lines
}

// newRun checks what can be known before Docker is asked.
func newRun(w *couler.Workflow, o Options) (*run, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	o.Parallel = max(o.Parallel, 1)
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Err == nil {
		o.Err = io.Discard
	}
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &run{w: w, o: o, client: o.Client, environ: map[string][]string{}, out: &lines{}}
	r.id = w.Name + strings.ToLower(rand.Text()[:5])
	var problems []error
	for _, s := range w.AllSteps() {
		environ, err := s.Environ()
		if err != nil {
			problems = append(problems, err)
		}
		r.environ[s.Name] = environ
		for _, m := range s.Mounts {
			if _, err := r.mount(m); err != nil {
				problems = append(problems, fmt.Errorf("step %s: %w", s.Name, err))
			}
		}
	}
	return r, errors.Join(problems...)
}

// say writes a line of progress.
func (r *run) say(format string, a ...any) {
	r.out.write(r.o.Err, fmt.Sprintf(format, a...)+"\n")
}

// steps runs the steps in their order, as many at once as may be, and gives the
// error of the one that failed first.
func (r *run) steps(ctx context.Context) *StepError {
	waits := make(map[string]int, len(r.w.Steps)) // by step, how many it waits for
	next := map[string][]*couler.Step{}
	var ready []*couler.Step
	for i := range r.w.Steps {
		s := &r.w.Steps[i]
		waits[s.Name] = len(s.After)
		for _, name := range s.After {
			next[name] = append(next[name], s)
		}
		if len(s.After) == 0 {
			ready = append(ready, s)
		}
	}
	type end struct {
		step *couler.Step
		err  *StepError
	}
	ends := make(chan end)
	var running int
	var failed *StepError
	for {
		for failed == nil && ctx.Err() == nil && running < r.o.Parallel && len(ready) > 0 {
			s := ready[0]
			ready = ready[1:]
			running++
			go func() { ends <- end{s, r.step(ctx, s)} }()
		}
		if running == 0 {
			if failed == nil && len(ready) > 0 { // the time was up between two steps
				failed = &StepError{Step: ready[0].Name, Line: ready[0].Line, ExitCode: TimedOut, Err: context.Cause(ctx)}
			}
			return failed
		}
		e := <-ends
		running--
		if e.err != nil {
			failed = cmp.Or(failed, e.err)
			continue
		}
		for _, s := range next[e.step.Name] {
			if waits[s.Name]--; waits[s.Name] == 0 {
				ready = append(ready, s)
			}
		}
	}
}

// prepare asks Docker for all that must be there before a step is started.
func (r *run) prepare(ctx context.Context) error {
	info, err := r.client.Info(ctx, client.InfoOptions{})
	if err != nil {
		return fmt.Errorf("the Docker Engine does not answer: %w", err)
	}
	r.cpus = info.Info.NCPU
	return r.pull(ctx)
}

// pull gets the images that are not there.
func (r *run) pull(ctx context.Context) error {
	seen := map[string]bool{}
	for _, s := range r.w.AllSteps() {
		if seen[s.Image] {
			continue
		}
		seen[s.Image] = true
		if _, err := r.client.ImageInspect(ctx, s.Image); err == nil {
			continue
		}
		r.say("pulling %s", s.Image)
		if err := r.pullImage(ctx, s.Image); err != nil {
			return fmt.Errorf("step %s: cannot pull the image %s: %w (where a registry wants a login, docker pull it first)", s.Name, s.Image, err)
		}
		r.say("pulled %s", s.Image)
	}
	return nil
}

// pullImage pulls one image and shows each new state of each layer.
func (r *run) pullImage(ctx context.Context, image string) error {
	response, err := r.client.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer response.Close()
	states := map[string]string{}
	for message, err := range response.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if message.Error != nil {
			return message.Error
		}
		if message.ID != "" && states[message.ID] != message.Status {
			states[message.ID] = message.Status
			r.say("pulling %s: %s: %s", image, message.ID, message.Status)
		}
	}
	return nil
}

// lines keeps what several steps print apart: it writes whole lines.
type lines struct{ mu sync.Mutex }

func (l *lines) write(to io.Writer, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Whoever reads has gone when this fails, which is no reason to stop.
	_, _ = io.WriteString(to, text)
}
