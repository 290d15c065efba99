package playground

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of trouble an [Error] is. The words are part of the REST
// API ("error": {"code": ...}); handlers map each to one HTTP status.
type Code string

const (
	BadRequest    Code = "bad_request"         // the client's input is wrong
	Forbidden     Code = "forbidden"           // the certificate may not do this
	Full          Code = "too_many_databases"  // --max_databases, or a certificate's own limit
	Maintenance   Code = "maintenance"         // nobody new is served now
	StillCreating Code = "still_creating"      // creation goes on; ask again to join it
	Unavailable   Code = "cluster_unavailable" // the cluster cannot be reached
	CannotStart   Code = "cannot_start"        // the database can never start; Message is the cluster's own
	Interrupted   Code = "interrupted"         // deleted, or the server stops, while it was being created
	Internal      Code = "internal"            // our own fault; the cause is only in the log
)

// Error is an error with a code and a message fit for the client.
type Error struct {
	Code    Code
	Message string
	// RetryAfter, when positive, is how long the client should wait before it asks again.
	RetryAfter time.Duration
	// Ahead is how many creations were queued before this one when the answer was made.
	Ahead int
	// Err is the cause. It is logged, never sent.
	Err error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an [Error] without a cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError finds the [Error] in err's chain, or makes one of code [Internal]
// whose message tells the client nothing about err.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Internal, Message: "internal error; the request id leads to the cause in the server's log", Err: err}
}

var (
	// ErrConflict says that an object changed since the version that the caller
	// held: somebody else, perhaps another replica, was first.
	ErrConflict = errors.New("changed meanwhile")
	// ErrExists says that the user's record is already there.
	ErrExists = errors.New("record exists already")
	// ErrNoRecord says that the user's record is gone.
	ErrNoRecord = errors.New("the record is gone")
	// ErrUnreachable says that the network leads nowhere from here: a time-out or
	// no route, as opposed to a refused connection.
	ErrUnreachable = errors.New("no route to the database from here")
	// ErrRefused says that MySQL itself answered, with an error: the password of root was
	// changed, all its connections are taken.
	ErrRefused = errors.New("the database refuses this server")
	// ErrLeaving says that an earlier pod of the same name is still being deleted.
	ErrLeaving = errors.New("the previous pod is still terminating")
)
