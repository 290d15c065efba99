package kube

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// mostPatched is how many leases one kubectl patches. Three hundred take it a second.
const mostPatched = 500

// stub is just enough of an object for kubectl to know which one is meant. Objects are
// named on standard input and not in arguments, because kubectl asks for each named in
// an argument first, and after the first ten only five times a second.
func (c *Cluster) stub(d document) []byte {
	return manifest(fields{"apiVersion": apiVersion(d.kind), "kind": d.kind, "metadata": fields{"name": d.name, "namespace": c.o.Namespace}})
}

// patch changes one object and returns its new version.
func (c *Cluster) patch(ctx context.Context, d document, change fields) (playground.Version, error) {
	text, err := c.o.Runner.Run(ctx, c.stub(d), "patch", "--filename=-", "--type=merge", "--output=json", "--patch="+string(manifest(change)))
	if err != nil {
		return playground.Version{}, fmt.Errorf("patch %s: %w", d.argument(), err)
	}
	all, err := decodeObjects(bytes.NewReader(text))
	if err != nil || len(all) != 1 {
		return playground.Version{}, fmt.Errorf("patch %s: kubectl printed %d objects: %w", d.argument(), len(all), err)
	}
	return all[0].version(), nil
}

// patchLeases makes the same change to many leases and returns what they say, by name.
// One that is not there is neither an error nor made.
func (c *Cluster) patchLeases(ctx context.Context, names []string, change fields) (map[string]home, error) {
	there := make(map[string]home, len(names))
	var failed error
	for some := range slices.Chunk(names, mostPatched) {
		var stdin bytes.Buffer
		for _, name := range some {
			stdin.Write(c.stub(document{kind: "Lease", name: name}))
			stdin.WriteByte('\n')
		}
		out, err := c.o.Runner.Run(ctx, stdin.Bytes(), "patch", "--filename=-", "--type=merge", "--patch="+string(manifest(change)),
			`--output=jsonpath={.metadata.name} {.metadata.uid} {.metadata.annotations.sqlflow\.org/service}{"\n"}`)
		for line := range strings.Lines(string(out)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			h := home{record: f[1], place: f[0]}
			if len(f) > 2 && isSpare(f[2]) {
				h.place = f[2]
			}
			there[f[0]] = h
		}
		if err != nil && !onlyNotFound(err) {
			failed = fmt.Errorf("patch %d leases: %w", len(some), err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return there, failed
}

func onlyNotFound(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Reason != NotFound {
		return false
	}
	for _, c := range complaints(e.Stderr) {
		if c.reason != NotFound || c.aboutNone() {
			return false
		}
	}
	return true
}

// Touch writes the last use into the leases of users.
func (c *Cluster) Touch(ctx context.Context, at time.Time, users []playground.User) error {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = user.Name()
	}
	_, err := c.patchLeases(ctx, names, fields{
		"metadata": fields{"annotations": fields{markedNote: nil}},
		"spec":     fields{"renewTime": microTime(at)},
	})
	return outOfReach(err)
}

// Reclaim takes the release out of the user's lease.
func (c *Cluster) Reclaim(ctx context.Context, user playground.User) error {
	return c.reclaims.do(ctx, user)
}

func (c *Cluster) reclaimAll(ctx context.Context, users []playground.User) []error {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = user.Name()
	}
	there, err := c.patchLeases(ctx, names, c.unrelease())
	errs := make([]error, len(users))
	for i, name := range names {
		if _, ok := there[name]; ok {
			continue
		}
		if errs[i] = outOfReach(err); err == nil {
			errs[i] = playground.ErrNoRecord
		}
	}
	return errs
}

// unrelease is the change that takes a lease back from whoever marked or released it.
func (c *Cluster) unrelease() fields {
	return fields{
		"metadata": fields{"annotations": fields{markedNote: nil, releasedNote: nil, releasedPodNote: nil}},
		"spec":     fields{"renewTime": microTime(c.o.Now())},
	}
}

// taking is a database that a reaper marks or releases at a moment.
type taking struct {
	db playground.Database
	at time.Time
}

// Mark writes the reaper's mark into db's lease.
func (c *Cluster) Mark(ctx context.Context, db playground.Database, at time.Time) error {
	return c.marks.do(ctx, taking{db, at})
}

func (c *Cluster) markAll(ctx context.Context, all []taking) []error {
	return c.applyRecords(ctx, all, func(t taking) fields { return fields{markedNote: microTime(t.at)} })
}

// Release writes the release into db's lease, with the uid of the pod, and then deletes
// that pod. From the first step on it is done: should the second fail, whoever sees it
// finishes it (see [Cluster.Watch]).
func (c *Cluster) Release(ctx context.Context, db playground.Database, at time.Time) error {
	return c.releases.do(ctx, taking{db, at})
}

func (c *Cluster) releaseAll(ctx context.Context, all []taking) []error {
	errs := c.applyRecords(ctx, all, func(t taking) fields {
		return fields{releasedNote: microTime(t.at), releasedPodNote: t.db.Pod.UID}
	})
	var pods []playground.Database
	for i, t := range all {
		if errs[i] == nil && t.db.Pod.UID != "" {
			pods = append(pods, t.db)
		}
	}
	if err := c.deletePods(ctx, pods); err != nil {
		c.o.Log.WithError(err).WithField("databases", len(pods)).Warn("the pods of released databases are not all deleted yet")
	}
	return errs
}

// applyRecords annotates the leases that are still at their db.Record.
func (c *Cluster) applyRecords(ctx context.Context, all []taking, notes func(taking) fields) []error {
	errs := make([]error, len(all))
	var changes []application
	var at []int
	for i, t := range all {
		if t.db.Record == (playground.Version{}) {
			errs[i] = playground.ErrConflict
			continue
		}
		c.fresh.take(t.db.User.Name())
		changes = append(changes, application{kind: "Lease", name: t.db.User.Name(), version: t.db.Record, annotations: notes(t)})
		at = append(at, i)
	}
	if len(changes) == 0 {
		return errs
	}
	for n, err := range c.apply(ctx, reaperManager, changes) {
		errs[at[n]] = err
	}
	return errs
}

// fewPods are deleted one by one; more are labelled first, so that two kubectl do for all.
const fewPods = 2

// deletePods deletes exactly the pods that all name.
func (c *Cluster) deletePods(ctx context.Context, all []playground.Database) error {
	if len(all) <= fewPods {
		var errs []error
		for _, db := range all {
			errs = append(errs, c.deleteExactly(ctx, c.pods(), db.Place, db.Pod.UID))
		}
		return errors.Join(errs...)
	}
	// Deleting by name alone might hit a pod that somebody made anew meanwhile; the
	// label is only on those whose uid was right.
	batch := rand.Text()
	var labels []application
	for _, db := range all {
		labels = append(labels, application{kind: "Pod", name: db.Place, version: playground.Version{UID: db.Pod.UID}, labels: fields{leavingLabel: batch}})
	}
	var failed error
	for _, err := range c.apply(ctx, reaperManager, labels) {
		if err != nil && !errors.Is(err, playground.ErrConflict) { // gone already
			failed = err
		}
	}
	_, err := c.o.Runner.Run(ctx, nil, "delete", "pods", "--wait=false", "--ignore-not-found", "--output=name",
		"--namespace="+c.o.Namespace, "--selector="+leavingLabel+"="+batch)
	if err != nil {
		failed = fmt.Errorf("delete %d pods: %w", len(all), err)
	}
	return failed
}

// Stop deletes db's pod.
func (c *Cluster) Stop(ctx context.Context, db playground.Database) error {
	if db.Pod.UID == "" {
		return nil
	}
	return outOfReach(c.deleteExactly(ctx, c.pods(), db.Place, db.Pod.UID))
}

// deleteExactly deletes the object with that name and uid; no error if there is none.
func (c *Cluster) deleteExactly(ctx context.Context, where resource, name, uid string) error {
	options := manifest(fields{"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": fields{"uid": uid}})
	_, err := c.o.Runner.Run(ctx, options, "delete", "--raw", where.path+"/"+name, "--filename=-")
	switch ReasonOf(err) {
	case NotFound, Conflict: // gone, or another one by now
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete the %s %s: %w", strings.ToLower(where.kind), name, err)
	}
	return nil
}
