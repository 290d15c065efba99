package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/templates"
)

// Start creates the user's pod and service, or adopts what is there and ours.
func (c *Cluster) Start(ctx context.Context, user playground.User) error {
	return c.starts.do(ctx, user)
}

// startAll makes the databases of all users with one kubectl, if none of them needs
// more: a release taken back, or a look at what is there already. Those who come until
// kubectl reads go along if they need nothing but to be made.
func (c *Cluster) startAll(ctx context.Context, users []playground.User, more more[playground.User]) []error {
	errs := make([]error, len(users))
	homes, err := c.homes(ctx, users)
	if err != nil {
		for i := range errs {
			errs[i] = outOfReach(err)
		}
		return errs
	}
	c.moveIn(ctx, homes)
	var going, counts []int // those with documents, and how many
	render := func(i int) []document {
		made, err := c.manifests(users[i], homes[users[i]])
		if err != nil {
			errs[i] = refused("the templates do not fit this user: "+err.Error(), nil)
			return nil
		}
		going, counts = append(going, i), append(counts, len(made))
		return made
	}
	var documents []document
	for i, user := range users {
		if h := homes[user]; h.taken || h.err != nil {
			errs[i] = h.err
			continue
		}
		documents = append(documents, render(i)...)
	}
	if len(going) == 0 {
		return errs
	}
	made := c.createWith(ctx, documents, func() (all []document) {
		late := more(func(user playground.User) bool { return c.goesAlong(user, homes) })
		users, errs = append(users, late...), append(errs, make([]error, len(late))...)
		for i := len(users) - len(late); i < len(users); i++ {
			all = append(all, render(i)...)
		}
		return all
	})
	var looking sync.WaitGroup
	for n, i := range going {
		mine := make(map[string]error)
		for _, m := range made[:counts[n]] {
			mine[m.kind] = m.err
		}
		made = made[counts[n]:]
		looking.Go(func() { errs[i] = c.settle(ctx, users[i], homes[users[i]], mine) })
	}
	looking.Wait()
	return errs
}

// homes says where each user's database stands or is to stand, and what is in the way.
// Records that have a release or a mark, or may have one as far as is known here, lose
// it, and that counts as a use.
func (c *Cluster) homes(ctx context.Context, users []playground.User) (map[playground.User]*home, error) {
	homes := make(map[playground.User]*home)
	var unsure []string
	for _, user := range users {
		name := user.Name()
		p, synced := c.view.database(name)
		h := &home{place: name}
		homes[user] = h
		known, isKnown := c.known(user)
		c.fresh.take(name)
		switch {
		case c.o.Storage != "" && !synced:
			h.err = &playground.Error{Code: playground.Unavailable, Message: "it is not known at the moment what data the user has"}
		case p.volume != nil && p.volume.leaving:
			h.err = playground.ErrLeaving
		case p.unfinishedRelease():
			h.err = c.finishRelease(ctx, p.record.place, p.pod.version.UID) // first
		case isKnown:
			*h = known
		default:
			unsure = append(unsure, name)
		}
	}
	if len(unsure) == 0 {
		return homes, nil
	}
	there, err := c.patchLeases(ctx, unsure, c.unrelease())
	for user, h := range homes {
		found, ok := there[user.Name()]
		switch {
		case ok:
			h.record, h.place = found.record, found.place
		case h.record == "" && h.err == nil:
			h.err = playground.ErrNoRecord
		}
	}
	return homes, err
}

// known is the home of user if it can be told without asking the cluster, and nothing is
// in the way.
func (c *Cluster) known(user playground.User) (h home, ok bool) {
	fresh, isFresh := c.fresh.get(user.Name())
	p, synced := c.view.database(user.Name())
	switch {
	case c.o.Storage != "" && !synced, p.volume != nil && p.volume.leaving, p.unfinishedRelease():
		return home{}, false
	case synced && p.record != nil && p.record.released.IsZero() && p.record.marked.IsZero():
		return home{record: p.record.version.UID, place: p.record.place}, true
	case isFresh && (!synced || p.record == nil):
		return home{record: fresh.record, place: fresh.place}, true
	}
	return home{}, false
}

// goesAlong adds the home of user to homes if nothing but objects must be made for it.
func (c *Cluster) goesAlong(user playground.User, homes map[playground.User]*home) bool {
	h, ok := c.known(user)
	if !ok || homes[user] != nil || isSpare(h.place) {
		return false
	}
	c.fresh.take(user.Name())
	homes[user] = &h
	return true
}

// volumeFor names the claim that user's pod is to mount, and says whether it must be
// made: a user's old one is used again. It is "" without storage.
func (c *Cluster) volumeFor(user playground.User, place string) (name string, isNew bool) {
	if c.o.Storage == "" {
		return "", false
	}
	if p, _ := c.view.database(user.Name()); user != "" && p.volume != nil {
		return p.volume.name, false
	}
	return place, true
}

// manifests are the objects of user's home, in the order in which they are best made:
// the service last, for it is the quickest. Pod and service are owned by the record, so
// that Kubernetes deletes them should the record go; the volume's data outlives it. User
// "" is nobody: what is made ahead belongs to no record.
func (c *Cluster) manifests(user playground.User, h *home) ([]document, error) {
	d, isNew := c.objects(user, h.place)
	var all []document
	for _, each := range []struct {
		kind   string
		wanted bool
		render func(templates.Database) ([]byte, error)
	}{
		{"PersistentVolumeClaim", isNew, c.o.Templates.Volume},
		{"Pod", true, c.o.Templates.Pod},
		{"Service", true, c.o.Templates.Service},
	} {
		if !each.wanted {
			continue
		}
		text, err := each.render(d)
		if err == nil && user != "" && each.kind != "PersistentVolumeClaim" {
			text, err = owned(text, user.Name(), h.record)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, document{each.kind, h.place, text})
	}
	return all, nil
}

// owned adds the reference to the owner, which is no business of the templates.
func owned(manifestText []byte, name, record string) ([]byte, error) {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(manifestText, &o); err != nil {
		return nil, err
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(o["metadata"], &metadata); err != nil {
		return nil, err
	}
	metadata["ownerReferences"] = manifest(ownerReferences(name, record))
	o["metadata"] = manifest(metadata)
	return manifest(o), nil
}

func ownerReferences(name, record string) []fields {
	return []fields{{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": name, "uid": record}}
}

// objects is what the templates get to know, and whether the volume is to be made too.
func (c *Cluster) objects(user playground.User, place string) (_ templates.Database, newVolume bool) {
	labels := maps.Clone(c.labels(place))
	labels[templateLabel] = c.hash
	annotations := map[string]string{}
	if user == "" {
		labels[poolLabel] = poolSpare
	} else {
		annotations[userNote] = string(user)
	}
	volume, newVolume := c.volumeFor(user, place)
	return templates.Database{
		Name: place, Namespace: c.o.Namespace, User: string(user), Image: c.o.Image, Labels: labels,
		Annotations: annotations,
		Selector:    map[string]string{databaseLabel: place},
		VolumeClaim: volume, Storage: c.o.Storage, StorageClass: c.o.StorageClass,
	}, newVolume
}

// settle makes one answer of what became of the objects of a user's home, by kind.
func (c *Cluster) settle(ctx context.Context, user playground.User, h *home, made map[string]error) error {
	exists := func(kind string) bool { return ReasonOf(made[kind]) == AlreadyExists }
	if exists("Pod") && strings.Contains(firstWords(made["Pod"]), "object is being deleted") {
		return playground.ErrLeaving
	}
	for _, kind := range []string{"Pod", "Service", "PersistentVolumeClaim"} {
		if made[kind] != nil && !exists(kind) {
			return outOfReach(made[kind])
		}
	}
	if !exists("Pod") && !exists("Service") && !exists("PersistentVolumeClaim") {
		return nil
	}
	p, synced := c.view.database(user.Name())
	if !exists("Pod") && !exists("PersistentVolumeClaim") && synced && p.service != nil && p.service.owner == h.record {
		return nil // its address was kept, as it should be
	}
	there, err := c.read(ctx, user)
	if err != nil {
		return outOfReach(err)
	}
	if exists("PersistentVolumeClaim") && !c.isOurs(there.volume, user) {
		return c.foreign("persistent volume claim", user, h)
	}
	if exists("Service") {
		if err := c.joinService(ctx, user, h, there.service); err != nil {
			return err
		}
	}
	if exists("Pod") {
		return c.join(ctx, user, h, there)
	}
	return nil
}

// joinService takes the service that is there, unless it is an earlier record's.
func (c *Cluster) joinService(ctx context.Context, user playground.User, h *home, there *object) error {
	switch {
	case there == nil:
		return playground.ErrLeaving
	case !c.isOurs(there, user):
		return c.foreign("service", user, h)
	case there.owner() != "" && there.owner() != h.record:
		return c.hasten(ctx, c.services(), h.place, there.Metadata.UID)
	}
	return nil
}

// join takes what stands in the pod's place. It deletes only what is lost already.
func (c *Cluster) join(ctx context.Context, user playground.User, h *home, there found) error {
	ours := there.ours(c, user)
	switch {
	case there.pod == nil, !there.pod.Metadata.DeletionTimestamp.IsZero():
		return playground.ErrLeaving
	case ours.unfinishedRelease():
		return c.finishRelease(ctx, h.place, ours.pod.version.UID)
	case ours.pod != nil && ours.pod.owner != "" && ours.pod.owner != h.record:
		return c.hasten(ctx, c.pods(), h.place, ours.pod.version.UID)
	case ours.pod != nil:
		return nil
	case c.isOriginal(there.pod):
		return c.label(ctx, user, there.pod, h.record)
	}
	return c.foreign("pod", user, h)
}

// hasten deletes what belongs to an earlier record of the name, as Kubernetes' garbage
// collector is about to.
func (c *Cluster) hasten(ctx context.Context, where resource, name, uid string) error {
	if err := c.deleteExactly(ctx, where, name, uid); err != nil {
		return outOfReach(err)
	}
	return playground.ErrLeaving
}

func (c *Cluster) foreign(what string, user playground.User, h *home) error {
	c.o.Log.WithField("user", user.String()).Warnf("the %s %s is not the playground's; it is left alone", what, h.place)
	return refused(fmt.Sprintf("a %s named %s that is not the playground's is in the way", what, h.place), nil)
}

// finishRelease deletes a pod that the record gave up, and says that it is leaving.
func (c *Cluster) finishRelease(ctx context.Context, name, uid string) error {
	if err := c.deleteExactly(ctx, c.pods(), name, uid); err != nil {
		return outOfReach(err)
	}
	return playground.ErrLeaving
}
