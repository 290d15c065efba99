package kube

import (
	"bytes"
	"context"
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
	version := "v1"
	if d.kind == "Lease" {
		version = "coordination.k8s.io/v1"
	}
	return manifest(fields{"apiVersion": version, "kind": d.kind, "metadata": fields{"name": d.name, "namespace": c.o.Namespace}})
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

// patchLeases makes the same change to many leases and returns their uids by name. One
// that is not there is neither an error nor made.
func (c *Cluster) patchLeases(ctx context.Context, names []string, change fields) (map[string]string, error) {
	uids := make(map[string]string, len(names))
	var failed error
	for some := range slices.Chunk(names, mostPatched) {
		var stdin bytes.Buffer
		for _, name := range some {
			stdin.Write(c.stub(document{kind: "Lease", name: name}))
			stdin.WriteByte('\n')
		}
		out, err := c.o.Runner.Run(ctx, stdin.Bytes(), "patch", "--filename=-", "--type=merge", "--patch="+string(manifest(change)),
			`--output=jsonpath={.metadata.name} {.metadata.uid}{"\n"}`)
		for line := range strings.Lines(string(out)) {
			if f := strings.Fields(line); len(f) == 2 {
				uids[f[0]] = f[1]
			}
		}
		if err != nil && !onlyNotFound(err) {
			failed = fmt.Errorf("patch %d leases: %w", len(some), err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return uids, failed
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

// Mark writes the reaper's mark into db's lease.
func (c *Cluster) Mark(ctx context.Context, db playground.Database, at time.Time) (playground.Database, error) {
	version, err := c.patchRecord(ctx, db, fields{markedNote: microTime(at)})
	if err != nil {
		return db, err
	}
	db.Record, db.Marked = version, at
	return db, nil
}

// Release writes the release into db's lease, with the uid of the pod, and then deletes
// that pod. From the first step on it is done: should the second fail, whoever sees it
// finishes it (see [Cluster.Watch]).
func (c *Cluster) Release(ctx context.Context, db playground.Database, at time.Time) error {
	_, err := c.patchRecord(ctx, db, fields{markedNote: nil, releasedNote: microTime(at), releasedPodNote: db.Pod.UID})
	if err != nil {
		return err
	}
	if db.Pod.UID == "" {
		return nil
	}
	if err := c.deleteExactly(ctx, c.pods(), db.User.Name(), db.Pod.UID); err != nil {
		c.o.Log.WithError(err).WithField("user", db.User.String()).Warn("the pod of a released database is not deleted yet")
	}
	return nil
}

// patchRecord annotates the lease if it is still at db.Record.
func (c *Cluster) patchRecord(ctx context.Context, db playground.Database, notes fields) (playground.Version, error) {
	if db.Record == (playground.Version{}) {
		return db.Record, playground.ErrConflict
	}
	c.fresh.take(db.User.Name())
	version, err := c.patch(ctx, document{kind: "Lease", name: db.User.Name()}, fields{"metadata": fields{
		"resourceVersion": db.Record.Resource, "annotations": notes,
	}})
	switch ReasonOf(err) {
	case Conflict, NotFound:
		return db.Record, playground.ErrConflict
	}
	return version, outOfReach(err)
}

// Stop deletes db's pod.
func (c *Cluster) Stop(ctx context.Context, db playground.Database) error {
	if db.Pod.UID == "" {
		return nil
	}
	return outOfReach(c.deleteExactly(ctx, c.pods(), db.User.Name(), db.Pod.UID))
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

// Remove deletes all of user that carries our labels, the lease first.
func (c *Cluster) Remove(ctx context.Context, user playground.User) error {
	c.fresh.take(user.Name())
	_, err := c.o.Runner.Run(ctx, nil, "delete", "leases.coordination.k8s.io,pods,services", "--wait=false", "--ignore-not-found", "--output=name",
		"--namespace="+c.o.Namespace, "--selector="+managerLabel+"="+managerName+","+databaseLabel+"="+user.Name())
	if err != nil {
		return outOfReach(fmt.Errorf("remove %s: %w", user.Name(), err))
	}
	return nil
}
