// Package clustertest holds what every playground.Cluster must do, as tests. A
// backend's own tests call [Run].
package clustertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// patience bounds every wait for the cluster. A backend may take its time to start
// and stop pods, and nothing here needs them to become ready.
const patience = 30 * time.Second

// Run checks the contract that playground.Cluster documents. new makes an empty
// cluster for one test, which ends with that test; nobody else uses it meanwhile.
// The tests run one after the other.
func Run(t *testing.T, new func(t *testing.T) playground.Cluster) {
	tests := []struct {
		name string
		test func(*suite)
	}{
		{"Get of nobody", (*suite).getNobody},
		{"Claim makes the record and is the lock", (*suite).claim},
		{"Claim by many at once has one winner", (*suite).claimRace},
		{"Claim keeps who asked", (*suite).client},
		{"Start needs a record", (*suite).startNobody},
		{"Start makes a pod and an address, once", (*suite).start},
		{"Touch writes last uses", (*suite).touch},
		{"Mark moves the version", (*suite).mark},
		{"Touch takes back a mark", (*suite).touchBeatsRelease},
		{"Release keeps record and address", (*suite).release},
		{"Release of a stale version does nothing", (*suite).releaseStale},
		{"Start after Release is at the same address", (*suite).revive},
		{"Reclaim takes a release back", (*suite).reclaim},
		{"Stop deletes exactly one pod", (*suite).stop},
		{"Remove deletes everything", (*suite).remove},
		{"users with strange ids never meet", (*suite).strangers},
		{"Adopt finds nothing in an empty cluster", (*suite).adoptNothing},
		{"Lead is kept", (*suite).lead},
		{"Watch tells everything, then changes", (*suite).watch},
		{"Watch tells of a removal", (*suite).watchRemoval},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			tt.test(&suite{T: t, ctx: ctx, Cluster: new(t)})
		})
	}
}

// suite is one test with its cluster.
type suite struct {
	*testing.T
	playground.Cluster
	ctx context.Context
}

const ada = playground.User("ada")

// clock returns whole seconds, which every backend can store, some hours ago.
func clock() time.Time { return time.Now().Add(-3 * time.Hour).UTC().Truncate(time.Second) }

func (s *suite) get(user playground.User) playground.Database {
	s.Helper()
	db, err := s.Get(s.ctx, user)
	if err != nil {
		s.Fatalf("Get: %v", err)
	}
	if db.User != user {
		s.Fatalf("Get(%v) is about %v", user, db.User)
	}
	return db
}

func (s *suite) must(what string, err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

func (s *suite) wantErr(what string, got, want error) {
	s.Helper()
	if !errors.Is(got, want) {
		s.Errorf("%s: %v, want %v", what, got, want)
	}
}

// until waits until done says that user's database is as expected.
func (s *suite) until(user playground.User, what string, done func(playground.Database) bool) playground.Database {
	s.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		db := s.get(user)
		if done(db) {
			return db
		}
		if time.Now().After(deadline) {
			s.Fatalf("%v was never %s: %+v", user, what, db)
		}
		<-tick.C
	}
}

func hasPod(db playground.Database) bool {
	return (db.Phase == playground.Starting || db.Phase == playground.Ready) && db.Pod.UID != "" && db.Address != ""
}

// started claims user, last used at at, and starts its database.
func (s *suite) started(user playground.User, at time.Time) playground.Database {
	s.Helper()
	s.must("Claim", s.Claim(s.ctx, user, "", at))
	return s.again(user)
}

// again starts the database of a claimed user; an earlier pod may still be leaving.
func (s *suite) again(user playground.User) playground.Database {
	s.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for {
		err := s.Start(s.ctx, user)
		if err == nil {
			return s.until(user, "started", hasPod)
		}
		if !errors.Is(err, playground.ErrLeaving) || time.Now().After(deadline) {
			s.Fatalf("Start: %v", err)
		}
		<-tick.C
	}
}

func (s *suite) getNobody() {
	db := s.get(ada)
	if db.Phase != playground.None || db.Alive() || db.Address != "" || db.Record != (playground.Version{}) {
		s.Errorf("Get = %+v", db)
	}
}

func (s *suite) claim() {
	at := clock()
	s.must("Claim", s.Claim(s.ctx, ada, "", at))
	db := s.get(ada)
	if db.Phase != playground.Missing || !db.Alive() {
		s.Errorf("phase = %q after Claim, want %q", db.Phase, playground.Missing)
	}
	if !db.LastUse.Equal(at) {
		s.Errorf("last use = %v, want %v", db.LastUse, at)
	}
	if age := time.Since(db.Created); age < -time.Minute || age > patience {
		s.Errorf("created %v ago", age)
	}
	if db.Record.UID == "" || db.Record.Resource == "" || db.Pod != (playground.Version{}) {
		s.Errorf("record, pod = %+v, %+v", db.Record, db.Pod)
	}
	if !db.Marked.IsZero() || !db.ReleasedAt.IsZero() {
		s.Errorf("a new record is marked %v, released %v", db.Marked, db.ReleasedAt)
	}
	s.wantErr("a second Claim", s.Claim(s.ctx, ada, "", at.Add(time.Hour)), playground.ErrExists)
	if again := s.get(ada); again.Record != db.Record || !again.LastUse.Equal(at) {
		s.Errorf("a second Claim changed %+v to %+v", db, again)
	}
	s.must("another user's Claim", s.Claim(s.ctx, "bob", "", at))
}

func (s *suite) claimRace() {
	const claimants = 6
	var wg sync.WaitGroup
	errs := make([]error, claimants)
	for i := range claimants {
		wg.Go(func() { errs[i] = s.Claim(s.ctx, ada, "", clock()) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			s.wantErr("Claim", err, playground.ErrExists)
		}
	}
	if won != 1 {
		s.Errorf("%d claimants won", won)
	}
}

func (s *suite) client() {
	const client = "DSW; \"prod\" 雲"
	s.must("Claim", s.Claim(s.ctx, ada, client, clock()))
	s.must("Claim", s.Claim(s.ctx, "bob", "", clock()))
	s.wantErr("another's Claim", s.Claim(s.ctx, ada, "another", clock()), playground.ErrExists)
	s.again(ada)
	s.must("Touch", s.Touch(s.ctx, clock(), []playground.User{ada, "bob"}))
	o, stop := s.watching()
	defer stop()
	o.until("ada was asked for by a client, bob by himself", func(all map[playground.User]playground.Database) bool {
		return all[ada].Client == client && all["bob"].Client == "" && len(all) == 2
	})
	if db := s.get(ada); db.Client != client {
		s.Errorf("client %q, want %q", db.Client, client)
	}
}

func (s *suite) reclaim() {
	s.wantErr("Reclaim of nobody", s.Reclaim(s.ctx, "nobody"), playground.ErrNoRecord)
	before, released := s.released(clock())
	o, stop := s.watching()
	defer stop()
	o.until("ada is released", func(all map[playground.User]playground.Database) bool { return all[ada].Phase == playground.Released })
	s.must("Reclaim", s.Reclaim(s.ctx, ada))
	o.until("ada is missing", func(all map[playground.User]playground.Database) bool { return all[ada].Phase == playground.Missing })
	db := s.get(ada)
	if db.Phase != playground.Missing || !db.Alive() || !db.ReleasedAt.IsZero() || db.Address != before.Address || db.Record.UID != before.Record.UID || !db.LastUse.After(released.LastUse) {
		s.Errorf("Reclaim made %+v of %+v", db, released)
	}
	s.must("Release again", s.Release(s.ctx, db, clock()))
	if db := s.until(ada, "released", func(db playground.Database) bool { return db.Phase == playground.Released }); db.Address != before.Address {
		s.Errorf("released again it is %+v, was %+v", db, before)
	}
	s.must("Reclaim", s.Reclaim(s.ctx, ada))
	pod := s.again(ada)
	s.must("Reclaim of what is not released", s.Reclaim(s.ctx, ada))
	if db := s.get(ada); db.Pod.UID != pod.Pod.UID || !hasPod(db) || db.Address != before.Address {
		s.Errorf("Reclaim of what is not released made %+v of %+v", db, pod)
	}
}

func (s *suite) startNobody() {
	s.wantErr("Start", s.Start(s.ctx, ada), playground.ErrNoRecord)
	if db := s.get(ada); db.Phase != playground.None {
		s.Errorf("it is there nevertheless: %+v", db)
	}
}

func (s *suite) start() {
	at := clock()
	first := s.started(ada, at)
	if !first.LastUse.Equal(at) {
		s.Errorf("last use = %v after Start, was %v", first.LastUse, at)
	}
	if first.DataSince.IsZero() {
		s.Error("nobody knows since when the data is there")
	}
	s.must("a second Start", s.Start(s.ctx, ada))
	if second := s.until(ada, "started", hasPod); second.Pod.UID != first.Pod.UID || second.Address != first.Address {
		s.Errorf("a second Start made %+v of %+v", second, first)
	}
	if bob := s.started("bob", at); bob.Address == first.Address {
		s.Errorf("two users share %s", bob.Address)
	}
}

func (s *suite) touch() {
	at := clock()
	for _, user := range []playground.User{"ada", "bob", "eve"} {
		s.must("Claim", s.Claim(s.ctx, user, "", at))
	}
	before := s.get("ada")
	later := at.Add(time.Hour)
	s.must("Touch", s.Touch(s.ctx, later, []playground.User{"ada", "nobody", "bob"}))
	for user, want := range map[playground.User]time.Time{"ada": later, "bob": later, "eve": at} {
		if db := s.get(user); !db.LastUse.Equal(want) {
			s.Errorf("last use of %v = %v, want %v", user, db.LastUse, want)
		}
	}
	if db := s.get("nobody"); db.Phase != playground.None {
		s.Errorf("Touch made %+v", db)
	}
	s.wantErr("Mark at the version before Touch", s.Mark(s.ctx, before, later), playground.ErrConflict)
	s.must("Touch of nobody", s.Touch(s.ctx, later, nil))
}

func (s *suite) mark() {
	at := clock()
	db := s.started(ada, at)
	now := at.Add(2 * time.Hour)
	marked := s.marked(db, now)
	if marked.Record == db.Record || marked.Record.UID != db.Record.UID {
		s.Errorf("Mark made %+v of %+v", marked, db)
	}
	if !hasPod(marked) || !marked.LastUse.Equal(at) {
		s.Errorf("Mark changed more than it should: %+v", marked)
	}
	s.wantErr("Mark at a stale version", s.Mark(s.ctx, db, now), playground.ErrConflict)
	s.must("Remove", s.Remove(s.ctx, ada, false))
	s.wantErr("Mark of what is gone", s.Mark(s.ctx, marked, now), playground.ErrConflict)
}

// marked marks db and returns it as it is then.
func (s *suite) marked(db playground.Database, at time.Time) playground.Database {
	s.Helper()
	s.must("Mark", s.Mark(s.ctx, db, at))
	got := s.get(db.User)
	if !got.Marked.Equal(at) {
		s.Fatalf("after Mark at %v there is %+v", at, got)
	}
	return got
}

func (s *suite) touchBeatsRelease() {
	at := clock()
	db := s.started(ada, at)
	marked := s.marked(db, at.Add(time.Hour))
	s.must("Touch", s.Touch(s.ctx, at.Add(time.Hour), []playground.User{ada}))
	if got := s.get(ada); !got.Marked.IsZero() {
		s.Errorf("marked %v after Touch", got.Marked)
	}
	s.wantErr("Release after Touch", s.Release(s.ctx, marked, at.Add(2*time.Hour)), playground.ErrConflict)
	if got := s.get(ada); !hasPod(got) || got.Pod.UID != db.Pod.UID || !got.ReleasedAt.IsZero() {
		s.Errorf("a refused Release made %+v", got)
	}
}

// released starts a database, marks it and releases it, as the reaper does.
func (s *suite) released(at time.Time) (before, after playground.Database) {
	s.Helper()
	before = s.started(ada, at)
	marked := s.marked(before, at.Add(time.Hour))
	s.must("Release", s.Release(s.ctx, marked, at.Add(2*time.Hour)))
	return before, s.until(ada, "released", func(db playground.Database) bool { return db.Phase == playground.Released })
}

func (s *suite) release() {
	at := clock()
	before, after := s.released(at)
	if after.Address != before.Address {
		s.Errorf("address = %q after Release, was %q", after.Address, before.Address)
	}
	if after.Record.UID != before.Record.UID || !after.Created.Equal(before.Created) || !after.LastUse.Equal(at) {
		s.Errorf("Release made %+v of %+v", after, before)
	}
	if !after.ReleasedAt.Equal(at.Add(2 * time.Hour)) {
		s.Errorf("released at %v, want %v", after.ReleasedAt, at.Add(2*time.Hour))
	}
	if after.Alive() {
		s.Error("a released database is alive")
	}
	s.wantErr("Claim of a released one", s.Claim(s.ctx, ada, "", at), playground.ErrExists)
}

func (s *suite) releaseStale() {
	at := clock()
	db := s.started(ada, at)
	marked := s.marked(db, at)
	s.wantErr("Release at the version before Mark", s.Release(s.ctx, db, at), playground.ErrConflict)
	if got := s.get(ada); got.Record != marked.Record || got.Pod.UID != db.Pod.UID || !hasPod(got) {
		s.Errorf("a refused Release made %+v", got)
	}
	s.must("Remove", s.Remove(s.ctx, ada, false))
	s.wantErr("Release of what is gone", s.Release(s.ctx, marked, at), playground.ErrConflict)
}

func (s *suite) revive() {
	before, _ := s.released(clock())
	after := s.again(ada)
	if after.Address != before.Address {
		s.Errorf("address = %q when it came back, was %q", after.Address, before.Address)
	}
	if after.Pod.UID == before.Pod.UID {
		s.Error("it is the same pod")
	}
	if !after.ReleasedAt.IsZero() || !after.Marked.IsZero() {
		s.Errorf("it is still released %v or marked %v", after.ReleasedAt, after.Marked)
	}
	if !after.Created.Equal(before.Created) || after.Record.UID != before.Record.UID {
		s.Errorf("the record is another: %+v, was %+v", after, before)
	}
	if after.DataSince.Before(before.DataSince) {
		s.Errorf("data since %v, was %v", after.DataSince, before.DataSince)
	}
}

func (s *suite) stop() {
	first := s.started(ada, clock())
	s.must("Stop", s.Stop(s.ctx, first))
	gone := s.until(ada, "missing", func(db playground.Database) bool { return db.Phase == playground.Missing })
	if gone.Address != first.Address || gone.Record.UID != first.Record.UID || gone.Pod.UID != "" {
		s.Errorf("Stop made %+v of %+v", gone, first)
	}
	s.must("a second Stop", s.Stop(s.ctx, first))

	second := s.again(ada)
	if second.Address != first.Address {
		s.Errorf("address = %q after Stop and Start, was %q", second.Address, first.Address)
	}
	s.must("Stop of the pod before", s.Stop(s.ctx, first))
	if got := s.get(ada); !hasPod(got) || got.Pod.UID != second.Pod.UID {
		s.Errorf("Stop of an earlier pod made %+v of %+v", got, second)
	}
	s.must("Stop of nobody", s.Stop(s.ctx, playground.Database{User: "bob", Pod: playground.Version{UID: "x"}}))
}

func (s *suite) remove() {
	first := s.started(ada, clock())
	bob := s.started("bob", clock())
	s.must("Remove", s.Remove(s.ctx, ada, false))
	s.until(ada, "gone", func(db playground.Database) bool {
		return db.Phase == playground.None || db.Phase == playground.Leaving
	})
	s.must("a second Remove", s.Remove(s.ctx, ada, false))
	s.must("Remove of nobody", s.Remove(s.ctx, "nobody", false))
	if got := s.get("bob"); got.Record != bob.Record || got.Pod.UID != bob.Pod.UID {
		s.Errorf("Remove of another user made %+v of %+v", got, bob)
	}
	if next := s.started(ada, clock()); next.Record.UID == first.Record.UID || next.Pod.UID == first.Pod.UID {
		s.Errorf("after Remove it is still %+v, was %+v", next, first)
	}
}

func (s *suite) strangers() {
	at := clock()
	ids := []playground.User{
		"a.b", "a-b", "A-B", "a_b", "a b", "a--b", "mail@example.org", "$(reboot)", "`id`", "x; y", "'", `"`, `\`, "a\nb", "a\tb",
		"../../etc/passwd", "雪", "💥", "\u202eabc", "null", "1", "-", "--help", "{}", "[]", "%s", "a:b", "#", "&", "a\x00b",
		playground.User(strings.Repeat("x", playground.MaxUserBytes)), playground.User(strings.Repeat("x", playground.MaxUserBytes-1)),
	}
	// All at once: a backend may do them together, and must not mix them up.
	errs, found := make([]error, len(ids)), make([]playground.Database, len(ids))
	each := func(do func(i int, id playground.User) error) {
		s.Helper()
		var all sync.WaitGroup
		for i, id := range ids {
			all.Go(func() { errs[i] = do(i, id) })
		}
		all.Wait()
		for i, id := range ids {
			s.must(id.String(), errs[i])
		}
	}
	usedAt := func(i int) time.Time { return at.Add(time.Duration(i) * time.Second) }
	each(func(i int, id playground.User) error { return s.Claim(s.ctx, id, "", usedAt(i)) })
	each(func(i int, id playground.User) (err error) { found[i], err = s.Get(s.ctx, id); return err })
	records := map[string]playground.User{}
	for i, id := range ids {
		db := found[i]
		if db.User != id || !db.LastUse.Equal(usedAt(i)) {
			s.Errorf("%v was last used at %v, want %v: %+v", id, db.LastUse, usedAt(i), db)
		}
		if other, ok := records[db.Record.UID]; ok {
			s.Errorf("%v and %v share a record", id, other)
		}
		records[db.Record.UID] = id
	}
}

func (s *suite) adoptNothing() {
	users, err := s.Adopt(s.ctx)
	if err != nil || len(users) != 0 {
		s.Errorf("Adopt = %v, %v", users, err)
	}
}

func (s *suite) lead() {
	for range 2 {
		leads, err := s.Lead(s.ctx, time.Minute)
		if err != nil || !leads {
			s.Errorf("Lead = %v, %v for the only replica", leads, err)
		}
	}
}
