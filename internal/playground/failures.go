package playground

import "container/list"

// failures remembers why databases could not be brought up, for those who ask afterwards,
// until the cluster tells of what came later: this or another replica tried again, or the
// old pod came back. It keeps a bounded number, the newest.
type failures struct {
	order list.List // of failure
	users map[User]*list.Element
}

type failure struct {
	reason string
	last   Database // what was known of the one that failed
}

const keptFailures = 1000

// outdated reports whether db came after the failure, and is not what the watch tells late
// of it and of how it was cleaned up.
func (f failure) outdated(db Database) bool {
	switch {
	case db.Record == (Version{}):
		return false
	case db.Record.UID != f.last.Record.UID, db.Pod.UID != "" && db.Pod.UID != f.last.Pod.UID:
		return true
	}
	return db.Phase != f.last.Phase && (db.Phase == Ready || db.Phase == Released)
}

// remember notes why last, as it was known then, could not be brought up.
func (f *failures) remember(last Database, reason string) {
	f.forget(last.User)
	if f.users == nil {
		f.users = map[User]*list.Element{}
	}
	f.users[last.User] = f.order.PushBack(failure{reason, last})
	if f.order.Len() > keptFailures {
		f.forget(f.order.Front().Value.(failure).last.User)
	}
}

// hear takes in what the cluster says of a database.
func (f *failures) hear(db Database) {
	if e, ok := f.users[db.User]; ok && e.Value.(failure).outdated(db) {
		f.forget(db.User)
	}
}

func (f *failures) forget(user User) {
	if e, ok := f.users[user]; ok {
		f.order.Remove(e)
		delete(f.users, user)
	}
}

func (f *failures) reason(user User) (string, bool) {
	e, ok := f.users[user]
	if !ok {
		return "", false
	}
	return e.Value.(failure).reason, true
}
