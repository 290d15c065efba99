package workflow

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
)

// submission is a label that all objects of one Submit carry, so that they can be found
// and removed even when kubectl was ended before it told their names.
const submission = "sqlflow.org/submission"

// cleanup bounds how long the remains of a failed Submit are removed for.
const cleanup = 20 * time.Second

// Submit creates a workflow, and before it the Secret that its steps need, under a name of
// its own. The Secret is then owned by the workflow, so that it goes with it. The namespace
// is the workflow's, else the Cluster's.
//
// When anything fails, or ctx ends, nothing is left in the cluster. The error is what Emit
// or SecretManifest says, or that of kubectl.
func (c *Cluster) Submit(ctx context.Context, w *couler.Workflow) (Run, error) {
	id := strings.ToLower(rand.Text()[:10])
	own := *w
	if own.Namespace == "" {
		own.Namespace = c.namespace
	}
	own.Labels = maps.Clone(w.Labels)
	if own.Labels == nil {
		own.Labels = map[string]string{}
	}
	own.Labels[submission] = id
	if w.Secret != "" {
		own.Secret = w.Secret + "-" + id
	}
	manifest, err := own.Emit(c.engine.name())
	if err != nil {
		return Run{}, err
	}
	secret, err := own.SecretManifest()
	if err != nil {
		return Run{}, err
	}
	to := c.in(own.Namespace)
	run, err := to.create(ctx, manifest, secret, own.Secret)
	if err == nil {
		return run, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	kinds := []string{c.engine.workflows().argument}
	if len(secret) > 0 {
		kinds = []string{"secrets", c.engine.workflows().argument}
	}
	left := false
	for _, kind := range kinds { // of several, kubectl deletes none when it does not know one
		_, failed := to.kubectl.Run(ctx, nil, to.command("delete", kind, "--selector="+submission+"="+id, "--ignore-not-found", "--wait=false")...)
		left = left || failed != nil && !NotInstalled(failed)
	}
	if left {
		err = fmt.Errorf("%w; should anything have been made, it has the label %s=%s and could not be removed", err, submission, id)
	}
	return Run{}, err
}

func (c *Cluster) create(ctx context.Context, manifest, secret []byte, secretName string) (Run, error) {
	if len(secret) > 0 {
		if _, err := c.kubectl.Run(ctx, secret, c.command("create", "--filename=-", "--output=name")...); err != nil {
			return Run{}, fmt.Errorf("create the workflow's secret: %w", err)
		}
	}
	text, err := c.kubectl.Run(ctx, manifest, c.command("create", "--filename=-", "--output=json")...)
	if err != nil {
		return Run{}, fmt.Errorf("create the workflow: %w", err)
	}
	var made struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
	}
	if err := decode(text, "created workflow", &made); err != nil {
		return Run{}, err
	}
	run, err := c.engine.run(text)
	if err != nil {
		return Run{}, err
	}
	if made.Metadata.UID == "" || checkName(run.Name) != nil {
		return Run{}, errors.New("create the workflow: kubectl did not tell what was made")
	}
	if len(secret) == 0 {
		return run, nil
	}
	owner := map[string]any{"metadata": map[string]any{"ownerReferences": []any{map[string]string{
		"apiVersion": made.APIVersion, "kind": made.Kind, "name": run.Name, "uid": made.Metadata.UID,
	}}}}
	patch, err := json.Marshal(owner)
	if err != nil {
		return Run{}, err
	}
	if _, err := c.kubectl.Run(ctx, nil, c.command("patch", "secret", secretName, "--type=merge", "--patch="+string(patch), "--output=name")...); err != nil {
		return Run{}, fmt.Errorf("give the workflow its secret: %w", err)
	}
	return run, nil
}
