package playground

import "time"

// State is a database as its user sees it, in the REST API's words.
type State string

const (
	StateNone     State = "none"     // there is none (or it was released; its address may be kept)
	StateCreating State = "creating" // it is coming up
	StateReady    State = "ready"    // it answers
	StateFailed   State = "failed"   // it cannot start; Reason says why
)

// States are all values of State.
func States() []State { return []State{StateNone, StateCreating, StateReady, StateFailed} }

// Status is what is told about one user's database.
type Status struct {
	User   User
	Client string // the gateway that asked for it first, if one did
	State  State
	Reason string // the cluster's own words, while creating or failed
	// Stage is how far it has come while creating; "" when that is not known.
	Stage Stage
	// Address is host:port of MySQL, and DataSource what SQLFlow connects by; both are
	// "" unless State is ready.
	Address, DataSource string
	// Created is when the user first got a database, DataSince when the data in
	// it began: a database that was brought back without storage starts anew.
	Created, DataSince time.Time
	// LastHeartBeat is the last beat that this server or the record knows of, and
	// Expires when the database is released if nothing uses it until then (zero: never).
	LastHeartBeat, Expires time.Time
	// Ahead is how many creations are queued before this one.
	Ahead int
}
