package workflow

import (
	"context"
	"errors"
	"fmt"
)

// Logs calls line for each line that a step has printed, of its last try. With follow it
// first waits until the step has begun, and then goes on until its container ends.
//
// The error is ErrNotFound, ErrNoLogs, an error of line, ctx's, or that of kubectl.
func (c *Cluster) Logs(ctx context.Context, name, step string, follow bool, line func([]byte) error) error {
	status, err := c.Status(ctx, name)
	if err != nil {
		return err
	}
	s := status.Step(step)
	if s == nil {
		return fmt.Errorf("the workflow %s has no step %.80q", name, step)
	}
	if follow && !s.Begun && !s.State.Ended() {
		err := c.in(status.Namespace).Watch(ctx, name, func(now *Status) error {
			if s = now.Step(step); s == nil || s.Begun || s.State.Ended() {
				return errBegun
			}
			return nil
		})
		if err != nil && !errors.Is(err, errBegun) {
			return err
		}
	}
	switch {
	case s == nil || s.Pod == "" && s.State.Ended():
		return fmt.Errorf("%s: its pod is gone, or it had none: %w", step, ErrNoLogs)
	case !s.Begun:
		return fmt.Errorf("%s has not begun: %w", step, ErrNoLogs)
	}
	return c.PodLogs(ctx, status.Namespace, s.Pod, s.Container, follow, line)
}

var errBegun = errors.New("the step has begun")

// PodLogs calls line for each line that a container has printed. With follow it goes on
// until kubectl ends its stream, which may be before the container ends: see Follow. The
// container must have begun. What the engine itself prints there is left out. The error is
// ErrNoLogs when the pod is gone, an error of line, ctx's, or that of kubectl.
func (c *Cluster) PodLogs(ctx context.Context, namespace, pod, container string, follow bool, line func([]byte) error) error {
	c = c.in(namespace)
	args := []string{"logs", pod, "--container=" + container}
	if follow {
		args = append(args, "--follow")
	}
	err := c.kubectl.Stream(ctx, func(text []byte) error {
		if c.engine.own(text) {
			return nil
		}
		return line(text)
	}, c.command(args...)...)
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
