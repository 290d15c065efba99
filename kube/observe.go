package kube

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Watch follows the three kinds and tells o of each database that changes. It is called
// once in a Cluster's life. It also finishes releases that were left half done.
func (c *Cluster) Watch(ctx context.Context, o playground.Observer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := make(chan change)
	ended := make(chan struct{})
	for _, r := range c.reflectors {
		r.timing = c.timing
		r.tell = func(ctx context.Context, ch change) {
			select {
			case changes <- ch:
			case <-ctx.Done():
			}
		}
	}
	go func() {
		defer close(ended)
		follow(ctx, c.reflectors)
	}()
	w := &watching{cluster: c, observer: o, listed: make(map[string]bool), trouble: make(map[string]error), halves: make(map[string]half), held: make(map[string]bool)}
	defer func() {
		cancel()
		<-ended
		w.sweeping.Wait()
		c.view.setSynced(false)
	}()
	sweep := time.NewTicker(c.timing.unfinal)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ch := <-changes:
			w.take(ctx, ch)
		case <-w.late:
			w.tellStale()
		case <-sweep.C:
			w.sweep(ctx)
		}
	}
}

// LastSeen is when the cluster last said anything on the quietest of the watches; zero
// before it did. The API server says something every two minutes or so.
func (c *Cluster) LastSeen() time.Time {
	oldest := int64(0)
	for i, r := range c.reflectors {
		if at := r.seen.Load(); i == 0 || at < oldest {
			oldest = at
		}
	}
	if oldest == 0 {
		return time.Time{}
	}
	return time.Unix(0, oldest)
}

// watching is the state of one Watch; it lives in one goroutine.
type watching struct {
	cluster   *Cluster
	observer  playground.Observer
	listed    map[string]bool  // kinds that were listed at least once
	trouble   map[string]error // kinds that are out of touch now
	late      <-chan time.Time // fires when trouble lasted too long
	stale     bool             // was told
	synced    bool             // was told
	halves    map[string]half  // unfinished releases, by name
	held      map[string]bool  // names whose pod vanished under a mark, not told yet
	sweeping  sync.WaitGroup
	finishing atomic.Bool // half-done releases are being finished
}

// half is a release whose pod is still there.
type half struct {
	uid   string
	since time.Time
}

func (w *watching) take(ctx context.Context, ch change) {
	switch {
	case ch.trouble != nil:
		w.outOfTouch(ch.resource.kind, ch.trouble)
	case ch.listed != nil:
		w.replace(ctx, ch.resource.kind, ch.listed)
		w.inTouch(ch.resource.kind)
	case ch.one != nil:
		w.tell(w.put(ctx, nil, ch.resource.kind, *ch.one))
	}
}

// replace makes the view of one kind what all says, in an order that means nothing.
func (w *watching) replace(ctx context.Context, kind string, all []kept) {
	there := make(map[string]bool, len(all))
	var changed []playground.Database
	for _, k := range all {
		there[k.name] = true
		changed = w.put(ctx, changed, kind, k)
	}
	for _, name := range w.cluster.view.list(func(p pieces) bool { return p.has(kind) }) {
		if !there[name] {
			changed = w.put(ctx, changed, kind, kept{name: name})
		}
	}
	w.tell(changed)
}

func (w *watching) tell(changed []playground.Database) {
	if len(changed) > 0 {
		w.observer.Changed(changed...)
	}
}

func (p pieces) has(kind string) bool {
	switch kind {
	case "Lease":
		return p.record != nil
	case "Service":
		return p.service != nil
	case "Pod":
		return p.pod != nil
	}
	return p.volume != nil
}

// put makes one object of the view what k says, and appends the databases that this
// changed to changed.
func (w *watching) put(ctx context.Context, changed []playground.Database, kind string, k kept) []playground.Database {
	before, after := w.cluster.view.change(k.name, func(p *pieces) {
		switch kind {
		case "Lease":
			p.record = k.record
		case "Service":
			p.service = k.service
		case "Pod":
			p.pod = k.pod
		default:
			p.volume = k.volume
		}
	})
	for i := range after {
		if w.isNews(before[i], &after[i]) {
			changed = append(changed, after[i])
		}
	}
	if p := w.cluster.view.standing(k.name); p.halfHanded() && w.cluster.promises.hand(k.name, p.service.user) {
		w.handOver(ctx, k.name)
	}
	return changed
}

// handOver tells the rest of what was made ahead whose it is.
func (w *watching) handOver(ctx context.Context, place string) {
	w.sweeping.Go(func() {
		if err := w.cluster.handings.do(ctx, place); err != nil && ctx.Err() == nil {
			w.cluster.o.Log.WithError(err).WithField("place", place).Warn("a database that was made ahead is not handed over whole yet")
		}
	})
}

// isNews reports whether the change of a database is to be told.
func (w *watching) isNews(before playground.Database, after *playground.Database) bool {
	nothing := before.Phase == playground.None && after.Phase == playground.None
	if !w.synced || nothing || before == *after {
		return false
	}
	if after.User == "" {
		after.User = before.User
	}
	if after.Phase == playground.Missing && !after.Marked.IsZero() && before.Phase != playground.Missing {
		// Most likely a reaper released it, and the watch of leases is a moment behind
		// that of pods.
		w.held[after.User.Name()] = true
		return false
	}
	delete(w.held, after.User.Name())
	return true
}

func (w *watching) outOfTouch(kind string, err error) {
	log := w.cluster.o.Log.WithError(err)
	if w.trouble[kind] == nil {
		log.Warn("the watch broke and is begun again")
	} else {
		log.Debug("the watch is still broken")
	}
	w.trouble[kind] = err
	switch {
	case w.stale:
	case !w.synced:
		w.tellStale()
	case w.late == nil:
		w.late = time.After(w.cluster.timing.stale)
	}
}

func (w *watching) inTouch(kind string) {
	w.listed[kind] = true
	delete(w.trouble, kind)
	if len(w.listed) < len(w.cluster.reflectors) || len(w.trouble) > 0 {
		return
	}
	w.late = nil
	if !w.synced {
		w.synced = true
		w.cluster.view.setSynced(true)
		w.observer.Synced(w.cluster.view.all())
	}
	if w.stale {
		w.stale = false
		w.cluster.view.setSynced(true)
		w.observer.Stale(nil)
	}
}

func (w *watching) tellStale() {
	w.late = nil
	for _, err := range w.trouble {
		w.stale = true
		w.cluster.view.setSynced(false)
		w.observer.Stale(outOfReach(err))
		return
	}
}

// sweep deletes the pods of releases that have been half done for a while: the replica
// that began them is gone, or could not reach the cluster.
func (w *watching) sweep(ctx context.Context) {
	c := w.cluster
	for name := range w.held {
		delete(w.held, name)
		if _, after := c.view.change(name, func(*pieces) {}); after[0].Phase == playground.Missing {
			w.observer.Changed(after[0])
		}
	}
	w.halves = w.unfinished(ctx)
	c.promises.forget()
	for _, place := range c.view.list(pieces.halfHanded) {
		w.handOver(ctx, place)
	}
}

// unfinished finishes the releases that have been half done for long, all of them together
// and one time at a time, and returns all that are half done. One that stays is tried
// again only after as long, since its own replica may be at it.
func (w *watching) unfinished(ctx context.Context) map[string]half {
	view, now, busy := w.cluster.view, time.Now(), w.finishing.Load()
	all := make(map[string]half)
	var due []playground.Database
	for _, name := range view.databases(pieces.unfinishedRelease) {
		p, _ := view.database(name)
		if p.pod == nil {
			continue
		}
		uid := p.pod.version.UID
		h, known := w.halves[name]
		if !known || h.uid != uid {
			h = half{uid, now}
		}
		if !busy && now.Sub(h.since) >= w.cluster.timing.unfinal {
			h.since = now
			due = append(due, playground.Database{User: p.record.user, Place: p.record.place, Pod: playground.Version{UID: uid}})
		}
		all[name] = h
	}
	if len(due) > 0 {
		w.finishing.Store(true)
		w.sweeping.Go(func() {
			defer w.finishing.Store(false)
			w.finish(ctx, due)
		})
	}
	return all
}

func (w *watching) finish(ctx context.Context, due []playground.Database) {
	log := w.cluster.o.Log.WithField("databases", len(due))
	err := w.cluster.deletePods(ctx, due)
	switch {
	case err == nil:
		log.Info("releases that were left half done are finished")
	case ctx.Err() == nil:
		log.WithError(err).Warn("releases that were left half done cannot be finished yet; it is tried again")
	}
}
