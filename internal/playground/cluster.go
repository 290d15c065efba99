package playground

import (
	"context"
	"time"
)

// Cluster is where databases live. Its methods are safe for concurrent use, bound
// themselves in time, and report an unreachable cluster as an [*Error] of code
// [Unavailable] and what Kubernetes refuses for good (quota, admission, a name
// that is taken by something foreign) as code [CannotStart] with its own words.
type Cluster interface {
	// Adopt takes over databases that an older server left without a record, and
	// returns their users. It is called once, before Watch.
	Adopt(ctx context.Context) ([]User, error)

	// Watch tells o about every database, first all at once, then each change,
	// until ctx ends. It heals itself; it returns only ctx's error.
	Watch(ctx context.Context, o Observer) error

	// Get reads one database from the cluster itself, past any cache.
	// A database that is not there has phase None and no error.
	Get(ctx context.Context, user User) (Database, error)

	// Claim makes the user's record with last use at, and keeps in it which client asked
	// ([Database.Client]). The record is the lock that keeps two replicas from making two
	// databases: ErrExists if it is there.
	Claim(ctx context.Context, user User, client string, at time.Time) error

	// Reclaim clears a release from the user's record, which is Missing then; it counts as
	// a use. ErrNoRecord when the record is gone; that it was not released is no error.
	Reclaim(ctx context.Context, user User) error

	// Start makes the service and the pod of a claimed user, clears a release from
	// the record, and adopts what is there and ours. It does not wait for
	// readiness. ErrLeaving while an earlier pod is still being deleted, ErrNoRecord
	// when the record is gone. Pod and service belong to the record (an owner
	// reference), so that neither ever outlives it.
	Start(ctx context.Context, user User) error

	// Touch writes last uses: each user was last used at at. It also takes back
	// a reaper's mark. One call may stand for thousands of users.
	Touch(ctx context.Context, at time.Time, users []User) error

	// Mark announces that db will be released, if its record is still at
	// db.Record: ErrConflict if it is not. Watch tells of the mark and its version.
	Mark(ctx context.Context, db Database, at time.Time) error

	// Release takes db's pod and keeps its record and address, if the record is
	// still at db.Record: ErrConflict if it is not, and then nothing happened.
	Release(ctx context.Context, db Database, at time.Time) error

	// Stop deletes db's pod, exactly that one (db.Pod.UID), and leaves the rest.
	// A pod that is already gone is no error.
	Stop(ctx context.Context, db Database) error

	// Remove deletes user's pod, address and record, the record first: no other
	// replica then takes the vanishing pod for one to be healed, and what a killed
	// server leaves half-done goes with its owner. Data on a volume stays for the
	// user's return, unless purge is set. What is already gone is no error.
	Remove(ctx context.Context, user User, purge bool) error

	// Lead reports whether this replica is the one that reaps and fills the pool, and
	// keeps it so for ttl. Exactly one replica at a time gets true.
	Lead(ctx context.Context, ttl time.Duration) (bool, error)

	// Resign gives up the lead, if this replica has it.
	Resign(ctx context.Context) error
}

// Pool is a [Cluster] that can make databases ahead. Claim and Start then give a user one
// of these where they can.
type Pool interface {
	// Spares counts them, and gives a channel that is closed at the next change.
	Spares() (Spares, <-chan struct{})

	// Restock begins to make or to drop spares so that want of them are there, none
	// older than maxAge (0: any age) or made from another template. It makes a few at
	// a time: call it again whenever Spares changes. One replica at a time calls it.
	Restock(ctx context.Context, want int, maxAge time.Duration) error
}

// Spares counts databases that were made ahead and are nobody's yet: those that can be
// taken, those that are coming up, and those that are to be dropped.
type Spares struct{ Ready, Coming, Bad int }

// Observer is told what a Cluster sees. Calls come from one goroutine at a time
// and must not block.
type Observer interface {
	// Synced gives the complete state; databases that are not in all are gone.
	Synced(all []Database)
	// Changed gives the new state of databases (phase None: it is gone). Calls tell of
	// the records in the order in which the cluster changed them, the same for every
	// replica; what came to light in no known order, as after a watch that broke, is told
	// by one call.
	Changed(all ...Database)
	// Stale says that the watch is behind (err tells why), or, with nil, that it
	// caught up again.
	Stale(err error)
}

// Activity is what a database tells of its use: MySQL's Threads_connected and
// Connections status variables, less what the Prober itself caused.
type Activity struct {
	Threads     int64 // connections open now
	Connections int64 // connections accepted since the MySQL server began
}

// Prober asks a database itself, over the MySQL protocol.
type Prober interface {
	// Ping returns nil once the database answers a query. An error that wraps
	// ErrUnreachable says that there is no route from here to the address, one that
	// wraps ErrRefused that MySQL answers there, but not to us.
	Ping(ctx context.Context, address string) error
	// Activity counts the uses, without the connections that this Prober made.
	Activity(ctx context.Context, address string) (Activity, error)
}
