package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// resource is one of the kinds that are watched.
type resource struct {
	kind string // as in manifests
	path string // of the collection, for kubectl get --raw
}

// reflector keeps up with one resource: it lists, watches from there, and does so
// again when the watch ends, breaks, falls silent or is too old.
type reflector struct {
	resource resource
	runner   *Runner
	query    url.Values // the selector
	timing   timing
	// keep takes what is needed of an object, whose memory is not kept.
	keep func(*object) kept
	// tell gets each change, in order.
	tell func(context.Context, change)
	seen atomic.Int64 // when the cluster last said anything, in Unix nanoseconds
}

// timing holds the limits of the watches; tests shorten them.
type timing struct {
	life    time.Duration // of one watch; the API server ends it then
	silence time.Duration // a watch that says nothing for so long is dead (bookmarks come every two minutes)
	stable  time.Duration // a watch that lived so long was a good one
	first   time.Duration // pause after the first failure; it doubles
	longest time.Duration // and this is its limit
	stale   time.Duration // out of reach for so long is told
	unfinal time.Duration // a release that is unfinished for so long is finished by whoever sees it
}

func usualTiming() timing {
	return timing{
		life: 9 * time.Minute, silence: 4 * time.Minute, stable: 10 * time.Second,
		first: 200 * time.Millisecond, longest: 10 * time.Second, stale: 10 * time.Second, unfinal: 10 * time.Second,
	}
}

// change is what a reflector tells: exactly one of the fields is set.
type change struct {
	resource resource
	listed   []kept // complete (non-nil, perhaps empty)
	one      *kept
	trouble  error // out of touch
}

// kept is what is remembered of one object. All of them are nil if it is gone, or none of ours.
type kept struct {
	name string
	pieces
}

var (
	errTooOld = errors.New("the watch is too old")
	errSilent = errors.New("the watch said nothing for too long")
)

// run follows the resource until ctx ends.
func (r *reflector) run(ctx context.Context) {
	version, pause := "", r.timing.first
	for ctx.Err() == nil {
		begun := time.Now()
		var err error
		if version == "" {
			version, err = r.list(ctx)
		}
		if err == nil {
			version, err = r.watch(ctx, version)
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) >= r.timing.stable {
			pause = r.timing.first
		}
		switch {
		case err == nil && time.Since(begun) >= r.timing.stable:
			continue // the API server ended it, as it was asked to
		case err != nil && !errors.Is(err, errTooOld):
			r.tell(ctx, change{resource: r.resource, trouble: err})
		}
		if !sleep(ctx, jitter(pause)) {
			return
		}
		pause = min(2*pause, r.timing.longest)
	}
}

// list reads the whole collection and returns its resource version.
func (r *reflector) list(ctx context.Context) (version string, err error) {
	all := []kept{}
	err = r.runner.Read(ctx, func(text io.Reader) error {
		var err error
		version, err = decodeList(text, func(o *object) {
			if k := r.keep(o); k.pieces != (pieces{}) {
				all = append(all, k)
			}
		})
		return err
	}, "get", "--raw", r.resource.path+"?"+r.query.Encode())
	if err != nil {
		return "", fmt.Errorf("list %s: %w", r.resource.path, err)
	}
	r.alive()
	r.tell(ctx, change{resource: r.resource, listed: all})
	return version, nil
}

// watch tells changes from version on and returns the version to go on from: "" after
// anything but an orderly end, so that a list makes good what may have been missed.
func (r *reflector) watch(ctx context.Context, version string) (string, error) {
	query := url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {version},
		"timeoutSeconds": {strconv.Itoa(int(max(r.timing.life/time.Second, 1)))},
	}
	for key, values := range r.query {
		query[key] = values
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(r.timing.silence, func() { cancel(errSilent) })
	defer silent.Stop()

	lines := 0
	err := r.runner.Stream(ctx, func(line []byte) error {
		lines++
		silent.Reset(r.timing.silence)
		next, err := r.event(ctx, line)
		if next != "" {
			version = next
		}
		return err
	}, "get", "--raw", r.resource.path+"?"+query.Encode())
	switch {
	case err != nil && ReasonOf(err) == Gone:
		return "", errTooOld
	case err != nil:
		return "", fmt.Errorf("watch %s: %w", r.resource.path, err)
	case lines == 0:
		// Not even a bookmark: the version may be from a future that never came, after
		// the cluster's own store was put back to an older state.
		return "", nil
	}
	return version, nil
}

// event takes one line of a watch (metav1.WatchEvent) and returns its resource version.
func (r *reflector) event(ctx context.Context, line []byte) (version string, err error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return "", nil
	}
	var e struct {
		Type   string `json:"type"`
		Object object `json:"object"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return "", fmt.Errorf("a line that is no event: %w", err)
	}
	o := &e.Object
	switch e.Type {
	case "ADDED", "MODIFIED":
		r.alive()
		k := r.keep(o)
		r.tell(ctx, change{resource: r.resource, one: &k})
	case "DELETED":
		r.alive()
		r.tell(ctx, change{resource: r.resource, one: &kept{name: o.Metadata.Name}})
	case "BOOKMARK":
		r.alive()
	case "ERROR":
		if o.Code == 410 || o.Reason == "Expired" || o.Reason == "Gone" {
			return "", errTooOld
		}
		return "", fmt.Errorf("the API server ended it: %s", words(o.Reason, o.Message))
	default:
		return "", fmt.Errorf("an event of unknown type %.20q", e.Type)
	}
	return o.Metadata.ResourceVersion, nil
}

func (r *reflector) alive() { r.seen.Store(time.Now().UnixNano()) }

// sleep waits for d and reports whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter spreads d by a quarter, so that three watches do not come back as one.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/4+1))
}

// follow runs all reflectors until ctx ends and all of them have ended.
func follow(ctx context.Context, all []*reflector) {
	var running sync.WaitGroup
	for _, r := range all {
		running.Go(func() { r.run(ctx) })
	}
	running.Wait()
}
