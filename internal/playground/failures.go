package playground

import "container/list"

// failures remembers why the last creations of users without a record failed, for
// those who ask afterwards. It keeps a bounded number, the newest.
type failures struct {
	order list.List // of failure
	users map[User]*list.Element
}

type failure struct {
	user   User
	reason string
}

const keptFailures = 1000

func (f *failures) remember(user User, reason string) {
	f.forget(user)
	if f.users == nil {
		f.users = map[User]*list.Element{}
	}
	f.users[user] = f.order.PushBack(failure{user, reason})
	if f.order.Len() > keptFailures {
		f.forget(f.order.Front().Value.(failure).user)
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
