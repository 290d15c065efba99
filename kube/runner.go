package kube

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// RunnerOptions say how kubectl is run. Only Path is required.
type RunnerOptions struct {
	Path       string // the program: a name on PATH, or a path
	Kubeconfig string // --kubeconfig, unless empty
	Context    string // --context, unless empty
	Namespace  string // --namespace, unless empty
	// Most is how many runs there are at once, streams not counted; 4 by default.
	// One kubectl takes some 80 ms of CPU and 48 MB.
	Most int
	// Timeout bounds one Run or Read; 30 s by default. A ctx may end it sooner.
	Timeout time.Duration
	// Grace is the time between SIGTERM and SIGKILL; 2 s by default.
	Grace time.Duration
	// Environ is what the environment is chosen from; os.Environ by default.
	Environ func() []string
	// Observe, if set, is told of each run: its verb (one of [Verbs]), its result
	// (one of [Results]) and how long it took, waiting for its turn included.
	Observe func(verb, result string, took time.Duration)
}

// Runner runs kubectl. It is safe for concurrent use, and leaves no process behind
// when the contexts of its calls have ended.
type Runner struct {
	o     RunnerOptions
	slots chan struct{}
}

const (
	mostOutput = 64 << 20 // of one Run; more is an error
	mostStderr = 1 << 20  // kept of the error output, the rest is dropped
	mostLine   = 8 << 20  // of one Stream; an object is at most 1.5 MiB
)

// NewRunner fills in the defaults. It does not look for the program: see [Cluster.Check].
func NewRunner(o RunnerOptions) *Runner {
	if o.Most <= 0 {
		o.Most = 4
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Grace <= 0 {
		o.Grace = 2 * time.Second
	}
	if o.Environ == nil {
		o.Environ = os.Environ
	}
	return &Runner{o: o, slots: make(chan struct{}, o.Most)}
}

// Run runs kubectl with args, gives it stdin, and returns its standard output, also
// when the error is not nil: some verbs do half of what was asked. The error is an *[Error].
func (r *Runner) Run(ctx context.Context, stdin []byte, args ...string) (stdout []byte, err error) {
	return r.collect(ctx, bytes.NewReader(stdin), args)
}

// RunLate is like Run, but asks for the standard input, which must be JSON objects, only
// when kubectl reads it; what there is to write may grow until then. It asks once, or
// never if kubectl ended before, and not after it has returned.
func (r *Runner) RunLate(ctx context.Context, stdin func() []byte, args ...string) (stdout []byte, err error) {
	return r.collect(ctx, whenRead(stdin), args)
}

func (r *Runner) collect(ctx context.Context, stdin io.Reader, args []string) ([]byte, error) {
	out := &capped{most: mostOutput}
	err := r.inTurn(ctx, args, func(ctx context.Context) error {
		return r.start(ctx, stdin, args, func(pipe io.Reader) error {
			_, err := io.Copy(out, pipe)
			return err
		})
	})
	return out.kept.Bytes(), err
}

// Read runs kubectl and has read consume its standard output while it runs, so that
// a long list is never whole in memory. An error of read ends the run and is returned.
func (r *Runner) Read(ctx context.Context, read func(io.Reader) error, args ...string) error {
	return r.inTurn(ctx, args, func(ctx context.Context) error { return r.start(ctx, nil, args, read) })
}

// Stream runs kubectl until ctx or kubectl itself ends and calls line for each line of
// its standard output, without the line feed; the slice is only valid during the call.
// An error of line ends the run and is returned. A stream does not wait for its turn
// and has no time limit of its own.
func (r *Runner) Stream(ctx context.Context, line func([]byte) error, args ...string) error {
	begun := time.Now()
	err := r.start(ctx, nil, args, func(pipe io.Reader) error {
		lines := bufio.NewScanner(pipe)
		lines.Buffer(make([]byte, 0, 16<<10), mostLine)
		for lines.Scan() {
			if err := line(lines.Bytes()); err != nil {
				return err
			}
		}
		return lines.Err()
	})
	r.observe("watch", err, begun)
	return err
}

// inTurn waits for a slot and runs within the time limit.
func (r *Runner) inTurn(ctx context.Context, args []string, run func(context.Context) error) (err error) {
	begun := time.Now()
	defer func() { r.observe(args[0], err, begun) }()
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return &Error{Program: r.o.Path, Args: r.argv(args), Reason: endReason(ctx.Err()), Err: fmt.Errorf("waiting for its turn: %w", ctx.Err())}
	}
	return run(ctx)
}

func (r *Runner) observe(verb string, err error, begun time.Time) {
	if r.o.Observe != nil {
		r.o.Observe(knownVerb(verb), result(err), time.Since(begun))
	}
}

func (r *Runner) argv(args []string) []string {
	var all []string
	for _, flag := range []struct{ name, value string }{
		{"--kubeconfig", r.o.Kubeconfig}, {"--context", r.o.Context}, {"--namespace", r.o.Namespace},
	} {
		if flag.value != "" {
			all = append(all, flag.name+"="+flag.value)
		}
	}
	return append(all, args...)
}

// start runs one kubectl to its end. consume is called with its standard output.
func (r *Runner) start(ctx context.Context, stdin io.Reader, args []string, consume func(io.Reader) error) error {
	caller := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	argv := r.argv(args)
	cmd := exec.CommandContext(ctx, r.o.Path, argv...)
	cmd.Env = environment(r.o.Environ())
	cmd.Stdin = stdin
	stderr := &capped{most: mostStderr, drop: true}
	cmd.Stderr = stderr
	stop := bySignal(cmd, r.o.Grace)
	defer stop()

	// A pipe of our own: exec's StdoutPipe must be drained before Wait, which would
	// then not close it when a grandchild keeps it open.
	read, write, err := os.Pipe()
	if err != nil {
		return &Error{Program: r.o.Path, Args: argv, Reason: Other, Err: err}
	}
	cmd.Stdout = write
	if err := cmd.Start(); err != nil {
		read.Close()
		write.Close()
		return &Error{Program: r.o.Path, Args: argv, Reason: startReason(err), Err: err}
	}
	write.Close()

	var consumed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		consumed = consume(read)
		if consumed != nil {
			cancel() // nobody wants the rest
		}
	}()
	waited := cmd.Wait()
	select {
	case <-done:
	case <-time.After(r.o.Grace): // a credential plugin that kubectl started holds the pipe
		read.SetReadDeadline(time.Now())
		<-done
	}
	read.Close()

	// When kubectl ended by itself and said why, consume failed of what it did not get.
	told := cmd.ProcessState.Exited() && stderr.kept.Len() > 0
	switch {
	case waited != nil && (consumed == nil || told || errors.Is(consumed, os.ErrDeadlineExceeded)):
		return r.failed(caller, argv, stderr.kept.String(), waited)
	case consumed != nil:
		return consumed
	}
	return nil
}

func (r *Runner) failed(ctx context.Context, argv []string, stderr string, waited error) error {
	e := &Error{Program: r.o.Path, Args: argv, Stderr: strings.TrimSpace(stderr), Err: waited}
	if ctx.Err() != nil {
		e.Reason, e.Err = endReason(ctx.Err()), context.Cause(ctx)
		return e
	}
	e.explain()
	return e
}

// environment keeps what kubectl and its credential plugins need and drops the rest,
// so that a secret in the gateway's environment does not travel on.
func environment(all []string) []string {
	kept := []string{"LC_ALL=C"} // kubectl translates its messages
	for _, each := range all {
		name, _, _ := strings.Cut(each, "=")
		if passes(name) {
			kept = append(kept, each)
		}
	}
	return kept
}

func passes(name string) bool {
	switch strings.ToUpper(name) {
	case "PATH", "HOME", "USER", "TMPDIR", "KUBECONFIG", "KUBECACHEDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT":
		return true
	}
	for _, prefix := range []string{"KUBERNETES_", "XDG_", "AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_", "OS_", "GOCOVERDIR"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// capped keeps at most so many bytes; then it fails, or drops the rest. (It does not
// embed its buffer: io.Copy would find ReadFrom there and go round the limit.)
type capped struct {
	kept bytes.Buffer
	most int
	drop bool
}

func (c *capped) Write(p []byte) (int, error) {
	room := c.most - c.kept.Len()
	if len(p) <= room {
		return c.kept.Write(p)
	}
	c.kept.Write(p[:max(room, 0)])
	if c.drop {
		return len(p), nil
	}
	return 0, fmt.Errorf("kubectl printed more than %d bytes", c.most)
}
