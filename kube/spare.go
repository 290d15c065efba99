package kube

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/templates"
)

// A spare is a database made ahead, nobody's yet: a service, a pod and, with storage, a
// volume claim of one name. It is taken by writing the user into the service, on the
// service's resourceVersion, so that nobody else takes it too. The user's record names
// it as the place of the user's database, and was made before, so that no user takes
// two. Pod and volume are told whose they are a moment later (hand over), by who took
// the spare, or by any replica if that one died.

const (
	sparePrefix = "sqlflow-spare-"
	spareChars  = 10 // of rand.Text in lower case, 50 bits

	// values of poolLabel
	poolSpare   = "spare"
	poolTaken   = "taken"
	poolDropped = "dropped"

	// halfMade is how long the pieces of a spare may take to appear.
	halfMade = 30 * time.Second
	// restockedAtOnce is how many spares may be coming up at a time, so that nodes have
	// room for databases that somebody waits for.
	restockedAtOnce = 8
	// takingRounds is how many spares a user tries for, of which others were faster each
	// time, before a database is made for him alone.
	takingRounds = 4
)

// isSpare tells names of spares, which no user's own name is like.
func isSpare(name string) bool {
	rest, ok := strings.CutPrefix(name, sparePrefix)
	return ok && len(rest) == spareChars && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func newSpareName() string { return sparePrefix + strings.ToLower(rand.Text()[:spareChars]) }

// sameForEverybody finds a template that needs to know the user, whom nobody knows when
// a database is made ahead.
func (c *Cluster) sameForEverybody() error {
	d := c.objects("", &home{place: newSpareName(), volume: c.volumeName("volume")})
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

// promises are the spares that this replica gave to users whose record is being made,
// and those that it took.
type promises struct {
	mu       sync.Mutex
	promised map[string]time.Time
	took     map[string]bool
}

// promise reserves a spare unless it is reserved.
func (p *promises) promise(name string, now time.Time) bool {
	const most = time.Minute // what was not taken by then never will be
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.promised[name]; ok && now.Sub(at) < most {
		return false
	}
	if p.promised == nil {
		p.promised = make(map[string]time.Time)
	}
	p.promised[name] = now
	return true
}

func (p *promises) breach(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.promised, name)
}

func (p *promises) taken(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.promised, name)
	if p.took == nil {
		p.took = make(map[string]bool)
	}
	p.took[name] = true
}

// hand reports whether it is this replica that hands the spare over now.
func (p *promises) hand(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.took[name]
	delete(p.took, name)
	return mine
}

// worth of a place as a spare.
type worth int

const (
	noSpare worth = iota // taken, or gone
	ready                // somebody may take it
	coming               // it is coming up
	bad                  // it must go
)

// appraise says what a place is worth as a spare.
func (c *Cluster) appraise(name string, p pieces, now time.Time) worth {
	switch {
	case !isSpare(name) || p.service != nil && p.service.user != "" || p.pod != nil && p.pod.user != "":
		return noSpare
	case p.service == nil && p.pod == nil: // a volume alone: a user's, or a leftover
		if p.volume == nil || p.volume.user != "" || p.volume.leaving || now.Sub(p.volume.created) < halfMade {
			return noSpare
		}
		return bad
	case p.service == nil || p.pod == nil || c.o.Storage != "" && p.volume == nil:
		if now.Sub(p.created()) < halfMade {
			return coming
		}
		if p.service == nil && p.pod.leaving {
			return noSpare
		}
		return bad
	case p.service.dropped || p.pod.leaving || p.pod.hash != c.hash:
		return bad
	case p.pod.phase == playground.Ready:
		return ready
	case p.pod.phase == playground.Starting:
		return coming
	}
	return bad
}

func (p pieces) created() time.Time {
	if p.pod != nil {
		return p.pod.created
	}
	return p.service.created
}

// spares sorts the names of all spares by their worth, the oldest first.
func (c *Cluster) spares() map[worth][]string {
	now := c.o.Now()
	type spare struct {
		name    string
		created time.Time
	}
	sorted := make(map[worth][]spare)
	for _, name := range c.view.list(func(pieces) bool { return true }) {
		p := c.view.standing(name)
		if worth := c.appraise(name, p, now); worth != noSpare {
			s := spare{name: name}
			if p.pod != nil || p.service != nil {
				s.created = p.created()
			}
			sorted[worth] = append(sorted[worth], s)
		}
	}
	names := make(map[worth][]string)
	for worth, all := range sorted {
		slices.SortFunc(all, func(a, b spare) int {
			if by := a.created.Compare(b.created); by != 0 {
				return by
			}
			return strings.Compare(a.name, b.name)
		})
		for _, s := range all {
			names[worth] = append(names[worth], s.name)
		}
	}
	return names
}

// Spares implements [playground.Pool].
func (c *Cluster) Spares() (playground.Spares, <-chan struct{}) {
	changed := c.view.sparesChange()
	all := c.spares()
	return playground.Spares{Ready: len(all[ready]), Coming: len(all[coming]), Bad: len(all[bad])}, changed
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
		if c.promises.promise(name, c.o.Now()) {
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
			switch {
			case there.service != nil && there.service.user == user:
				continue // it is his already
			case there.service == nil || there.service.user != "" || there.service.dropped:
				lost = append(lost, user)
				continue
			}
			taking = append(taking, user)
			changes = append(changes, c.taking(user, h, there.service))
		}
		if len(changes) > 0 {
			for i, err := range c.apply(ctx, poolManager, changes) {
				user := taking[i]
				switch {
				case err == nil:
					homes[user].taken = true
					c.promises.taken(homes[user].place)
				case errors.Is(err, playground.ErrConflict):
					lost = append(lost, user)
				default:
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
		h.place = ""
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

// Restock implements [playground.Pool].
func (c *Cluster) Restock(ctx context.Context, want int, maxAge time.Duration) error {
	all := c.spares()
	dropped := all[bad]
	if excess := len(all[ready]) + len(all[coming]) - want; excess > 0 {
		dropped = append(dropped, all[coming][:min(excess, len(all[coming]))]...)
		dropped = append(dropped, all[ready][:max(excess-len(all[coming]), 0)]...)
	} else if len(all[ready]) >= want && want > 0 && maxAge > 0 {
		// One by one, so that there are always some.
		if oldest := all[ready][0]; c.o.Now().Sub(c.view.standing(oldest).created()) > maxAge {
			dropped = append(dropped, oldest)
		}
	}
	if len(dropped) > 0 {
		if err := c.drop(ctx, dropped); err != nil {
			return err
		}
	}
	missing := want - len(all[ready]) - len(all[coming])
	return c.makeSpares(ctx, min(missing, restockedAtOnce-len(all[coming])))
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
	return c.deleteAll(ctx, true, poolLabel+" in ("+poolSpare+","+poolDropped+")", doomed)
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
		return outOfReach(fmt.Errorf("delete %s: %w", strings.Join(sorted, ", "), err))
	}
	return nil
}

// makeSpares makes n spares with one kubectl.
func (c *Cluster) makeSpares(ctx context.Context, n int) error {
	if n <= 0 {
		return nil
	}
	var documents []document
	for range n {
		name := newSpareName()
		made, err := c.manifests("", &home{place: name, volume: c.volumeName(name)})
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
