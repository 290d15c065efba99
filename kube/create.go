package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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

// create makes all documents with one kubectl and returns one error for each, nil for
// what was made. What failed for a passing reason (a quota that two replicas counted at
// once gives Conflict) is tried a second time.
func (c *Cluster) create(ctx context.Context, documents []document) []error {
	errs := c.createOnce(ctx, documents)
	var again []document
	var at []int
	for i, err := range errs {
		if reason := ReasonOf(err); err != nil && (reason == Conflict || reason == Busy) {
			again, at = append(again, documents[i]), append(at, i)
		}
	}
	if len(again) == 0 || !sleep(ctx, retryAfter) {
		return errs
	}
	for i, err := range c.createOnce(ctx, again) {
		errs[at[i]] = err
	}
	return errs
}

// createOnce asks for the names of what was made on standard output; kubectl goes on
// after a failure and complains of each on standard error. The documents were checked
// by a server-side dry run at the start, so kubectl need not fetch the API's schema.
func (c *Cluster) createOnce(ctx context.Context, documents []document) []error {
	var stdin bytes.Buffer
	for _, d := range documents {
		stdin.Write(d.json)
		stdin.WriteByte('\n')
	}
	out, err := c.o.Runner.Run(ctx, stdin.Bytes(), "create", "--filename=-", "--output=name", "--validate=false")
	made := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		made[strings.TrimSpace(line)] = true
	}
	errs := make([]error, len(documents))
	for i, d := range documents {
		if !made[d.argument()] {
			errs[i] = d.failure(err)
		}
	}
	return errs
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
					&Error{Program: e.Program, Args: e.Args, Stderr: c.message, Reason: c.reason, Err: e.Err})
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

// metadata of an object of user.
func (c *Cluster) metadata(user playground.User) fields {
	return fields{
		"name": user.Name(), "namespace": c.o.Namespace, "labels": c.labels(user.Name()),
		"annotations": fields{userNote: string(user), serviceNote: user.Name()},
	}
}

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
	for i := range claims {
		switch {
		case at[i] < 0, ReasonOf(made[at[i]]) == AlreadyExists:
			errs[i] = playground.ErrExists
		default:
			errs[i] = outOfReach(made[at[i]])
		}
	}
	return errs
}

func (c *Cluster) lease(each claim) document {
	return document{"Lease", each.user.Name(), manifest(fields{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": c.metadata(each.user),
		"spec": fields{"renewTime": microTime(each.at)},
	})}
}
