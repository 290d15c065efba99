package command

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/embedded"
	"sqlflow.org/sqlflow_playground/internal/metrics"
	"sqlflow.org/sqlflow_playground/internal/playground"
)

// backend is where databases run.
type backend struct {
	cluster  playground.Cluster
	prober   playground.Prober
	watchAge func() time.Duration
	close    func()
}

var errNoEngine = errors.New("this program was built without the embedded MySQL: build it with make, or with -tags gms_pure_go")

// newBackend makes the backend that --backend names, and checks that it works.
func newBackend(ctx context.Context, s *settings, log *logrus.Logger, recorder *metrics.Recorder) (*backend, error) {
	if s.backend == backendEmbedded {
		if !embedded.Available {
			return nil, errNoEngine
		}
		c := embedded.New(embedded.Options{Log: log})
		return &backend{
			cluster: c, prober: c,
			watchAge: func() time.Duration { return 0 },
			close:    func() { _ = c.Close() },
		}, nil
	}
	return newKubectl(ctx, s, log, recorder)
}
