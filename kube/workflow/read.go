package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// managedBy is the label that couler puts on what it makes.
const managedBy = "app.kubernetes.io/managed-by=sqlflow_playground"

// command makes kubectl's arguments: a verb first, the namespace last.
func (c *Cluster) command(args ...string) []string {
	if c.namespace != "" {
		args = append(args, "--namespace="+c.namespace)
	}
	return args
}

// Status reads a workflow and its steps. The error is ErrNotFound, or that of kubectl.
func (c *Cluster) Status(ctx context.Context, name string) (*Status, error) {
	status, _, err := c.Annotated(ctx, name)
	return status, err
}

// Annotated is Status with what is written on the workflow, by whoever made it.
func (c *Cluster) Annotated(ctx context.Context, name string) (*Status, map[string]string, error) {
	object, run, err := c.get(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	var made struct {
		Metadata metadata `json:"metadata"`
	}
	if err := decode(object, "workflow", &made); err != nil {
		return nil, nil, err
	}
	parts, err := c.in(run.Namespace).readParts(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	status, err := c.engine.status(object, parts)
	return status, made.Metadata.Annotations, err
}

// get reads the workflow's own object.
func (c *Cluster) get(ctx context.Context, name string) ([]byte, Run, error) {
	if err := checkName(name); err != nil {
		return nil, Run{}, err
	}
	object, err := c.kubectl.Run(ctx, nil, c.command("get", c.engine.workflows().argument, name, "--ignore-not-found", "--output=json")...)
	if err != nil {
		return nil, Run{}, fmt.Errorf("read the workflow %s: %w", name, err)
	}
	if len(strings.TrimSpace(string(object))) == 0 {
		return nil, Run{}, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	run, err := c.engine.run(object)
	return object, run, err
}

func (c *Cluster) readParts(ctx context.Context, name string) (map[string]part, error) {
	kind, label := c.engine.parts()
	text, err := c.kubectl.Run(ctx, nil, c.command("get", kind.argument, "--selector="+label+"="+name, "--output=json")...)
	if err != nil {
		return nil, fmt.Errorf("read what runs the steps of %s: %w", name, err)
	}
	list, err := decodeList(text)
	if err != nil {
		return nil, err
	}
	return c.partsOf(list.Items)
}

func (c *Cluster) partsOf(items []json.RawMessage) (map[string]part, error) {
	parts := make(map[string]part, len(items))
	for _, item := range items {
		p, err := c.engine.part(item)
		if err != nil {
			return nil, err
		}
		parts[p.name] = p
	}
	return parts, nil
}

// objectList is a list of objects as the API server or kubectl gives it.
type objectList struct {
	Metadata metadata          `json:"metadata"`
	Items    []json.RawMessage `json:"items"`
}

func decodeList(text []byte) (objectList, error) {
	var list objectList
	err := decode(text, "list", &list)
	return list, err
}

// List tells about the workflows that were made by us, or about all of the engine's, the
// newest first.
func (c *Cluster) List(ctx context.Context, all bool) ([]Run, error) {
	args := []string{"get", c.engine.workflows().argument, "--output=json"}
	if !all {
		args = append(args, "--selector="+managedBy)
	}
	text, err := c.kubectl.Run(ctx, nil, c.command(args...)...)
	if err != nil {
		return nil, fmt.Errorf("list the workflows: %w", err)
	}
	list, err := decodeList(text)
	if err != nil {
		return nil, err
	}
	runs := make([]Run, 0, len(list.Items))
	for _, item := range list.Items {
		run, err := c.engine.run(item)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b Run) int {
		if d := b.Created.Compare(a.Created); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return runs, nil
}

// Stop asks a workflow to end: its running steps are ended and no others begin, but for
// the exit step, which runs unless now is true. It does not wait for the end. The error is
// ErrNotFound, ErrFinished, or that of kubectl.
func (c *Cluster) Stop(ctx context.Context, name string, now bool) error {
	_, run, err := c.get(ctx, name)
	if err != nil {
		return err
	}
	if run.State.Ended() {
		return fmt.Errorf("%s %s: %w", name, run.State, ErrFinished)
	}
	_, err = c.in(run.Namespace).kubectl.Run(ctx, nil, c.in(run.Namespace).command(
		"patch", c.engine.workflows().argument, name, "--type=merge", "--patch="+c.engine.stop(now), "--output=name")...)
	if err != nil {
		return fmt.Errorf("stop the workflow %s: %w", name, err)
	}
	return nil
}

// Delete removes a workflow, and with it its pods and its Secret. The error is
// ErrNotFound or that of kubectl.
func (c *Cluster) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	gone, err := c.kubectl.Run(ctx, nil, c.command("delete", c.engine.workflows().argument, name, "--ignore-not-found", "--timeout=20s", "--output=name")...)
	if err != nil {
		return fmt.Errorf("delete the workflow %s: %w", name, err)
	}
	if len(strings.TrimSpace(string(gone))) == 0 {
		return fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	return nil
}
