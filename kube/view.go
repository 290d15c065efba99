package kube

import (
	"net"
	"sync"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// mysqlPort is where MySQL listens in every pod and service.
const mysqlPort = "3306"

// trio is what is known of one name.
type trio struct {
	record  *record
	service *service
	pod     *pod
}

// view remembers the objects that the watches told of, by name.
type view struct {
	byPod bool // addresses are those of pods, not of services

	mu     sync.Mutex
	synced bool
	names  map[string]trio
}

// get is what is known of name; ok is false while the view is not complete.
func (v *view) get(name string) (t trio, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.names[name], v.synced
}

func (v *view) setSynced(yes bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.synced = yes
}

// change replaces one object of name by what alter makes of the trio, and returns the
// database before and after.
func (v *view) change(name string, alter func(*trio)) (before, after playground.Database) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.names[name]
	before = v.compose(name, t)
	alter(&t)
	if t == (trio{}) {
		delete(v.names, name)
	} else {
		v.names[name] = t
	}
	return before, v.compose(name, t)
}

// all composes every database that is there.
func (v *view) all() []playground.Database {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]playground.Database, 0, len(v.names))
	for name, t := range v.names {
		if db := v.compose(name, t); db.Phase != playground.None {
			all = append(all, db)
		}
	}
	return all
}

// list gives the names that have an object of that kind.
func (v *view) list(has func(trio) bool) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var names []string
	for name, t := range v.names {
		if has(t) {
			names = append(names, name)
		}
	}
	return names
}

// compose makes one database of three objects.
func (v *view) compose(name string, t trio) playground.Database {
	var db playground.Database
	if r := t.record; r != nil {
		db.User, db.Record, db.Created, db.LastUse, db.Marked = r.user, r.version, r.created, r.used, r.marked
	}
	if p := t.pod; p != nil {
		db.User, db.Pod, db.DataSince = p.user, p.version, p.created
		if db.Created.IsZero() {
			db.Created = p.created
		}
	}
	db.Address = v.address(t)
	db.Phase, db.Reason = phaseOf(t)
	if db.Phase == playground.Starting {
		db.Stage = t.pod.stage
	}
	switch {
	case db.Phase == playground.Released:
		db.ReleasedAt = t.record.released
	case db.Phase == playground.None && t.service != nil:
		db.User = t.service.user
	}
	return db
}

func (v *view) address(t trio) string {
	ip := ""
	switch {
	case v.byPod && t.pod != nil:
		ip = t.pod.ip
	case !v.byPod && t.service != nil && !t.record.disowns(t.service.owner):
		ip = t.service.ip
	}
	if ip == "" {
		return ""
	}
	return net.JoinHostPort(ip, mysqlPort)
}

func phaseOf(t trio) (playground.Phase, string) {
	switch {
	case t.record == nil && t.pod == nil:
		return playground.None, ""
	case t.pod == nil && t.record.released.IsZero():
		return playground.Missing, ""
	case t.pod == nil:
		return playground.Released, ""
	case t.pod.leaving:
		return playground.Leaving, "the pod is being deleted"
	case t.unfinishedRelease():
		return playground.Leaving, "the pod is about to be deleted"
	case t.record.disowns(t.pod.owner):
		return playground.Leaving, "the pod belongs to an earlier record"
	}
	return t.pod.phase, t.pod.reason
}

// unfinishedRelease: the record says that this very pod is taken, and it is still
// there. Whoever wrote the record is about to delete it, or died before it could.
func (t trio) unfinishedRelease() bool {
	return t.record != nil && t.pod != nil && !t.pod.leaving &&
		!t.record.released.IsZero() && t.record.releasedPod == t.pod.version.UID
}

// disowns: what has this owner belongs to an earlier record of the name. Kubernetes is
// about to delete it.
func (r *record) disowns(owner string) bool {
	return r != nil && owner != "" && owner != r.version.UID
}
