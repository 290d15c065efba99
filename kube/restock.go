package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/templates"
)

// Restock implements [playground.Pool].
func (c *Cluster) Restock(ctx context.Context, want int, maxAge time.Duration) error {
	all := c.spares()
	dropped := slices.Concat(all[bad], all[late])
	if excess := len(all[ready]) + len(all[coming]) - want; excess > 0 {
		dropped = append(dropped, all[coming][:min(excess, len(all[coming]))]...)
		dropped = append(dropped, all[ready][:max(excess-len(all[coming]), 0)]...)
	} else if len(all[ready]) >= want && want > 0 && maxAge > 0 {
		// One by one, so that there are always some.
		if oldest := all[ready][0]; c.o.Now().Sub(c.view.standing(oldest).created()) > maxAge {
			dropped = append(dropped, oldest)
		}
	}
	reason := c.waitsFor(all[late])
	if len(dropped) > 0 {
		if err := c.drop(ctx, dropped); err != nil {
			return err
		}
	}
	if len(all[late]) > 0 {
		c.o.Log.WithField("spares", len(all[late])).Warnf("databases made ahead were not ready within %v and are made anew; what they wait for: %s", startLimit, reason)
	}
	missing := want - len(all[ready]) - len(all[coming])
	return c.makeSpares(ctx, min(missing, restockedAtOnce-len(all[coming])))
}

// waitsFor is what Kubernetes says of the first pod of which it says anything.
func (c *Cluster) waitsFor(places []string) string {
	for _, place := range places {
		if p := c.view.standing(place); p.pod != nil && p.pod.reason != "" {
			return p.pod.reason
		}
	}
	return "Kubernetes does not say"
}

// drop removes spares that nobody takes at the same moment.
func (c *Cluster) drop(ctx context.Context, names []string) error {
	var changes []application
	doomed := make(map[string]bool)
	for _, name := range names {
		doomed[name] = true
		if s := c.view.standing(name).service; s != nil {
			changes = append(changes, application{kind: "Service", name: name, version: s.version, labels: fields{poolLabel: poolDropped}})
		}
	}
	if len(changes) > 0 {
		for i, err := range c.apply(ctx, poolManager, changes) {
			switch {
			case errors.Is(err, playground.ErrConflict):
				delete(doomed, changes[i].name)
			case err != nil:
				return err
			}
		}
	}
	if len(doomed) == 0 {
		return nil
	}
	c.o.Log.WithField("spares", len(doomed)).Info("databases made ahead are dropped: they are too old, too many, broken, or of an older template")
	return outOfReach(c.deleteAll(ctx, true, poolLabel+" in ("+poolSpare+","+poolDropped+")", doomed))
}

// makeSpares makes n spares with one kubectl.
func (c *Cluster) makeSpares(ctx context.Context, n int) error {
	if n <= 0 {
		return nil
	}
	var documents []document
	for range n {
		name := newSpareName()
		made, err := c.manifests("", &home{place: name})
		if err != nil {
			return refused("the templates do not fit a database made ahead: "+err.Error(), nil)
		}
		documents = append(documents, made...)
	}
	for _, m := range c.create(ctx, documents) {
		if m.err != nil {
			return outOfReach(m.err)
		}
	}
	return nil
}

// sameForEverybody finds a template that needs to know the user, whom nobody knows when
// a database is made ahead.
func (c *Cluster) sameForEverybody() error {
	d, _ := c.objects("", newSpareName())
	for _, each := range []struct {
		kind   string
		render func(templates.Database) ([]byte, error)
	}{{"Pod", c.o.Templates.Pod}, {"Service", c.o.Templates.Service}, {"PersistentVolumeClaim", c.o.Templates.Volume}} {
		nobody, err := each.render(d)
		if err != nil {
			return err
		}
		d.User = "somebody"
		somebody, err := each.render(d)
		if err != nil {
			return err
		}
		if d.User = ""; !bytes.Equal(nobody, somebody) {
			return fmt.Errorf("%s depends on .User, whom a database made ahead does not know: take .User out of it, or run without --pool", templates.File(each.kind))
		}
	}
	return nil
}
