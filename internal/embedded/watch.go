//go:build cgo || gms_pure_go

package embedded

import (
	"context"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// A watcher holds what one Watch has yet to tell: the newest state of every
// database that changed, in the order of their first change.
type watcher struct {
	wake    chan struct{} // holds one token while there is something to tell
	changed map[playground.User]playground.Database
	order   []playground.User
}

// Watch tells o everything until ctx ends. Changes of one database that follow
// each other faster than o takes them are told as one.
func (c *Cluster) Watch(ctx context.Context, o playground.Observer) error {
	w := &watcher{wake: make(chan struct{}, 1), changed: map[playground.User]playground.Database{}}
	c.mu.Lock()
	all := make([]playground.Database, 0, len(c.records))
	for _, r := range c.records {
		all = append(all, r.db)
	}
	c.watchers[w] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.watchers, w)
		c.mu.Unlock()
	}()

	o.Synced(all)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		c.mu.Lock()
		order, changed := w.order, w.changed
		w.order, w.changed = nil, map[playground.User]playground.Database{}
		c.mu.Unlock()
		for _, user := range order {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			o.Changed(changed[user])
		}
	}
}

// tell hands db's state to all watchers. The caller holds c.mu.
func (c *Cluster) tell(db playground.Database) {
	for w := range c.watchers {
		if _, ok := w.changed[db.User]; !ok {
			w.order = append(w.order, db.User)
		}
		w.changed[db.User] = db
		select {
		case w.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}
