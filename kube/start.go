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
// more: a release taken back, or a look at what is there already.
func (c *Cluster) startAll(ctx context.Context, users []playground.User) []error {
	errs := make([]error, len(users))
	owners, err := c.owners(ctx, users)
	if err != nil {
		for i := range errs {
			errs[i] = outOfReach(err)
		}
		return errs
	}
	var documents []document
	var going []int // those without an error yet
	for i, user := range users {
		t, _ := c.view.get(user.Name())
		if t.unfinishedRelease() {
			errs[i] = c.finishRelease(ctx, user.Name(), t.pod.version.UID)
			continue
		}
		if owners[user] == "" {
			errs[i] = playground.ErrNoRecord
			continue
		}
		pod, service, err := c.manifests(user, owners[user])
		if err != nil {
			errs[i] = refused("the templates do not fit this user: "+err.Error(), nil)
			continue
		}
		documents = append(documents, pod, service) // the pod first: it takes longer
		going = append(going, i)
	}
	if len(going) == 0 {
		return errs
	}
	made := c.create(ctx, documents)
	var looking sync.WaitGroup
	for n, i := range going {
		pod, service := made[2*n].err, made[2*n+1].err
		looking.Go(func() { errs[i] = c.settle(ctx, users[i], owners[users[i]], pod, service) })
	}
	looking.Wait()
	return errs
}

// owners gives the uid of each user's record, "" where there is none. Records that have a
// release or a mark, or may have one as far as is known here, lose it, and that counts as
// a use.
func (c *Cluster) owners(ctx context.Context, users []playground.User) (map[playground.User]string, error) {
	uids := make(map[playground.User]string)
	var unsure []string
	for _, user := range users {
		name := user.Name()
		fresh := c.fresh.take(name)
		t, synced := c.view.get(name)
		switch {
		case t.unfinishedRelease(): // it is finished first
		case synced && t.record != nil && t.record.released.IsZero() && t.record.marked.IsZero():
			uids[user] = t.record.version.UID
		case fresh != "" && (!synced || t.record == nil):
			uids[user] = fresh
		default:
			unsure = append(unsure, name)
		}
	}
	if len(unsure) == 0 {
		return uids, nil
	}
	there, err := c.patchLeases(ctx, unsure, fields{
		"metadata": fields{"annotations": fields{markedNote: nil, releasedNote: nil, releasedPodNote: nil}},
		"spec":     fields{"renewTime": microTime(c.o.Now())},
	})
	for _, user := range users {
		if uid := there[user.Name()]; uid != "" {
			uids[user] = uid
		}
	}
	return uids, err
}

// manifests are pod and service of user, owned by the record with that uid, so that
// Kubernetes deletes them should the record go.
func (c *Cluster) manifests(user playground.User, record string) (pod, service document, err error) {
	d := c.database(user)
	name := user.Name()
	pod, service = document{kind: "Pod", name: name}, document{kind: "Service", name: name}
	for _, each := range []struct {
		document *document
		render   func(templates.Database) ([]byte, error)
	}{{&pod, c.o.Templates.Pod}, {&service, c.o.Templates.Service}} {
		text, err := each.render(d)
		if err == nil {
			each.document.json, err = owned(text, name, record)
		}
		if err != nil {
			return pod, service, err
		}
	}
	return pod, service, nil
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

func (c *Cluster) database(user playground.User) templates.Database {
	name := user.Name()
	labels := maps.Clone(c.labels(name))
	labels[templateLabel] = c.hash
	return templates.Database{
		Name: name, Namespace: c.o.Namespace, User: string(user), Image: c.o.Image, Labels: labels,
		Annotations: map[string]string{userNote: string(user)},
		Selector:    map[string]string{databaseLabel: name},
	}
}

// settle makes one answer of what became of a user's pod and service.
func (c *Cluster) settle(ctx context.Context, user playground.User, record string, pod, service error) error {
	podThere, serviceThere := ReasonOf(pod) == AlreadyExists, ReasonOf(service) == AlreadyExists
	switch {
	case podThere && strings.Contains(firstWords(pod), "object is being deleted"):
		return playground.ErrLeaving
	case pod != nil && !podThere:
		return outOfReach(pod)
	case service != nil && !serviceThere:
		return outOfReach(service)
	case !podThere && !serviceThere:
		return nil
	}
	if t, synced := c.view.get(user.Name()); !podThere && synced && t.service != nil && t.service.owner == record {
		return nil // its address was kept, as it should be
	}
	there, err := c.read(ctx, user.Name())
	if err != nil {
		return outOfReach(err)
	}
	if serviceThere {
		if err := c.joinService(ctx, user, record, there.service); err != nil {
			return err
		}
	}
	if podThere {
		return c.join(ctx, user, record, there)
	}
	return nil
}

// joinService takes the service that is there, unless it is an earlier record's.
func (c *Cluster) joinService(ctx context.Context, user playground.User, record string, there *object) error {
	switch {
	case there == nil:
		return playground.ErrLeaving
	case !c.isOurs(there, user):
		return c.foreign("service", user)
	case there.owner() != "" && there.owner() != record:
		return c.hasten(ctx, c.services(), user, there.Metadata.UID)
	}
	return nil
}

// join takes what stands in the pod's place. It deletes only what is lost already.
func (c *Cluster) join(ctx context.Context, user playground.User, record string, there found) error {
	ours := there.ours(c, user)
	switch {
	case there.pod == nil, !there.pod.Metadata.DeletionTimestamp.IsZero():
		return playground.ErrLeaving
	case ours.unfinishedRelease():
		return c.finishRelease(ctx, user.Name(), ours.pod.version.UID)
	case ours.pod != nil && ours.pod.owner != "" && ours.pod.owner != record:
		return c.hasten(ctx, c.pods(), user, ours.pod.version.UID)
	case ours.pod != nil:
		return nil
	case c.isOriginal(there.pod):
		return c.label(ctx, user, there.pod, record)
	}
	return c.foreign("pod", user)
}

// hasten deletes what belongs to an earlier record of the name, as Kubernetes' garbage
// collector is about to.
func (c *Cluster) hasten(ctx context.Context, where resource, user playground.User, uid string) error {
	if err := c.deleteExactly(ctx, where, user.Name(), uid); err != nil {
		return outOfReach(err)
	}
	return playground.ErrLeaving
}

func (c *Cluster) foreign(what string, user playground.User) error {
	c.o.Log.WithField("user", user.String()).Warnf("the %s %s is not the playground's; it is left alone", what, user.Name())
	return refused(fmt.Sprintf("a %s named %s that is not the playground's is in the way", what, user.Name()), nil)
}

// finishRelease deletes a pod that the record gave up, and says that it is leaving.
func (c *Cluster) finishRelease(ctx context.Context, name, uid string) error {
	if err := c.deleteExactly(ctx, c.pods(), name, uid); err != nil {
		return outOfReach(err)
	}
	return playground.ErrLeaving
}
