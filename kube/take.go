package kube

import (
	"context"
	"errors"
	"maps"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// promises are the spares that this replica means for users: from when one is chosen,
// past when it is taken, until the watch tells that it is.
type promises struct {
	mu sync.Mutex
	to map[string]promise // by the spare's name
}

type promise struct {
	user playground.User
	at   time.Time
}

// lapsed: what was not taken by then never will be.
func (p promise) lapsed() bool { return time.Since(p.at) >= time.Minute }

// promise reserves a spare for user unless it is reserved.
func (p *promises) promise(name string, user playground.User) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, ok := p.to[name]; ok && !old.lapsed() {
		return false
	}
	p.put(name, user)
	return true
}

// keep has the promise anew, before the spare is taken: it may have lapsed, or be that of a
// replica that died. The watch may tell of what is taken while kubectl still runs.
func (p *promises) keep(name string, user playground.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(name, user)
}

// put needs p.mu.
func (p *promises) put(name string, user playground.User) {
	if p.to == nil {
		p.to = make(map[string]promise)
	}
	p.to[name] = promise{user, time.Now()}
}

func (p *promises) breach(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.to, name)
}

// forget drops the promises that nothing came of.
func (p *promises) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.to, func(_ string, old promise) bool { return old.lapsed() })
}

// hand reports whether it is this replica that hands over the spare, of which the watch
// tells that user has it.
func (p *promises) hand(name string, user playground.User) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	promised, ok := p.to[name]
	delete(p.to, name)
	return ok && promised.user == user
}

// pick promises a ready spare to a user without data of his own; "" if there is none.
// Replicas choose at random, so that they seldom want the same.
func (c *Cluster) pick(user playground.User) string {
	if !c.o.Pool {
		return ""
	}
	if p, synced := c.view.database(user.Name()); !synced || p.volume != nil {
		return ""
	}
	all := c.spares()[ready]
	mathrand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, name := range all {
		if c.promises.promise(name, user) {
			return name
		}
	}
	return ""
}

// moveIn takes the spares that the records of users name, with one kubectl for all, and
// gives those who were too late another, or in the end none: home then is a place of the
// user's own name. Users whose home is ready have taken set.
func (c *Cluster) moveIn(ctx context.Context, homes map[playground.User]*home) {
	for round := range takingRounds {
		var taking []playground.User
		var changes []application
		var lost []playground.User
		for user, h := range homes {
			if h.err != nil || h.record == "" || h.taken || !isSpare(h.place) {
				continue
			}
			there := c.view.standing(h.place)
			if there.of(user) != (pieces{}) {
				continue // it is his already
			}
			if c.appraise(there, c.o.Now()) != ready {
				lost = append(lost, user)
				continue
			}
			c.promises.keep(h.place, user)
			taking = append(taking, user)
			changes = append(changes, c.taking(user, h, there.service))
		}
		if len(changes) > 0 {
			for i, err := range c.apply(ctx, poolManager, changes) {
				user := taking[i]
				switch {
				case err == nil:
					homes[user].taken = true
				case errors.Is(err, playground.ErrConflict):
					lost = append(lost, user)
				default: // it may be taken all the same: the promise lapses by itself
					homes[user].err = err
				}
			}
		}
		if len(lost) == 0 {
			return
		}
		c.move(ctx, lost, homes, round < takingRounds-1)
	}
}

// taking writes the user into a spare's service.
func (c *Cluster) taking(user playground.User, h *home, spare *service) application {
	return application{
		kind: "Service", name: h.place, version: spare.version,
		labels: fields{poolLabel: poolTaken}, annotations: fields{userNote: string(user)},
		owners: ownerReferences(user.Name(), h.record),
	}
}

// move writes another place into the records of users: another spare, or their own name.
func (c *Cluster) move(ctx context.Context, users []playground.User, homes map[playground.User]*home, again bool) {
	var moving []playground.User
	var changes []application
	var alone []string
	for _, user := range users {
		h := homes[user]
		h.place = "" // its promise stays, lest it be chosen again before the watch tells whose it is
		if again {
			h.place = c.pick(user)
		}
		if h.place == "" {
			h.place = user.Name()
			alone = append(alone, user.Name())
			continue
		}
		moving = append(moving, user)
		changes = append(changes, application{kind: "Lease", name: user.Name(), version: playground.Version{UID: h.record}, annotations: fields{serviceNote: h.place}})
	}
	if len(changes) > 0 {
		for i, err := range c.apply(ctx, poolManager, changes) {
			if err != nil {
				homes[moving[i]].err = err
			}
		}
	}
	if len(alone) > 0 {
		_, err := c.patchLeases(ctx, alone, fields{"metadata": fields{"annotations": fields{serviceNote: nil}}})
		for _, user := range users {
			if err != nil && homes[user].place == user.Name() {
				homes[user].err = err
			}
		}
	}
}

// errElsewhere: the user has a database already, at a place from the pool.
var errElsewhere = errors.New("the user's database came from the pool")

// elsewhere keeps Adopt from a pod that the old server made for a user who has a database
// from the pool: he keeps that, which he works with. What the record names and nobody
// took is no database.
func (c *Cluster) elsewhere(ctx context.Context, user playground.User) error {
	there, err := c.read(ctx, user)
	if err != nil {
		return outOfReach(err)
	}
	p := there.ours(c, user)
	if p.record == nil || !isSpare(p.record.place) || p.service == nil && p.pod == nil {
		return nil
	}
	c.o.Log.WithField("user", user.String()).Warnf("the pod %s of the old server is left alone: the user's database is %s", user.Name(), p.record.place)
	return errElsewhere
}

// halfHanded: the service says whose all this is, and the rest does not yet.
func (p pieces) halfHanded() bool {
	return p.service != nil && p.service.user != "" &&
		(p.pod != nil && p.pod.user == "" && !p.pod.leaving || p.volume != nil && p.volume.user == "")
}

// handAll tells pods and volumes of spares that were taken whose they are.
func (c *Cluster) handAll(ctx context.Context, places []string) []error {
	var changes []application
	var at []int
	for i, place := range places {
		p := c.view.standing(place)
		if !p.halfHanded() {
			continue
		}
		change := application{
			name: place, labels: fields{poolLabel: poolTaken}, annotations: fields{userNote: string(p.service.user)},
		}
		if p.pod != nil && p.pod.user == "" {
			pod := change
			pod.kind, pod.version = "Pod", playground.Version{UID: p.pod.version.UID}
			pod.owners = ownerReferences(p.service.user.Name(), p.service.owner)
			changes, at = append(changes, pod), append(at, i)
		}
		if p.volume != nil && p.volume.user == "" {
			// Not owned by the record: the data outlives it.
			volume := change
			volume.kind, volume.version = "PersistentVolumeClaim", playground.Version{UID: p.volume.version.UID}
			changes, at = append(changes, volume), append(at, i)
		}
	}
	errs := make([]error, len(places))
	if len(changes) == 0 {
		return errs
	}
	for n, err := range c.apply(ctx, poolManager, changes) {
		if err != nil && !errors.Is(err, playground.ErrConflict) { // gone
			errs[at[n]] = err
		}
	}
	return errs
}
