package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// document is one object to make.
type document struct {
	kind, name string
	json       []byte
}

// retryAfter is the pause before what the API server was too busy for is tried again.
const retryAfter = 200 * time.Millisecond

// made is what became of one document: a uid or an error.
type made struct {
	kind, uid string
	err       error
}

// create makes all documents with one kubectl. What failed for a passing reason (a quota
// that two replicas counted at once gives Conflict) is tried a second time.
func (c *Cluster) create(ctx context.Context, documents []document) []made {
	return c.createWith(ctx, documents, nil)
}

// createWith also makes the documents of more, which is called, at most once, when kubectl
// is about to read. What became of them is told after the others.
func (c *Cluster) createWith(ctx context.Context, documents []document, more func() []document) []made {
	documents, all := c.createOnce(ctx, documents, more)
	var again []document
	var at []int
	for i, m := range all {
		if reason := ReasonOf(m.err); m.err != nil && (reason == Conflict || reason == Busy) {
			again, at = append(again, documents[i]), append(at, i)
		}
	}
	if len(again) == 0 || !sleep(ctx, retryAfter) {
		return all
	}
	_, second := c.createOnce(ctx, again, nil)
	for i, m := range second {
		all[at[i]] = m
	}
	return all
}

// createOnce has kubectl print kind, name and uid of what was made; it goes on after a
// failure and complains of each on standard error. The documents were checked by a
// server-side dry run at the start, so kubectl need not fetch the API's schema. It
// returns all documents that there were in the end.
func (c *Cluster) createOnce(ctx context.Context, documents []document, more func() []document) ([]document, []made) {
	args := []string{"create", "--filename=-", "--validate=false",
		`--output=jsonpath={.kind} {.metadata.name} {.metadata.uid}{"\n"}`}
	var out []byte
	var err error
	if more == nil {
		out, err = c.o.Runner.Run(ctx, text(documents), args...)
	} else {
		out, err = c.o.Runner.RunLate(ctx, func() []byte {
			documents = append(documents, more()...)
			return text(documents)
		}, args...)
	}
	uids := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasSuffix(line, "\n") {
			uids[f[0]+" "+f[1]] = f[2]
		}
	}
	all := make([]made, len(documents))
	for i, d := range documents {
		all[i].kind = d.kind
		if uid, ok := uids[d.kind+" "+d.name]; ok {
			all[i].uid = uid
		} else {
			all[i].err = d.failure(err)
		}
	}
	return documents, all
}

// text is what kubectl reads.
func text(documents []document) []byte {
	var all bytes.Buffer
	for _, d := range documents {
		all.Write(d.json)
		all.WriteByte('\n')
	}
	return all.Bytes()
}

// argument is how kubectl names the object.
func (d document) argument() string {
	if d.kind == "Lease" {
		return "lease.coordination.k8s.io/" + d.name
	}
	return strings.ToLower(d.kind) + "/" + d.name
}

// failure finds in a run's error what it says of d.
func (d document) failure(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		if err == nil {
			err = errors.New("kubectl ended well and did not name it")
		}
		return fmt.Errorf("create %s: %w", d.argument(), err)
	}
	all := complaints(e.Stderr)
	for _, about := range []func(complaint) bool{
		func(c complaint) bool { return c.aboutObject(d.kind, d.name) },
		func(c complaint) bool { return c.aboutNone() && c.mayConcern(d.kind) },
	} {
		for _, c := range all {
			if about(c) {
				return fmt.Errorf("create %s: %w", d.argument(),
					&Error{Program: e.Program, Args: e.Args, Stderr: c.message, Reason: c.reason, Message: c.message, Err: e.Err})
			}
		}
	}
	if e.Reason != Timeout && e.Reason != Canceled {
		// It died, or complained of others only: whether d was made is not known.
		e = &Error{Program: e.Program, Args: e.Args, Stderr: e.Stderr, Reason: Other, Err: e.Err}
	}
	return fmt.Errorf("create %s: %w", d.argument(), e)
}

// manifest is the JSON of an object that is no template of the maintainer's.
func manifest(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // maps and strings only
	}
	return text
}

type fields map[string]any

// claim is one record to make.
type claim struct {
	user   playground.User
	client string
	at     time.Time
}

// Claim creates the user's Lease.
func (c *Cluster) Claim(ctx context.Context, user playground.User, client string, at time.Time) error {
	return c.claims.do(ctx, claim{user, client, at})
}

func (c *Cluster) claimAll(ctx context.Context, claims []claim, more more[claim]) []error {
	var at []int // of each claim's document
	var places []string
	seen := make(map[playground.User]bool)
	documents := 0
	records := func(claims []claim) (all []document) {
		for _, each := range claims {
			if seen[each.user] {
				at, places = append(at, -1), append(places, "") // the same user twice: the second comes too late
				continue
			}
			seen[each.user] = true
			place := c.pick(each.user)
			if place == "" {
				place = each.user.Name()
			}
			at, places = append(at, documents), append(places, place)
			all = append(all, c.lease(each, place))
			documents++
		}
		return all
	}
	made := c.createWith(ctx, records(claims), func() []document {
		late := more(func(claim) bool { return true })
		claims = append(claims, late...)
		return records(late)
	})
	errs := make([]error, len(claims))
	for i, each := range claims {
		switch {
		case at[i] < 0:
			errs[i] = playground.ErrExists
		case made[at[i]].err == nil:
			c.fresh.put(each.user.Name(), home{record: made[at[i]].uid, place: places[i]})
		case ReasonOf(made[at[i]].err) == AlreadyExists:
			c.promises.breach(places[i])
			errs[i] = playground.ErrExists
		default: // it may have been made all the same: the promise lapses by itself
			errs[i] = outOfReach(made[at[i]].err)
		}
	}
	return errs
}

func (c *Cluster) lease(each claim, place string) document {
	notes := fields{userNote: string(each.user), serviceNote: place}
	if each.client != "" {
		notes[clientNote] = each.client
	}
	return document{"Lease", each.user.Name(), manifest(fields{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": fields{
			"name": each.user.Name(), "namespace": c.o.Namespace, "labels": c.labels(each.user.Name()),
			"annotations": notes,
		},
		"spec": fields{"renewTime": microTime(each.at)},
	})}
}

// home is where a user's database is to stand.
type home struct {
	record string // uid of the user's record; "" if there is none
	place  string // the name of pod and service
	taken  bool   // it was made ahead and is complete
	err    error
}

// fresh remembers the records that this replica just made, until the watch has told of
// them or they are changed.
type fresh struct {
	mu    sync.Mutex
	homes map[string]home
}

func (f *fresh) put(name string, h home) {
	const most = 10_000 // claims that nobody started; forgetting one costs a look at the cluster
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.homes == nil || len(f.homes) >= most {
		f.homes = make(map[string]home)
	}
	f.homes[name] = h
}

func (f *fresh) get(name string) (home, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.homes[name]
	return h, ok
}

// take returns and forgets it.
func (f *fresh) take(name string) (home, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.homes[name]
	delete(f.homes, name)
	return h, ok
}
