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
	uid string
	err error
}

// create makes all documents with one kubectl. What failed for a passing reason (a quota
// that two replicas counted at once gives Conflict) is tried a second time.
func (c *Cluster) create(ctx context.Context, documents []document) []made {
	all := c.createOnce(ctx, documents)
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
	for i, m := range c.createOnce(ctx, again) {
		all[at[i]] = m
	}
	return all
}

// createOnce has kubectl print kind, name and uid of what was made; it goes on after a
// failure and complains of each on standard error. The documents were checked by a
// server-side dry run at the start, so kubectl need not fetch the API's schema.
func (c *Cluster) createOnce(ctx context.Context, documents []document) []made {
	var stdin bytes.Buffer
	for _, d := range documents {
		stdin.Write(d.json)
		stdin.WriteByte('\n')
	}
	out, err := c.o.Runner.Run(ctx, stdin.Bytes(), "create", "--filename=-", "--validate=false",
		`--output=jsonpath={.kind} {.metadata.name} {.metadata.uid}{"\n"}`)
	uids := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasSuffix(line, "\n") {
			uids[f[0]+" "+f[1]] = f[2]
		}
	}
	all := make([]made, len(documents))
	for i, d := range documents {
		if uid, ok := uids[d.kind+" "+d.name]; ok {
			all[i].uid = uid
		} else {
			all[i].err = d.failure(err)
		}
	}
	return all
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
	user playground.User
	at   time.Time
}

// Claim creates the user's Lease.
func (c *Cluster) Claim(ctx context.Context, user playground.User, at time.Time) error {
	return c.claims.do(ctx, claim{user, at})
}

func (c *Cluster) claimAll(ctx context.Context, claims []claim) []error {
	var documents []document
	at := make([]int, len(claims))
	seen := make(map[playground.User]bool)
	for i, each := range claims {
		if seen[each.user] {
			at[i] = -1 // the same user twice in one batch: the second comes too late
			continue
		}
		seen[each.user] = true
		at[i] = len(documents)
		documents = append(documents, c.lease(each))
	}
	made := c.create(ctx, documents)
	errs := make([]error, len(claims))
	for i, each := range claims {
		switch {
		case at[i] < 0, ReasonOf(made[at[i]].err) == AlreadyExists:
			errs[i] = playground.ErrExists
		case made[at[i]].err != nil:
			errs[i] = outOfReach(made[at[i]].err)
		default:
			c.fresh.put(each.user.Name(), made[at[i]].uid)
		}
	}
	return errs
}

func (c *Cluster) lease(each claim) document {
	return document{"Lease", each.user.Name(), manifest(fields{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": fields{
			"name": each.user.Name(), "namespace": c.o.Namespace, "labels": c.labels(each.user.Name()),
			"annotations": fields{userNote: string(each.user), serviceNote: each.user.Name()},
		},
		"spec": fields{"renewTime": microTime(each.at)},
	})}
}

// fresh remembers the uids of records that this replica just made, until the watch has
// told of them or they are changed.
type fresh struct {
	mu   sync.Mutex
	uids map[string]string
}

func (f *fresh) put(name, uid string) {
	const most = 10_000 // claims that nobody started; forgetting one costs a look at the cluster
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.uids == nil || len(f.uids) >= most {
		f.uids = make(map[string]string)
	}
	f.uids[name] = uid
}

// take returns and forgets the uid; "" if there is none.
func (f *fresh) take(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	uid := f.uids[name]
	delete(f.uids, name)
	return uid
}
