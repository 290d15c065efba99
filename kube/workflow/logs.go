package workflow

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Logs calls line for each line that a step has printed, in all its tries whose pods are
// there, the earliest first. With follow it first waits until the step has begun, and then
// goes on until the step ends, through the tries that come.
//
// The error is ErrNotFound, ErrNoLogs, an error of line, ctx's, or that of kubectl.
func (c *Cluster) Logs(ctx context.Context, name, step string, follow bool, line func([]byte) error) error {
	status, err := c.Status(ctx, name)
	if err != nil {
		return err
	}
	return c.LogsFrom(ctx, status, step, follow, line)
}

// LogsFrom is Logs where the status was read already.
func (c *Cluster) LogsFrom(ctx context.Context, status *Status, step string, follow bool, line func([]byte) error) error {
	c = c.in(status.Namespace)
	s := status.Step(step)
	switch {
	case s == nil:
		return fmt.Errorf("the workflow %s has no step %.80q", status.Name, step)
	case follow && !s.State.Ended():
		return c.followStep(ctx, status.Name, step, line)
	}
	err := noPod(step)
	if !s.State.Ended() {
		err = fmt.Errorf("%s has not begun: %w", step, ErrNoLogs)
	}
	for _, try := range new(Tries).Next(status) {
		switch {
		case try.Step != step:
			continue
		case follow:
			err = c.Follow(ctx, try, line)
		default:
			err = c.PodLogs(ctx, try.namespace, try.pod, try.container, line)
		}
		if err != nil && !errors.Is(err, ErrNoLogs) {
			return err
		}
	}
	return err
}

func noPod(step string) error {
	return fmt.Errorf("%s: its pod is gone, or it had none: %w", step, ErrNoLogs)
}

var errStepEnded = errors.New("the step has ended")

// followStep follows the tries of a step, one after the other, until the step ends.
func (c *Cluster) followStep(ctx context.Context, name, step string, line func([]byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	begun := make(chan *Try, 8)
	watching.Go(func() {
		defer close(begun)
		var tries Tries
		err := c.Watch(ctx, name, func(now *Status) error {
			for _, try := range tries.Next(now) {
				if try.Step != step {
					continue
				}
				select {
				case begun <- try:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if s := now.Step(step); s == nil || s.State.Ended() {
				return errStepEnded
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStepEnded) {
			cancel(err)
		}
	})
	err := noPod(step)
	for try := range begun {
		if err = c.Follow(ctx, try, line); err != nil && !errors.Is(err, ErrNoLogs) {
			break
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// PodLogs calls line for each line that a container has printed until now; it must have
// begun. What the engine itself prints there is left out. The error is ErrNoLogs when the
// pod is gone, an error of line, ctx's, or that of kubectl.
func (c *Cluster) PodLogs(ctx context.Context, namespace, pod, container string, line func([]byte) error) error {
	c = c.in(namespace)
	err := c.kubectl.Stream(ctx, func(text []byte) error {
		if c.engine.own(text) {
			return nil
		}
		return line(text)
	}, c.command("logs", pod, "--container="+container)...)
	if err == nil {
		return nil
	}
	return c.unread(ctx, pod, err)
}

// unread says why logs could not be read.
func (c *Cluster) unread(ctx context.Context, pod string, err error) error {
	if found, gone := c.kubectl.Run(ctx, nil, c.command("get", "pods", pod, "--ignore-not-found", "--output=name")...); gone == nil && len(found) == 0 {
		err = ErrNoLogs // a TaskRun names its pod for ever
	}
	return fmt.Errorf("read the logs of %s: %w", pod, err)
}
