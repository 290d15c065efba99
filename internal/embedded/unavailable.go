//go:build !cgo && !gms_pure_go

package embedded

import (
	"context"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Available reports whether this program was built with the engine. It was not: the
// engine's regular expressions need either cgo or the tag gms_pure_go, which make
// sets. A plain "go install" without a C compiler still gives everything else.
const Available = false

// Cluster answers everything with an error that says how to build it.
type Cluster struct{}

var (
	_ playground.Cluster = (*Cluster)(nil)
	_ playground.Prober  = (*Cluster)(nil)
)

var errUnavailable = &playground.Error{
	Code:    playground.Unavailable,
	Message: "this program was built without the embedded MySQL; build it with -tags gms_pure_go, as make does",
}

// New returns a Cluster that can do nothing.
func New(Options) *Cluster { return &Cluster{} }

func (*Cluster) Close() error { return nil }

func (*Cluster) Adopt(context.Context) ([]playground.User, error) { return nil, errUnavailable }

func (*Cluster) Watch(ctx context.Context, o playground.Observer) error {
	o.Stale(errUnavailable)
	<-ctx.Done()
	return ctx.Err()
}

func (*Cluster) Get(_ context.Context, user playground.User) (playground.Database, error) {
	return playground.Database{User: user}, errUnavailable
}

func (*Cluster) Claim(context.Context, playground.User, string, time.Time) error {
	return errUnavailable
}
func (*Cluster) Reclaim(context.Context, playground.User) error { return errUnavailable }

func (*Cluster) Start(context.Context, playground.User) error { return errUnavailable }

func (*Cluster) Touch(context.Context, time.Time, []playground.User) error { return errUnavailable }

func (*Cluster) Mark(context.Context, playground.Database, time.Time) error {
	return errUnavailable
}

func (*Cluster) Release(context.Context, playground.Database, time.Time) error { return errUnavailable }

func (*Cluster) Stop(context.Context, playground.Database) error { return errUnavailable }

func (*Cluster) Remove(context.Context, playground.User, bool) error { return errUnavailable }

func (*Cluster) Lead(context.Context, time.Duration) (bool, error) { return false, errUnavailable }

func (*Cluster) Resign(context.Context) error { return errUnavailable }

func (*Cluster) Ping(context.Context, string) error { return errUnavailable }

func (*Cluster) Activity(context.Context, string) (playground.Activity, error) {
	return playground.Activity{}, errUnavailable
}
