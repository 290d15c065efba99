package workflow

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"sync"
	"time"
)

// Try is one try of a step, which has begun in a pod of its own and so has logs.
type Try struct {
	Step string

	namespace, pod, container string

	ended chan struct{} // closed when its container has ended, as far as is known
	end   func()        // closes it
}

// Tries finds the tries of a workflow's steps in what Watch tells. The zero value is ready.
type Tries struct {
	known map[string]*Try // by pod
}

// Next gives the tries that have begun since the status before, those of a step in their
// order. Those that were given earlier learn whether they have ended.
func (t *Tries) Next(s *Status) []*Try {
	if t.known == nil {
		t.known = map[string]*Try{}
	}
	var next []*Try
	begun := func(step *Step, pod string) {
		if pod == "" || t.known[pod] != nil {
			return
		}
		ended := make(chan struct{})
		try := &Try{
			Step: step.Name, namespace: s.Namespace, pod: pod, container: step.Container,
			ended: ended, end: sync.OnceFunc(func() { close(ended) }),
		}
		t.known[pod] = try
		next = append(next, try)
	}
	running := map[string]bool{}
	for i := range s.Steps {
		step := &s.Steps[i]
		for _, pod := range step.Earlier { // a try may be over before it was seen
			begun(step, pod)
		}
		if step.Begun {
			begun(step, step.Pod)
			running[step.Pod] = step.running && !step.State.Ended() && !s.State.Ended()
		}
	}
	for pod, try := range t.known {
		if !running[pod] {
			try.end()
		}
	}
	return next
}

const (
	// logPause is how long a stream that broke is left alone. It doubles while nothing new
	// comes, up to longestPause. That a container has ended is mostly known sooner.
	logPause = time.Second
	// longestDial is more than the API server takes to find that it cannot reach a kubelet:
	// a stream that broke later was one.
	longestDial = time.Minute
)

// Follow calls line for each line that a try prints, until its container has ended. kubectl's
// stream may break before, with an error or without one, when a kubelet, the API server or
// what is between had enough of it. Then Follow reads on where it broke.
//
// What the engine itself prints is left out. The error is ErrNoLogs when the pod has gone
// before its log was read, an error of line, ctx's, or that of kubectl when there was nothing
// to be had for two minutes, or not at all at first.
func (c *Cluster) Follow(ctx context.Context, try *Try, line func([]byte) error) error {
	t := tail{Cluster: c.in(try.namespace), try: try, line: line}
	ended, last := try.ended, false
	whole := false      // what was read may be all there is
	var since time.Time // it was in touch
	for pause := logPause; ; {
		select {
		case <-ended: // what is there now is all there will be
			ended, last = nil, true
		default:
		}
		begun := time.Now()
		fresh, err := t.read(ctx)
		took := time.Since(begun)
		if fresh || took > longestPause {
			pause = logPause
		}
		switch {
		case err == nil && last, errors.Is(err, ErrNoLogs) && whole:
			return nil
		case err != nil && (t.refused != nil || ctx.Err() != nil || errors.Is(err, ErrNoLogs)):
			return err
		case fresh || err == nil || took > longestDial:
			since = time.Now()
		case time.Since(since) > watchPatience:
			return err
		}
		whole = err == nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended:
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

// tail is a log that is read in one stream or in several.
type tail struct {
	*Cluster
	try     *Try
	line    func([]byte) error
	refused error // by line
	last    place // that was read; times may go back, as of two writers at once
}

// read reads on until the stream ends. fresh tells whether anything came.
func (t *tail) read(ctx context.Context) (fresh bool, err error) {
	args := []string{"logs", t.try.pod, "--container=" + t.try.container, "--follow", "--timestamps"}
	if !t.last.at.IsZero() {
		// The API knows whole seconds only, so that some lines come again. Counting
		// all lines would not do: those that were rotated away do not come again.
		args = append(args, "--since-time="+t.last.at.UTC().Format(time.RFC3339))
	}
	var now place
	err = t.kubectl.Stream(ctx, func(text []byte) error {
		now, text = now.next(text)
		if !fresh && !now.after(t.last) {
			return nil
		}
		if fresh = true; now.after(t.last) {
			t.last = now
		}
		if t.engine.own(text) {
			return nil
		}
		t.refused = t.line(text)
		return t.refused
	}, t.command(args...)...)
	if err == nil || t.refused != nil {
		return fresh, err
	}
	return fresh, t.unread(ctx, t.try.pod, err)
}

// place is where a line stands in a log. It is known by its time, among the lines with
// the same time (some runtimes write many at once) by its number, and when it was cut off
// with the stream by its size. A line without a time, which kubelets write when they have
// trouble, counts as of the time before.
type place struct {
	at        time.Time
	nth, size int
}

func (p place) after(q place) bool {
	return cmp.Or(p.at.Compare(q.at), cmp.Compare(p.nth, q.nth), cmp.Compare(p.size, q.size)) > 0
}

// next gives the place of the line after p, and the line without its time.
func (p place) next(line []byte) (place, []byte) {
	word, text, _ := bytes.Cut(line, []byte(" "))
	if len(word) <= len(time.RFC3339Nano) {
		if at, err := time.Parse(time.RFC3339Nano, string(word)); err == nil {
			if line = text; !at.Equal(p.at) {
				p = place{at: at}
			}
		}
	}
	return place{at: p.at, nth: p.nth + 1, size: len(line)}, line
}
