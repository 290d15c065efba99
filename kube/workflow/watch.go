package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"sync"
	"time"
)

// The limits of a watch.
const (
	watchLife     = 9 * time.Minute        // the API server ends a watch then
	watchSilence  = 150 * time.Second      // a watch that says nothing for so long is dead (bookmarks come every minute)
	watchPause    = 200 * time.Millisecond // after a failure; it doubles
	longestPause  = 10 * time.Second       // and this is its limit
	watchPatience = 2 * time.Minute        // out of touch for so long ends Watch
)

// Watch calls tell with the workflow as it is, then after every change, and last with its
// end. Calls come one at a time; between two of them changes are gathered.
//
// Watch returns nil after tell saw the end. The error is ErrNotFound, also when the
// workflow is deleted meanwhile; an error of tell; ctx's; or that of kubectl when the
// cluster could not be reached for two minutes, or not at all at first.
func (c *Cluster) Watch(ctx context.Context, name string, tell func(*Status) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	to := c
	if c.namespace == "" { // raw paths need one: it is where kubectl finds the workflow
		_, run, err := c.get(ctx, name)
		if err != nil {
			return err
		}
		to = c.in(run.Namespace)
	}
	return to.watch(ctx, name, tell)
}

func (c *Cluster) watch(ctx context.Context, name string, tell func(*Status) error) error {
	ctx, cancel := context.WithCancel(ctx)
	changes := make(chan change, 64)
	parts, label := c.engine.parts()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, f := range []follower{
		{kubectl: c.kubectl, path: c.engine.workflows().collection(c.namespace), query: url.Values{"fieldSelector": {"metadata.name=" + name}}, changes: changes},
		{kubectl: c.kubectl, path: parts.collection(c.namespace), query: url.Values{"labelSelector": {label + "=" + name}}, changes: changes, part: true},
	} {
		running.Go(func() { f.run(ctx) })
	}
	v := view{name: name, engine: c.engine}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case next := <-changes:
			if err := v.take(next); err != nil {
				return err
			}
		}
		for more := true; more; { // one look at all that has come
			select {
			case next := <-changes:
				if err := v.take(next); err != nil {
					return err
				}
			default:
				more = false
			}
		}
		status, err := v.status()
		if err != nil {
			return err
		}
		if status == nil {
			continue
		}
		if status.State.Ended() {
			// The other watch may be behind. What is read now is not, for an
			// engine writes the end of the steps first.
			if whole, err := c.Status(ctx, name); err == nil {
				status = whole
			}
			return tell(status)
		}
		if err := tell(status); err != nil {
			return err
		}
	}
}

// view is what the two watches have told.
type view struct {
	name   string
	engine engine
	object []byte // the workflow's; nil until it was listed
	parts  map[string]part
	last   *Status
}

// take takes a change in. The error is that the workflow is gone, or that a watch cannot
// go on.
func (v *view) take(c change) error {
	switch {
	case c.trouble != nil:
		return fmt.Errorf("watch the workflow %s: %w", v.name, c.trouble)
	case c.part && c.listed:
		parts := make(map[string]part, len(c.objects))
		for _, object := range c.objects {
			p, err := v.engine.part(object)
			if err != nil {
				return err
			}
			parts[p.name] = p
		}
		v.parts = parts
	case c.part:
		p, err := v.engine.part(c.objects[0])
		if err != nil {
			return err
		}
		if v.parts[p.name] = p; c.deleted {
			delete(v.parts, p.name)
		}
	case c.deleted || c.listed && len(c.objects) == 0:
		return fmt.Errorf("%s: %w", v.name, ErrNotFound)
	default:
		v.object = c.objects[0]
	}
	return nil
}

// status is nil as long as something is missing, or when nothing has changed.
func (v *view) status() (*Status, error) {
	if v.object == nil || v.parts == nil {
		return nil, nil
	}
	s, err := v.engine.status(v.object, v.parts)
	if err != nil || v.last != nil && reflect.DeepEqual(s, v.last) {
		return nil, err
	}
	v.last = s
	return s, nil
}

// change is what a follower tells.
type change struct {
	part    bool
	listed  bool // objects are all there are
	deleted bool
	objects []json.RawMessage
	trouble error // it goes on no longer
}

// follower keeps up with a collection: it lists, watches from there, and does so again
// when the watch ends or breaks.
type follower struct {
	kubectl Kubectl
	path    string
	query   url.Values
	part    bool
	changes chan<- change
}

var errSilent = errors.New("the watch said nothing for too long")

func (f follower) run(ctx context.Context) {
	version, pause := "", watchPause
	var since time.Time // of the last touch
	for ctx.Err() == nil {
		begun := time.Now()
		var err error
		if version == "" {
			version, err = f.list(ctx)
		}
		if err == nil {
			since = time.Now()
			version, err = f.watch(ctx, version, &since)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			version = "" // a list makes good what may have been missed
			if time.Since(since) > watchPatience {
				f.send(ctx, change{trouble: err})
				return
			}
		}
		if time.Since(begun) > longestPause {
			pause = watchPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, longestPause)
	}
}

func (f follower) list(ctx context.Context) (version string, err error) {
	text, err := f.kubectl.Run(ctx, nil, "get", "--raw", f.path+"?"+f.query.Encode())
	if err != nil {
		return "", err
	}
	list, err := decodeList(text)
	if err != nil {
		return "", err
	}
	f.send(ctx, change{listed: true, objects: list.Items})
	return list.Metadata.ResourceVersion, nil
}

// watch tells changes from version on, and returns the version to go on from: "" when that
// is not known.
func (f follower) watch(ctx context.Context, version string, since *time.Time) (string, error) {
	query := url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {version},
		"timeoutSeconds": {strconv.Itoa(int(watchLife / time.Second))},
	}
	for key, values := range f.query {
		query[key] = values
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silent.Stop()
	err := f.kubectl.Stream(ctx, func(line []byte) error {
		silent.Reset(watchSilence)
		*since = time.Now()
		next, err := f.event(ctx, line)
		if next != "" {
			version = next
		}
		return err
	}, "get", "--raw", f.path+"?"+query.Encode())
	if errors.Is(context.Cause(ctx), errSilent) {
		return "", errSilent
	}
	return version, err
}

// event takes one line of a watch (metav1.WatchEvent) and returns its resource version.
func (f follower) event(ctx context.Context, line []byte) (version string, err error) {
	if len(line) == 0 {
		return "", nil
	}
	var e struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := decode(line, "watch's line", &e); err != nil {
		return "", err
	}
	var o struct {
		Metadata metadata `json:"metadata"`
		Message  string   `json:"message"`
	}
	if err := decode(e.Object, "watch's object", &o); err != nil {
		return "", err
	}
	switch e.Type {
	case "ADDED", "MODIFIED", "DELETED":
		f.send(ctx, change{deleted: e.Type == "DELETED", objects: []json.RawMessage{e.Object}})
	case "BOOKMARK":
	case "ERROR":
		return "", fmt.Errorf("the API server ended the watch: %.200s", o.Message)
	default:
		return "", fmt.Errorf("an event of unknown type %.20q", e.Type)
	}
	return o.Metadata.ResourceVersion, nil
}

func (f follower) send(ctx context.Context, c change) {
	c.part = f.part
	select {
	case f.changes <- c:
	case <-ctx.Done():
	}
}
