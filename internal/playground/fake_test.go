package playground_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// fakeCluster is a cluster in memory that several Managers can share. It keeps
// records and pods as Kubernetes would, tells every watcher of each change, and
// fails where a test says so. Pods become ready after startTime.
type fakeCluster struct {
	startTime time.Duration
	refuse    string        // when set, pods fail with this reason
	doubt     time.Duration // pods that startTime is over for are Failed, but Unsure, for so long
	down      bool          // nothing answers
	hold      bool          // pods never become ready

	mu            sync.Mutex
	clock         int
	records       map[playground.User]*playground.Database
	observers     map[playground.Observer]bool
	leader        string
	starts        map[playground.User]int
	claims        []playground.User // in the cluster's order
	begun         []playground.User // users whose pods were made, in order
	mostPods      int               // that there ever were at once
	touches       int
	beforeRelease func() // runs inside Release, before it looks at the record
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{
		startTime: 2 * time.Second,
		records:   map[playground.User]*playground.Database{},
		observers: map[playground.Observer]bool{},
		starts:    map[playground.User]int{},
	}
}

const unschedulable = "Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint(s)."

var errDown = &playground.Error{Code: playground.Unavailable, Message: "the cluster cannot be reached", RetryAfter: time.Second}

func (f *fakeCluster) tick() string { f.clock++; return strconv.Itoa(f.clock) }

// change tells every watcher about user. f.mu is held.
func (f *fakeCluster) change(user playground.User) {
	db := playground.Database{User: user}
	if r, ok := f.records[user]; ok {
		db = *r
	}
	for o := range f.observers {
		o.Changed(db)
	}
}

func (f *fakeCluster) record(user playground.User) *playground.Database {
	return f.records[user]
}

func (f *fakeCluster) Adopt(context.Context) ([]playground.User, error) { return nil, nil }

func (f *fakeCluster) Watch(ctx context.Context, o playground.Observer) error {
	f.mu.Lock()
	var all []playground.Database
	for _, r := range f.records {
		all = append(all, *r)
	}
	o.Synced(all)
	f.observers[o] = true
	f.mu.Unlock()
	<-ctx.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.observers, o)
	return ctx.Err()
}

func (f *fakeCluster) Get(_ context.Context, user playground.User) (playground.Database, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return playground.Database{}, errDown
	}
	if r := f.record(user); r != nil {
		return *r, nil
	}
	return playground.Database{User: user}, nil
}

func (f *fakeCluster) Claim(_ context.Context, user playground.User, client string, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errDown
	}
	if f.record(user) != nil {
		return fmt.Errorf("claiming: %w", playground.ErrExists)
	}
	f.claims = append(f.claims, user)
	f.records[user] = &playground.Database{User: user, Client: client, Phase: playground.Missing, Created: at, LastUse: at,
		Record: playground.Version{UID: f.tick(), Resource: f.tick()}, Address: "10.0.0." + f.tick() + ":3306"}
	f.change(user)
	return nil
}

func (f *fakeCluster) Reclaim(_ context.Context, user playground.User) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errDown
	}
	r := f.record(user)
	if r == nil {
		return playground.ErrNoRecord
	}
	if r.Phase == playground.Released {
		r.Phase, r.ReleasedAt = playground.Missing, time.Time{}
	}
	r.LastUse, r.Marked, r.Record.Resource = time.Now(), time.Time{}, f.tick()
	f.change(user)
	return nil
}

func (f *fakeCluster) Start(_ context.Context, user playground.User) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errDown
	}
	r := f.record(user)
	switch {
	case r == nil:
		return playground.ErrNoRecord
	case r.Address == "":
		r.Address = "10.0.1." + f.tick() + ":3306"
		f.change(user)
		return nil
	case r.Pod.UID != "":
		return nil
	}
	f.starts[user]++
	f.begun = append(f.begun, user)
	pods := 1
	for _, other := range f.records {
		if other.Pod.UID != "" {
			pods++
		}
	}
	f.mostPods = max(f.mostPods, pods)
	r.Pod = playground.Version{UID: "pod-" + f.tick(), Resource: f.tick()}
	r.Phase, r.Reason, r.Unsure, r.PodSince, r.ReleasedAt = playground.Starting, "starting", false, time.Now(), time.Time{}
	r.DataSince = r.PodSince
	r.Record.Resource = f.tick()
	f.change(user)
	pod := r.Pod.UID
	refuse, hold := f.refuse, f.hold
	become := func(after time.Duration, phase playground.Phase, reason string, unsure bool) {
		time.AfterFunc(after, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if r := f.record(user); r != nil && r.Pod.UID == pod && !hold {
				r.Phase, r.Reason, r.Unsure = phase, reason, unsure
				f.change(user)
			}
		})
	}
	if f.doubt > 0 {
		become(f.startTime, playground.Failed, unschedulable, true)
	}
	if refuse == "" {
		become(f.startTime+f.doubt, playground.Ready, "", false)
	} else {
		become(f.startTime+f.doubt, playground.Failed, refuse, false)
	}
	return nil
}

func (f *fakeCluster) Touch(_ context.Context, at time.Time, users []playground.User) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errDown
	}
	f.touches++
	for _, user := range users {
		if r := f.record(user); r != nil {
			r.LastUse, r.Marked, r.Record.Resource = at, time.Time{}, f.tick()
			f.change(user)
		}
	}
	return nil
}

func (f *fakeCluster) Mark(_ context.Context, db playground.Database, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.record(db.User)
	if r == nil || r.Record != db.Record {
		return playground.ErrConflict
	}
	r.Marked, r.Record.Resource = at, f.tick()
	f.change(db.User)
	return nil
}

func (f *fakeCluster) Release(_ context.Context, db playground.Database, at time.Time) error {
	if f.beforeRelease != nil {
		f.beforeRelease()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.record(db.User)
	if r == nil || r.Record != db.Record {
		return playground.ErrConflict
	}
	r.Phase, r.Pod, r.ReleasedAt, r.Marked = playground.Released, playground.Version{}, at, time.Time{}
	r.Record.Resource = f.tick()
	f.change(db.User)
	return nil
}

func (f *fakeCluster) Stop(_ context.Context, db playground.Database) error {
	f.vanish(db.User, db.Pod.UID)
	return nil
}

// vanish takes the pod away as a lost node would; pod "" means whichever there is.
func (f *fakeCluster) vanish(user playground.User, pod string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.record(user); r != nil && (pod == "" || r.Pod.UID == pod) {
		r.Phase, r.Reason, r.Unsure, r.Pod = playground.Missing, "", false, playground.Version{}
		f.change(user)
	}
}

// wasReleased makes what is left of a database that was there once.
func (f *fakeCluster) wasReleased(t *testing.T, user playground.User) {
	t.Helper()
	if err := f.Claim(t.Context(), user, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	f.set(func() {
		f.records[user].Phase = playground.Ready
		f.change(user)
		f.records[user].Phase, f.records[user].ReleasedAt = playground.Released, time.Now()
		f.change(user)
	})
}

// loseService deletes the service, as somebody with kubectl might.
func (f *fakeCluster) loseService(user playground.User) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records[user].Address = ""
	f.change(user)
}

func (f *fakeCluster) Remove(_ context.Context, user playground.User, _ bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return errDown
	}
	delete(f.records, user)
	f.change(user)
	return nil
}

func (f *fakeCluster) Lead(ctx context.Context, _ time.Duration) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	who, _ := ctx.Value(replica{}).(string)
	if f.leader == "" {
		f.leader = who
	}
	return f.leader == who, nil
}

func (f *fakeCluster) Resign(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leader = ""
	return nil
}

// replica is the context key under which a test names a Manager for Lead.
type replica struct{}

// set changes the cluster under its lock.
func (f *fakeCluster) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// get returns the record of user, or one of phase None.
func (f *fakeCluster) get(user playground.User) playground.Database {
	db, _ := f.Get(context.Background(), user)
	return db
}

// started counts the pods that were made for user, touched the calls that wrote last uses.
func (f *fakeCluster) started(user playground.User) (n int) {
	f.set(func() { n = f.starts[user] })
	return n
}

func (f *fakeCluster) touched() (n int) {
	f.set(func() { n = f.touches })
	return n
}

// fakeProber answers for every address, as the test says.
type fakeProber struct {
	mu        sync.Mutex
	ping      error
	pingTakes time.Duration
	ask       error
	askTakes  time.Duration
	asks      []time.Time // when it was asked
	counts    playground.Activity
}

func (p *fakeProber) Ping(ctx context.Context, _ string) error {
	if p.pingTakes > 0 {
		select {
		case <-time.After(p.pingTakes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ping
}

func (p *fakeProber) Activity(context.Context, string) (playground.Activity, error) {
	p.mu.Lock()
	p.asks = append(p.asks, time.Now())
	p.mu.Unlock()
	time.Sleep(p.askTakes)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts, p.ask
}

func (p *fakeProber) asked() (all []time.Time) {
	p.set(func() { all = slices.Clone(p.asks) })
	return all
}

func (p *fakeProber) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}
