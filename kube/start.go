package kube

import (
	"context"
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
	var going []int // those without an error yet
	for i, user := range users {
		if t, ok := c.view.get(user.Name()); ok && t.unfinishedRelease() {
			errs[i] = c.finishRelease(ctx, user.Name(), t.pod.version.UID)
		} else {
			going = append(going, i)
		}
	}
	if err := c.takeBack(ctx, users, going); err != nil {
		for _, i := range going {
			errs[i] = outOfReach(err)
		}
		return errs
	}

	var documents []document
	var ready []int
	for _, i := range going {
		pod, service, err := c.manifests(users[i])
		if err != nil {
			errs[i] = refused("the templates do not fit this user: "+err.Error(), nil)
			continue
		}
		documents = append(documents, pod, service) // the pod first: it takes longer
		ready = append(ready, i)
	}
	if len(ready) == 0 {
		return errs
	}
	made := c.create(ctx, documents)
	var looking sync.WaitGroup
	for n, i := range ready {
		pod, service := made[2*n], made[2*n+1]
		looking.Go(func() { errs[i] = c.settle(ctx, users[i], pod, service) })
	}
	looking.Wait()
	return errs
}

func (c *Cluster) manifests(user playground.User) (pod, service document, err error) {
	d := c.database(user)
	name := user.Name()
	pod, service = document{kind: "Pod", name: name}, document{kind: "Service", name: name}
	if pod.json, err = c.o.Templates.Pod(d); err != nil {
		return pod, service, err
	}
	service.json, err = c.o.Templates.Service(d)
	return pod, service, err
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

// takeBack removes release and mark from the records that have one, or may have one
// as far as the view knows, and counts that as a use.
func (c *Cluster) takeBack(ctx context.Context, users []playground.User, which []int) error {
	var names []string
	for _, i := range which {
		name := users[i].Name()
		t, ok := c.view.get(name)
		fresh := t.record == nil || t.record.released.IsZero() && t.record.marked.IsZero()
		if !ok || !fresh {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return c.patchLeases(ctx, names, fields{
		"metadata": fields{"annotations": fields{markedNote: nil, releasedNote: nil, releasedPodNote: nil}},
		"spec":     fields{"renewTime": microTime(c.o.Now())},
	})
}

// settle makes one answer of what became of a user's pod and service.
func (c *Cluster) settle(ctx context.Context, user playground.User, pod, service error) error {
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
	if t, ok := c.view.get(user.Name()); !podThere && ok && t.service != nil {
		return nil // its address was kept, as it should be
	}
	there, err := c.read(ctx, user.Name())
	if err != nil {
		return outOfReach(err)
	}
	if serviceThere && there.service != nil && !c.isOurs(there.service, user) {
		return c.foreign("service", user)
	}
	if podThere {
		return c.join(ctx, user, there)
	}
	return nil
}

// join takes what stands in the pod's place, and never deletes it.
func (c *Cluster) join(ctx context.Context, user playground.User, there found) error {
	ours := there.ours(c, user)
	switch {
	case there.pod == nil, !there.pod.Metadata.DeletionTimestamp.IsZero():
		return playground.ErrLeaving
	case ours.unfinishedRelease():
		return c.finishRelease(ctx, user.Name(), ours.pod.version.UID)
	case ours.pod != nil:
		return nil
	case c.isOriginal(there.pod):
		return c.label(ctx, user, there.pod)
	}
	return c.foreign("pod", user)
}

func (c *Cluster) foreign(what string, user playground.User) error {
	c.o.Log.WithField("user", user.String()).Warnf("the %s %s is not the playground's; it is left alone", what, user.Name())
	return refused(fmt.Sprintf("a %s named %s that is not the playground's is in the way", what, user.Name()), nil)
}

// finishRelease deletes a pod that the record gave up, and says that it is leaving.
func (c *Cluster) finishRelease(ctx context.Context, name, uid string) error {
	if err := c.deletePod(ctx, name, uid); err != nil {
		return outOfReach(err)
	}
	return playground.ErrLeaving
}
