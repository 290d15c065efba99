package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sqlflow.org/sqlflow_playground/kube/workflow"
)

const (
	// mostKubectl is how many kubectl processes workflows may have at once, and as
	// many again that read logs.
	mostKubectl = 2
	// mostLog is how much of a step's output is read, in bytes.
	mostLog = 4 << 20
	// logTime is how long reading it may take.
	logTime = 20 * time.Second
)

// bounded is a kubectl whose streams are bounded too, for here strangers cause them.
type bounded struct {
	workflow.Kubectl
	streams chan struct{}
}

func boundKubectl(k workflow.Kubectl) *bounded {
	return &bounded{Kubectl: k, streams: make(chan struct{}, mostKubectl)}
}

var errEnough = errors.New("enough was read")

// Stream implements [workflow.Kubectl]. A step's output that is too long ends with a
// line that says so, which [workflow.Cluster.Fetch] knows by its beginning.
func (b *bounded) Stream(ctx context.Context, line func([]byte) error, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, logTime)
	defer cancel()
	select {
	case b.streams <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.streams }()
	left := mostLog
	err := b.Kubectl.Stream(ctx, func(text []byte) error {
		if left -= len(text) + 1; left < 0 {
			return errEnough
		}
		return line(text)
	}, args...)
	if errors.Is(err, errEnough) {
		return line(fmt.Appendf(nil, "%s; this server shows the first %d MiB", workflow.More, mostLog>>20))
	}
	return err
}
