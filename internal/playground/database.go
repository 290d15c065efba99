package playground

import (
	"fmt"
	"time"
)

// Phase is where a user's database stands in the cluster.
type Phase string

const (
	// None: no record and no pod.
	None Phase = ""
	// Missing: the record is alive but there is no pod. It was never made, or it
	// vanished (node lost, kubectl delete); the Manager makes it anew at once.
	Missing Phase = "missing"
	// Released: the record says that the pod was taken because it was idle. The
	// address is kept; the next use brings the database back.
	Released Phase = "released"
	// Starting: a pod is there and not yet ready.
	Starting Phase = "starting"
	// Ready: the pod has the condition Ready. Without an Address its service is
	// missing, and Start makes it.
	Ready Phase = "ready"
	// Failed: the pod can never become ready by itself; Reason says why.
	Failed Phase = "failed"
	// Leaving: the pod is being deleted.
	Leaving Phase = "leaving"
)

// Stage is how far a database that is starting has come.
type Stage string

const (
	Queued    Stage = "queued"    // other creations are before it
	Scheduled Stage = "scheduled" // it has a node
	Pulling   Stage = "pulling"   // its image is pulled, its container made
	Started   Stage = "started"   // its container runs; MySQL is coming up
)

// Version names one state of one object: UID says which incarnation of the name,
// Resource which change (Kubernetes' metadata.uid and metadata.resourceVersion).
type Version struct{ UID, Resource string }

// Database is what the cluster said last about one user's database. It is a
// value: nobody changes one that was handed on.
type Database struct {
	User User
	// Client is the common name of the gateway certificate that asked for it first; "" for
	// a user's own certificate, and where it is not known.
	Client string
	Phase  Phase
	// Reason is the cluster's own words: why it failed, or what it waits for.
	Reason string
	// Unsure says of phase Failed that it may pass by itself (no node has room at this
	// moment). The Manager believes it once it has stood for some seconds.
	Unsure bool
	// Stage tells more of phase Starting; "" before it has a node.
	Stage Stage
	// Place is the name under which pod and address stand in the cluster; "" if nothing is there.
	Place string
	// Address is host:port of MySQL, stable while the record lives; "" until known.
	Address string
	// Created is when the record was made, PodSince when the pod was, DataSince when the
	// data in it began: with the pod, or with its volume.
	Created, PodSince, DataSince time.Time
	// LastUse is the last use that was written to the cluster.
	LastUse time.Time
	// Marked is when a reaper announced that it will take the database; zero if not.
	Marked time.Time
	// ReleasedAt is when the pod was taken; zero unless Phase is Released.
	ReleasedAt time.Time
	// Record and Pod are versions for optimistic locks; zero when absent.
	Record, Pod Version
}

// Alive reports whether the database takes a place: a pod is there or due.
func (d Database) Alive() bool { return d.Phase != None && d.Phase != Released }

// runs reports whether the pod's container runs as far as is known, ready or not. In one
// that does not run, there is no data but that of a volume.
func (d Database) runs() bool {
	return d.Phase == Ready || d.Phase == Leaving || d.Phase == Starting && d.Stage == Started
}

// DataSource is the MySQL data source name that SQLFlow understands, in the form
// that the Python server returned it (sqlflow_playground/server.py): go-sql-driver's
// DSN behind "mysql://".
func DataSource(address string) string {
	return fmt.Sprintf("mysql://root:root@tcp(%s)/?maxAllowedPacket=0", address)
}
