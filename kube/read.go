package kube

import (
	"bytes"
	"context"
	"fmt"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Get reads the objects of user past the view.
func (c *Cluster) Get(ctx context.Context, user playground.User) (playground.Database, error) {
	f, err := c.read(ctx, user)
	if err != nil {
		return playground.Database{}, outOfReach(err)
	}
	db := c.view.compose(user.Name(), f.ours(c, user))
	db.User = user
	return db, nil
}

// found are the objects of a database as they are now, whoever made them.
type found struct{ lease, service, pod, volume *object }

// read gets the objects of user. Where they stand is in the record: the view mostly
// knows it, and where it was wrong they are read once more.
func (c *Cluster) read(ctx context.Context, user playground.User) (found, error) {
	name := user.Name()
	place := c.placeOf(user)
	f, err := c.readAt(ctx, name, place)
	if err != nil || !c.isOurs(f.lease, user) {
		return f, err
	}
	if is := recordOf(f.lease, user).place; is != place {
		return c.readAt(ctx, name, is)
	}
	return f, nil
}

// placeOf is where the database of user stands as far as is known here.
func (c *Cluster) placeOf(user playground.User) string {
	if p, _ := c.view.database(user.Name()); p.record != nil {
		return p.record.place
	}
	if h, ok := c.fresh.get(user.Name()); ok {
		return h.place
	}
	return user.Name()
}

// readAt reads the objects of one name, where they stand.
func (c *Cluster) readAt(ctx context.Context, name, place string) (found, error) {
	var f found
	if err := c.reads.do(ctx, reading{name, place, &f}); err != nil {
		return found{}, fmt.Errorf("read the objects of %s: %w", name, err)
	}
	return f, nil
}

// reading is what is to be read: the record of a name, and what stands at its place.
// The answer goes to into.
type reading struct {
	name, place string
	into        *found
}

// readAll reads for all of them with one kubectl, the records last: that order cannot show
// a pod gone and its release not yet.
func (c *Cluster) readAll(ctx context.Context, readings []reading) []error {
	var asked []document
	ask := func(kind, name string) {
		d := document{kind: kind, name: name}
		d.json = c.stub(d)
		asked = append(asked, d)
	}
	for _, r := range readings {
		ask("Pod", r.place)
		ask("Service", r.place)
		if c.o.Storage != "" {
			ask("PersistentVolumeClaim", r.place)
		}
	}
	for _, r := range readings {
		ask("Lease", r.name)
	}
	errs := make([]error, len(readings))
	out, err := c.o.Runner.Run(ctx, text(asked), "get", "--filename=-", "--ignore-not-found", "--output=json")
	var all []*object
	if err == nil {
		all, err = decodeObjects(bytes.NewReader(out))
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	type key struct{ kind, name string }
	there := make(map[key]*object, len(all))
	for _, o := range all {
		there[key{o.Kind, o.Metadata.Name}] = o
	}
	for _, r := range readings {
		*r.into = found{
			lease: there[key{"Lease", r.name}], service: there[key{"Service", r.place}],
			pod: there[key{"Pod", r.place}], volume: there[key{"PersistentVolumeClaim", r.place}],
		}
	}
	return errs
}

// ours keeps of f what belongs to user.
func (f found) ours(c *Cluster, user playground.User) pieces {
	var p pieces
	if c.isOurs(f.lease, user) {
		p.record = recordOf(f.lease, user)
	}
	if c.isOurs(f.service, user) {
		p.service = serviceOf(f.service, user)
	}
	if c.isOurs(f.pod, user) || p.service != nil && c.isOurs(f.pod, "") {
		p.pod = c.keepPod(f.pod, user).pod
	}
	if c.isOurs(f.volume, user) || p.service != nil && c.isOurs(f.volume, "") {
		p.volume = volumeOf(f.volume, user)
	} else if known, _ := c.view.database(user.Name()); known.volume != nil {
		p.volume = known.volume // one from the pool, under a name of its own
	}
	return p
}
