package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

func newWorkflowWatch(f *workflowFlags) *cobra.Command {
	var logs bool
	c := f.about(&cobra.Command{
		Use:   "watch NAME",
		Short: "Follow a workflow and the logs of its steps to the end",
		Long: `Watch shows a workflow as it runs: on a terminal a table of its steps below what they
print, elsewhere a line for each change. It exits with 0 when the workflow succeeded and
with 1 when it failed. Interrupting it leaves the workflow running.`,
		Example: "  sqlflow_playground workflow watch sqlflow-x7k2p\n  sqlflow_playground workflow watch --logs=false sqlflow-x7k2p",
	}, cobra.ExactArgs(1), func(c *cobra.Command, engine couler.Engine, _ *workflow.Cluster, args []string) error {
		return f.follow(c, engine, args[0], logs)
	})
	c.Flags().BoolVar(&logs, "logs", true, "show what the steps print")
	return c
}

// Limits of a watch: each followed log is a kubectl of its own, of some 50 MB.
const (
	mostLogs  = 6
	lastLines = 30 * time.Second // how long the logs of a workflow that ended may say nothing before their end
	frame     = 125 * time.Millisecond
)

// display shows a workflow as it runs. It is used by one goroutine.
type display interface {
	status(s *workflow.Status)
	line(step, text string)
	tick() // from time to time, when nothing else is told
	close()
}

// follow shows a workflow until it ends.
func (f *workflowFlags) follow(c *cobra.Command, engine couler.Engine, name string, logs bool) error {
	cluster, err := f.cluster(engine)
	if err != nil {
		return err
	}
	var d display = &plainDisplay{out: c.OutOrStdout(), told: map[string]workflow.State{}}
	if file, ok := f.world.Out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		d = newScreen(c.OutOrStdout(), time.Now, func() (int, int) {
			width, height, err := term.GetSize(int(file.Fd()))
			if err != nil || width <= 0 || height <= 0 { // a terminal that does not know itself
				return 80, 24
			}
			return width, height
		})
	}
	w := newWatcher(cluster, name, logs)
	w.again = func(command string, args ...string) string { return f.again(engine, command, args...) }
	status, err := w.show(c.Context(), d)
	switch {
	case c.Context().Err() != nil && status != nil && status.State.Ended():
		return fmt.Errorf("interrupted; the workflow has ended: see `%s`", w.again("status", name))
	case c.Context().Err() != nil:
		return fmt.Errorf("interrupted; the workflow goes on: see `%s`, or stop it with `%s`", w.again("watch", name), w.again("stop", name))
	case err != nil:
		return clusterError(err, engine)
	case status.State != workflow.Succeeded:
		return errors.New(why(status))
	}
	return nil
}

// why says in one line what made a workflow fail.
func why(s *workflow.Status) string {
	line := fmt.Sprintf("the workflow %s %s", s.Name, s.State)
	if s.Stopping {
		line += " (stopped)"
	}
	for _, step := range s.Steps {
		if step.State == workflow.Failed || step.State == workflow.Error {
			return line + ": step " + step.Name + ": " + printable(step.Message)
		}
	}
	return line + ": " + printable(s.Message)
}

// event is what the watcher's goroutines tell: a status, a line, the end of a log, or that of
// the watch.
type event struct {
	status     *workflow.Status
	step, text string
	read       *workflow.Try
	over       bool
	err        error
}

// watcher brings what happens in a workflow to a display.
type watcher struct {
	cluster *workflow.Cluster
	name    string
	logs    bool
	again   func(command string, args ...string) string // what to run to see more
	events  chan event
	places  chan struct{} // for logs that are followed
	tries   workflow.Tries
	unread  map[*workflow.Try]bool // whose logs have not come to their end
	running sync.WaitGroup
}

func newWatcher(cluster *workflow.Cluster, name string, logs bool) *watcher {
	return &watcher{
		cluster: cluster, name: name, logs: logs, events: make(chan event, 256), places: make(chan struct{}, mostLogs),
		unread: map[*workflow.Try]bool{},
	}
}

// show returns the last status there was.
func (w *watcher) show(ctx context.Context, d display) (last *workflow.Status, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer w.running.Wait()
	defer cancel()
	defer d.close()
	w.running.Go(func() {
		err := w.cluster.Watch(ctx, w.name, func(s *workflow.Status) error {
			w.tell(ctx, event{status: s})
			return ctx.Err()
		})
		w.tell(ctx, event{over: true, err: err})
	})
	ticker := time.NewTicker(frame)
	defer ticker.Stop()
	silent := time.NewTimer(lastLines)
	defer silent.Stop()
	for over := false; !over || len(w.unread) > 0; {
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-ticker.C:
			d.tick()
		case <-silent.C:
			if over && len(w.events) == 0 {
				w.leave(d, last)
				return last, nil
			}
		case e := <-w.events:
			switch {
			case e.status != nil:
				last = e.status
				d.status(e.status)
				w.followLogs(ctx, e.status)
			case e.over && e.err != nil:
				return last, e.err
			case e.over:
				over = true // all tries are known now, and have ended
			case e.read != nil:
				delete(w.unread, e.read)
			default:
				d.line(e.step, e.text)
			}
			silent.Reset(lastLines)
		}
	}
	return last, nil
}

// leave tells which logs are left before their end.
func (w *watcher) leave(d display, s *workflow.Status) {
	steps := map[string]bool{}
	for try := range w.unread {
		steps[try.Step] = true
	}
	for _, step := range s.Steps {
		if steps[step.Name] {
			d.line(step.Name, fmt.Sprintf("(the rest of its log has not come for %v; see `%s`)", lastLines, w.again("logs", w.name, step.Name)))
		}
	}
}

func (w *watcher) tell(ctx context.Context, e event) {
	select {
	case w.events <- e:
	case <-ctx.Done():
	}
}

// followLogs begins to follow the logs of containers that have begun meanwhile.
func (w *watcher) followLogs(ctx context.Context, s *workflow.Status) {
	if !w.logs {
		return
	}
	for _, try := range w.tries.Next(s) {
		w.unread[try] = true
		w.running.Go(func() {
			select {
			case w.places <- struct{}{}:
				defer func() { <-w.places }()
			case <-ctx.Done():
				return
			}
			err := w.cluster.Follow(ctx, try, func(line []byte) error {
				w.tell(ctx, event{step: try.Step, text: string(line)})
				return ctx.Err()
			})
			if err != nil && ctx.Err() == nil {
				w.tell(ctx, event{step: try.Step, text: "(" + err.Error() + ")"})
			}
			w.tell(ctx, event{read: try})
		})
	}
}

// plainDisplay writes a line for each change.
type plainDisplay struct {
	out  io.Writer
	told map[string]workflow.State // by step; the workflow's own under ""
}

func (p *plainDisplay) status(s *workflow.Status) {
	for _, step := range s.Steps {
		if step.State == p.told[step.Name] || step.State == workflow.Pending && step.Message == "" {
			continue
		}
		p.told[step.Name] = step.State
		line := fmt.Sprintf("%s %s", step.Name, dash(string(step.State)))
		if step.State.Ended() && !step.Started.IsZero() {
			line += " after " + elapsed(step.Started, step.Finished, step.Finished)
		}
		if step.Retries > 0 {
			line += fmt.Sprintf(", try %d", step.Retries+1)
		}
		if step.Message != "" {
			line += ": " + printable(step.Message)
		}
		fmt.Fprintln(p.out, line)
	}
	if s.State != p.told[""] {
		p.told[""] = s.State
		line := fmt.Sprintf("%s %s, %s", s.Name, s.State, headline(s, s.Finished))
		if s.Message != "" {
			line += ": " + printable(s.Message)
		}
		fmt.Fprintln(p.out, line)
	}
}

func (p *plainDisplay) line(step, text string) {
	fmt.Fprintf(p.out, "%s | %s\n", step, printable(text))
}

func (p *plainDisplay) tick()  {}
func (p *plainDisplay) close() {}
