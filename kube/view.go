package kube

import (
	"net"
	"sync"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// mysqlPort is where MySQL listens in every pod and service.
const mysqlPort = "3306"

// pieces are what is known of one name: the record of that name, and what stands at the
// place of that name. Of a database they are the record and what stands at its place,
// which is that of its own name unless it was taken from the pool.
type pieces struct {
	record  *record
	service *service
	pod     *pod
	volume  *volume
}

// view remembers the objects that the watches told of, by name.
type view struct {
	byPod bool // addresses are those of pods, not of services

	mu     sync.Mutex
	synced bool
	names  map[string]pieces
	// handed has the place of a volume that is a user's and not of the user's own name,
	// by that name: it came from the pool, and outlives the record that says so.
	handed map[string]string
	// spares is closed and made anew when something of a spare changes.
	spares chan struct{}
}

func newView(byPod bool) *view {
	return &view{byPod: byPod, names: make(map[string]pieces), handed: make(map[string]string), spares: make(chan struct{})}
}

// database is what is known of the database with that record's name; ok is false while
// the view is not complete.
func (v *view) database(name string) (p pieces, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gather(name), v.synced
}

// standing is what is known of the place, whosoever it is.
func (v *view) standing(place string) pieces {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.names[place]
	p.record = nil
	return p
}

// sparesChange gives a channel that is closed at the next change of a spare.
func (v *view) sparesChange() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.spares
}

func (v *view) setSynced(yes bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.synced = yes
}

// gather finds the pieces of a database. v.mu is held.
func (v *view) gather(name string) pieces {
	own := v.names[name]
	r := own.record
	p := own
	if r != nil && r.place != name {
		p = v.names[r.place].of(r.user)
		p.record = r
	}
	if from, ok := v.handed[name]; ok && own.volume == nil {
		p.volume = v.names[from].volume
	} else {
		p.volume = own.volume
	}
	return p
}

// of leaves what is the user's of a service and a pod. The service says whose a place is
// that comes from the pool; its pod is told a moment later.
func (p pieces) of(user playground.User) pieces {
	p.record, p.volume = nil, nil
	theirs := p.service != nil && p.service.user == user
	if !theirs {
		p.service = nil
	}
	if p.pod != nil && p.pod.user != user && (!theirs || p.pod.user != "") {
		p.pod = nil
	}
	return p
}

// place is where the pieces stand; own is the record's name.
func (p pieces) place(own string) string {
	if p.record != nil {
		return p.record.place
	}
	return own
}

// change alters what is known of a name, and returns the databases that this may have
// changed, before and after.
func (v *view) change(name string, alter func(*pieces)) (before, after []playground.Database) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old := v.names[name]
	p := old
	alter(&p)
	concerned := databasesOf(name, old, p)
	for _, each := range concerned {
		before = append(before, v.compose(each, v.gather(each)))
	}
	v.set(name, old, p)
	for _, each := range concerned {
		after = append(after, v.compose(each, v.gather(each)))
	}
	return before, after
}

// set stores p and keeps what follows from it. v.mu is held.
func (v *view) set(name string, old, p pieces) {
	if p == (pieces{}) {
		delete(v.names, name)
	} else {
		v.names[name] = p
	}
	if !isSpare(name) {
		return
	}
	if old.volume != nil && old.volume.user != "" && (p.volume == nil || p.volume.user != old.volume.user) {
		delete(v.handed, old.volume.user.Name())
	}
	if p.volume != nil && p.volume.user != "" {
		v.handed[p.volume.user.Name()] = name
	}
	close(v.spares)
	v.spares = make(chan struct{})
}

// databasesOf names the databases that may depend on what stands under a name.
func databasesOf(name string, states ...pieces) (all []string) {
	if !isSpare(name) {
		return []string{name}
	}
	seen := make(map[playground.User]bool)
	add := func(user playground.User) {
		if user != "" && !seen[user] {
			seen[user] = true
			all = append(all, user.Name())
		}
	}
	for _, p := range states {
		if p.service != nil {
			add(p.service.user)
		}
		if p.pod != nil {
			add(p.pod.user)
		}
		if p.volume != nil {
			add(p.volume.user)
		}
	}
	return all
}

// all composes every database that is there.
func (v *view) all() []playground.Database {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]playground.Database, 0, len(v.names))
	for name := range v.names {
		if isSpare(name) {
			continue
		}
		if db := v.compose(name, v.gather(name)); db.Phase != playground.None {
			all = append(all, db)
		}
	}
	return all
}

// list gives the names under which something is true of what stands there.
func (v *view) list(has func(pieces) bool) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var names []string
	for name, p := range v.names {
		if has(p) {
			names = append(names, name)
		}
	}
	return names
}

// ahead gives what stands at the places that are or were made ahead.
func (v *view) ahead() map[string]pieces {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make(map[string]pieces)
	for name, p := range v.names {
		if isSpare(name) {
			all[name] = p
		}
	}
	return all
}

// databases gives the names of the databases of which something is true.
func (v *view) databases(has func(pieces) bool) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var names []string
	for name := range v.names {
		if !isSpare(name) && has(v.gather(name)) {
			names = append(names, name)
		}
	}
	return names
}

// compose makes one database of its pieces.
func (v *view) compose(name string, p pieces) playground.Database {
	var db playground.Database
	if r := p.record; r != nil {
		db.User, db.Record, db.Created, db.LastUse, db.Marked = r.user, r.version, r.created, r.used, r.marked
		db.Client, db.Place = r.client, r.place
	}
	if pod := p.pod; pod != nil {
		if db.User == "" {
			db.User, db.Place = pod.user, name
		}
		db.Pod, db.PodSince, db.DataSince = pod.version, pod.created, pod.created
		if db.Created.IsZero() {
			db.Created = pod.created
		}
		if p.volume != nil {
			db.DataSince = p.volume.created
		}
	}
	db.Address = v.address(p)
	db.Phase, db.Reason = phaseOf(p)
	switch db.Phase {
	case playground.Starting:
		db.Stage = p.pod.stage
	case playground.Failed:
		db.Unsure = p.pod.unsure
	}
	switch {
	case db.Phase == playground.Released:
		db.ReleasedAt = p.record.released
	case db.Phase == playground.None && p.service != nil:
		db.User = p.service.user
	}
	return db
}

func (v *view) address(p pieces) string {
	ip := ""
	switch {
	case v.byPod && p.pod != nil:
		ip = p.pod.ip
	case !v.byPod && p.service != nil && !p.record.disowns(p.service.owner):
		ip = p.service.ip
	}
	if ip == "" {
		return ""
	}
	return net.JoinHostPort(ip, mysqlPort)
}

func phaseOf(p pieces) (playground.Phase, string) {
	switch {
	case p.record == nil && p.pod == nil:
		return playground.None, ""
	case p.pod == nil && p.record.released.IsZero():
		return playground.Missing, ""
	case p.pod == nil:
		return playground.Released, ""
	case p.pod.leaving:
		return playground.Leaving, "the pod is being deleted"
	case p.unfinishedRelease():
		return playground.Leaving, "the pod is about to be deleted"
	case p.record.disowns(p.pod.owner):
		return playground.Leaving, "the pod belongs to an earlier record"
	}
	return p.pod.phase, p.pod.reason
}

// unfinishedRelease: the record says that this very pod is taken, and it is still
// there. Whoever wrote the record is about to delete it, or died before it could.
func (p pieces) unfinishedRelease() bool {
	return p.record != nil && p.pod != nil && !p.pod.leaving &&
		!p.record.released.IsZero() && p.record.releasedPod == p.pod.version.UID
}

// disowns: what has this owner belongs to an earlier record of the name. Kubernetes is
// about to delete it.
func (r *record) disowns(owner string) bool {
	return r != nil && owner != "" && owner != r.version.UID
}
