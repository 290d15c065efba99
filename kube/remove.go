package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// removal is a user of whom everything is to be deleted, the data too if purge is set.
type removal struct {
	user  playground.User
	purge bool
}

// Remove deletes all of user that carries our labels, the lease first. A volume stays
// unless purge is set, or it is not bound and so never held data.
func (c *Cluster) Remove(ctx context.Context, user playground.User, purge bool) error {
	if !purge {
		if err := c.nameData(ctx, user); err != nil {
			return err
		}
	}
	return c.removals.do(ctx, removal{user, purge})
}

// nameData sees to it that the user's volume says whose it is. Of one from the pool, it may
// be that only the service does yet; and nobody's data is not kept.
func (c *Cluster) nameData(ctx context.Context, user playground.User) error {
	p, _ := c.view.database(user.Name())
	if p.service == nil && p.pod == nil {
		return nil
	}
	place := p.place(user.Name())
	if v := c.view.standing(place).volume; v == nil || v.user != "" {
		return nil
	}
	return c.handings.do(ctx, place)
}

// removeAll deletes for all who are purged with one kubectl, and for all others with
// another.
func (c *Cluster) removeAll(ctx context.Context, all []removal) []error {
	errs := make([]error, len(all))
	for _, purge := range []bool{false, true} {
		names := make(map[string]bool)
		places := make([]map[string]bool, len(all))
		for i, r := range all {
			if r.purge == purge {
				places[i] = c.placesOf(r)
				maps.Copy(names, places[i])
			}
		}
		if len(names) == 0 {
			continue
		}
		err := c.deleteAll(ctx, purge, "", names)
		for i := range all {
			if places[i] != nil && concerns(err, places[i]) {
				errs[i] = outOfReach(err)
			}
		}
	}
	var deleting sync.WaitGroup
	for i, r := range all {
		p, _ := c.view.database(r.user.Name())
		if errs[i] == nil && !r.purge && p.volume != nil && p.volume.pending && !p.volume.leaving {
			deleting.Go(func() {
				errs[i] = outOfReach(c.deleteExactly(ctx, c.volumes(), p.volume.name, p.volume.version.UID))
			})
		}
	}
	deleting.Wait()
	return errs
}

// placesOf are the names under which objects of the user may stand.
func (c *Cluster) placesOf(r removal) map[string]bool {
	names := map[string]bool{r.user.Name(): true}
	p, _ := c.view.database(r.user.Name())
	if p.service != nil || p.pod != nil {
		// Only what is known to be his: the record may name what somebody else was faster to take.
		names[p.place(r.user.Name())] = true
	} else {
		c.promises.breach(c.placeOf(r.user))
	}
	if r.purge && p.volume != nil {
		names[p.volume.name] = true
	}
	c.fresh.take(r.user.Name())
	return names
}

// deleteAll deletes what stands under the names, the volumes too if that is asked for.
func (c *Cluster) deleteAll(ctx context.Context, volumes bool, also string, names map[string]bool) error {
	kinds := "leases.coordination.k8s.io,pods,services"
	if volumes && c.o.Storage != "" {
		kinds += ",persistentvolumeclaims"
	}
	sorted := slices.Sorted(maps.Keys(names))
	selector := managerLabel + "=" + managerName + "," + databaseLabel + " in (" + strings.Join(sorted, ",") + ")"
	if also != "" {
		selector += "," + also
	}
	_, err := c.o.Runner.Run(ctx, nil, "delete", kinds, "--wait=false", "--ignore-not-found", "--output=name",
		"--namespace="+c.o.Namespace, "--selector="+selector)
	if err != nil {
		return fmt.Errorf("delete %s: %w", strings.Join(sorted, ", "), err)
	}
	return nil
}

// concerns reports whether err, of a kubectl that went on after the first trouble, may be
// about an object of one of the names.
func concerns(err error, names map[string]bool) bool {
	var e *Error
	if err == nil || !errors.As(err, &e) {
		return err != nil
	}
	all := complaints(e.Stderr)
	return len(all) == 0 || slices.ContainsFunc(all, func(c complaint) bool {
		_, rest, _ := strings.Cut(c.message, `"`)
		name, _, _ := strings.Cut(rest, `"`)
		return c.aboutNone() || names[name]
	})
}
