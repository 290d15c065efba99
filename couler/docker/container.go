package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"sqlflow.org/sqlflow_playground/couler"
)

// step runs a step, as often as it may be tried.
func (r *run) step(ctx context.Context, s *couler.Step) *StepError {
	for again := 0; ; again++ {
		if again > 0 {
			r.say("%s: again, %d of %d", s.Name, again, s.Retries)
		}
		began := r.o.Now()
		r.say("%s: started", s.Name)
		code, err := r.try(ctx, s)
		took := r.o.Now().Sub(began).Round(10 * time.Millisecond)
		if err == nil && code == 0 {
			r.say("%s: succeeded after %v", s.Name, took)
			return nil
		}
		e := &StepError{Step: s.Name, Line: s.Line, ExitCode: code, Err: err}
		if err != nil {
			r.say("%s: failed after %v: %v", s.Name, took, err)
		} else {
			r.say("%s: failed after %v with exit code %d", s.Name, took, code)
		}
		if ctx.Err() != nil || again >= s.Retries {
			return e
		}
	}
}

// cleaning is how long Docker may take to remove a container that is stopped.
// silence is how long nothing may come of the output of one that has ended.
const (
	cleaning = time.Minute
	silence  = time.Minute
)

// try runs a step's container once. Whatever happens, it is gone afterwards, and
// nothing more is written.
func (r *run) try(ctx context.Context, s *couler.Step) (code int, err error) {
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("it took longer than %v", s.Timeout))
		defer cancel()
	}
	if ctx.Err() != nil {
		return TimedOut, context.Cause(ctx)
	}
	// The calls below outlast ctx: one that is broken off may have done its
	// work all the same, and the container it made would remain, or be
	// killed where it should be stopped.
	lasting, done := outlasting(ctx, r.o.Grace+cleaning)
	defer done()
	var copying sync.WaitGroup
	defer copying.Wait()
	config, host := r.container(s)
	created, err := r.client.ContainerCreate(lasting, client.ContainerCreateOptions{Config: config, HostConfig: host, Name: r.name(s)})
	if err != nil {
		return 0, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
		defer cancel()
		if _, e := r.client.ContainerRemove(ending, created.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); e != nil {
			err = errors.Join(err, fmt.Errorf("its container %s remains: %w", created.ID, e))
		}
	}()
	attached, err := r.client.ContainerAttach(lasting, created.ID, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return 0, err
	}
	defer attached.Close()
	printed := &output{HijackedResponse: attached.HijackedResponse}
	copied := make(chan error, 1)
	copying.Go(func() {
		out, errs := r.prefixed(s, r.o.Out), r.prefixed(s, r.o.Err)
		_, err := stdcopy.StdCopy(out, errs, printed)
		out.flush()
		errs.flush()
		copied <- err
	})
	wait := r.client.ContainerWait(lasting, created.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := r.client.ContainerStart(lasting, created.ID, client.ContainerStartOptions{}); err != nil {
		return 0, err
	}
	var stopped error
	select {
	case <-ctx.Done():
		stopped = context.Cause(ctx)
		if err := r.stop(lasting, created.ID); err != nil {
			return 0, errors.Join(stopped, err)
		}
		select {
		case <-wait.Result:
		case err := <-wait.Error:
			stopped = errors.Join(stopped, err)
		}
		code = TimedOut
	case result := <-wait.Result:
		if result.Error != nil {
			return 0, errors.New(result.Error.Message)
		}
		code = int(result.StatusCode)
	case err := <-wait.Error:
		return 0, err
	}
	// The output ends when the container does; a process that outlived it
	// and holds the pipe must not hold us.
	printed.end()
	switch err := <-copied; {
	case errors.Is(err, os.ErrDeadlineExceeded):
		r.say("%s: nothing of its output came for %v, the rest is not waited for", s.Name, silence)
	case err != nil && stopped == nil:
		return code, fmt.Errorf("its output broke off: %w", err)
	}
	return code, stopped
}

// output is what a container prints. When the container has ended, reading
// waits no longer than silence; what is read may be shown as slowly as it likes.
type output struct {
	client.HijackedResponse
	ended atomic.Bool
}

// end tells that the container has ended, also to a Read that waits.
func (o *output) end() {
	o.ended.Store(true)
	_ = o.Conn.SetReadDeadline(time.Now().Add(silence)) // fails where Read does too
}

func (o *output) Read(b []byte) (int, error) {
	if o.ended.Load() {
		o.end()
	}
	return o.Reader.Read(b)
}

// outlasting is a context that ends some time after ctx does, so that nothing
// waits for ever for a Docker Engine that hangs.
func outlasting(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		select {
		case <-time.After(by):
			cancel()
		case <-lasting.Done():
		}
	})
	return lasting, cancel
}

// stop ends a container, politely first.
func (r *run) stop(ctx context.Context, id string) error {
	seconds := int((r.o.Grace + time.Second - 1) / time.Second)
	_, err := r.client.ContainerStop(ctx, id, client.ContainerStopOptions{Timeout: &seconds})
	return err
}

func (r *run) name(s *couler.Step) string { return r.id + "-" + s.Name }

// container describes a step's container.
func (r *run) container(s *couler.Step) (*container.Config, *container.HostConfig) {
	config := &container.Config{
		Image: s.Image,
		// As Kubernetes' command: it replaces the image's entrypoint.
		Entrypoint:   r.w.Argv(s),
		Env:          r.environ[s.Name],
		AttachStdout: true,
		AttachStderr: true,
		Labels:       map[string]string{WorkflowLabel: r.id, StepLabel: s.Name},
	}
	host := &container.HostConfig{NetworkMode: container.NetworkMode(r.o.Network)}
	for name, quantity := range s.Resources {
		value := bytesOf(quantity)
		switch name {
		case "cpu":
			// More than there is would be refused; on a desk it means all.
			value.Mul(value, big.NewRat(1e9, 1))
			host.NanoCPUs = min(ceiling(value), int64(r.cpus)*1e9)
		case "memory":
			host.Memory = ceiling(value)
		default:
			r.say("%s: Docker is not asked for %s", s.Name, name)
		}
	}
	for _, m := range s.Mounts {
		if mounted, err := r.mount(m); err == nil { // newRun has checked
			host.Mounts = append(host.Mounts, mounted)
		}
	}
	return config, host
}

// mount says what stands for a volume of the workflow.
func (r *run) mount(m couler.Mount) (mount.Mount, error) {
	to := mount.Mount{Type: mount.TypeVolume, Target: m.Path, ReadOnly: m.ReadOnly}
	if source, known := r.o.Volumes[m.Volume]; known {
		to.Source = source
		if path.IsAbs(source) {
			to.Type = mount.TypeBind
		}
		return to, nil
	}
	for _, v := range r.w.Volumes {
		if v.Name == m.Volume && v == (couler.Volume{Name: v.Name}) {
			return to, nil // an empty one, which goes with the container
		}
	}
	return to, fmt.Errorf("the volume %s is in the cluster; say what stands for it here", m.Volume)
}

// bytesOf reads a Kubernetes quantity, which the workflow's Validate has
// checked: a decimal number with a suffix.
func bytesOf(quantity string) *big.Rat {
	number := strings.TrimRight(quantity, "mkKMGTPEi")
	value, _ := new(big.Rat).SetString(number)
	switch suffix := strings.TrimPrefix(quantity, number); {
	case suffix == "":
	case suffix == "m":
		value.Mul(value, big.NewRat(1, 1000))
	case strings.HasSuffix(suffix, "i"):
		power := strings.Index("KMGTPE", suffix[:1]) + 1
		value.Mul(value, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(10*power))))
	default:
		power := strings.Index("kMGTPE", suffix) + 1
		value.Mul(value, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(1000), big.NewInt(int64(power)), nil)))
	}
	return value
}

// ceiling rounds up to a whole number that int64 holds.
func ceiling(value *big.Rat) int64 {
	n := new(big.Int).Add(value.Num(), new(big.Int).Sub(value.Denom(), big.NewInt(1)))
	n.Quo(n, value.Denom())
	if !n.IsInt64() {
		return 1<<63 - 1
	}
	return n.Int64()
}

// prefixed writes a step's lines with its name before each.
func (r *run) prefixed(s *couler.Step, to io.Writer) *prefixWriter {
	return &prefixWriter{prefix: s.Name + " | ", to: to, out: r.out}
}

type prefixWriter struct {
	prefix string
	to     io.Writer
	out    *lines
	rest   []byte // a line that has not ended
}

// maxLine is how much of a line is kept until its end comes.
const maxLine = 64 << 10

func (p *prefixWriter) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		at := bytes.IndexByte(p.rest, '\n')
		if at < 0 && len(p.rest) < maxLine {
			return len(b), nil
		}
		if at < 0 {
			at = maxLine - 1
			p.out.write(p.to, p.prefix+string(p.rest[:at+1])+"\n")
		} else {
			p.out.write(p.to, p.prefix+string(p.rest[:at+1]))
		}
		p.rest = p.rest[at+1:]
	}
}

func (p *prefixWriter) flush() {
	if len(p.rest) > 0 {
		p.out.write(p.to, p.prefix+string(p.rest)+"\n")
		p.rest = nil
	}
}
