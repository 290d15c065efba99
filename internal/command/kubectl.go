package command

import (
	"context"
	"errors"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/metrics"
)

func newKubectl(ctx context.Context, s *settings, log *logrus.Logger, recorder *metrics.Recorder) (*backend, error) {
	return nil, errors.New("kube")
}
