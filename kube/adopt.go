package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Adopt looks at every pod of the namespace once and takes over those that the Python
// server made: record and service first, the pod's labels last, so that a replica that
// dies between leaves nothing that the next Adopt would pass by. One that Kubernetes
// refuses is no error: [Cluster.Start] tries it again.
func (c *Cluster) Adopt(ctx context.Context) ([]playground.User, error) {
	orphans, err := c.orphans(ctx)
	if err != nil || len(orphans) == 0 {
		return nil, outOfReach(err)
	}
	var (
		mu      sync.Mutex
		adopted []playground.User
		failed  error
		all     sync.WaitGroup
		places  = make(chan struct{}, adoptedAtOnce)
	)
	for user, pod := range orphans {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			err := outOfReach(c.adopt(ctx, user, pod))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				adopted = append(adopted, user)
			case ReasonOf(err) == Conflict: // another replica was first
			case errors.Is(err, errElsewhere): // and it was told
			case playground.AsError(err).Code == playground.Unavailable:
				failed = fmt.Errorf("adopt the pod %s: %w", pod.Metadata.Name, err)
			default: // its user alone has that trouble, and hears of it
				c.o.Log.WithError(err).Warnf("the pod %s of the old server is not adopted before its user asks for it", pod.Metadata.Name)
			}
		})
	}
	all.Wait()
	return adopted, failed
}

// adoptedAtOnce is small, because each takes several kubectl, which wait for one another.
const adoptedAtOnce = 8

// orphans lists, without a selector, the pods of the old server.
func (c *Cluster) orphans(ctx context.Context) (map[playground.User]*object, error) {
	orphans := make(map[playground.User]*object)
	err := c.o.Runner.Read(ctx, func(text io.Reader) error {
		_, err := decodeList(text, func(o *object) {
			suffix, ours := strings.CutPrefix(o.Metadata.Name, playground.NamePrefix)
			if !ours || o.Metadata.Labels[managerLabel] == managerName || !o.Metadata.DeletionTimestamp.IsZero() {
				return
			}
			user := playground.User(suffix)
			switch {
			case user.Name() == o.Metadata.Name && c.isOriginal(o):
				orphans[user] = o
			default:
				c.tellOnce(o.Metadata.UID, "the pod %.80q has a name like the playground's and is not its own; it is left alone", o.Metadata.Name)
			}
		})
		return err
	}, "get", "--raw", c.pods().path)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", c.pods().path, err)
	}
	return orphans, nil
}

func (c *Cluster) adopt(ctx context.Context, user playground.User, pod *object) error {
	err := c.Claim(ctx, user, "", c.o.Now())
	if errors.Is(err, playground.ErrExists) {
		err = c.elsewhere(ctx, user)
	}
	if err != nil {
		return err
	}
	there, err := c.patchLeases(ctx, []string{user.Name()}, fields{"metadata": fields{"annotations": fields{
		serviceNote: nil, markedNote: nil, releasedNote: nil, releasedPodNote: nil,
	}}})
	if err != nil {
		return err
	}
	h, ok := there[user.Name()]
	if !ok {
		return playground.ErrNoRecord
	}
	made, err := c.manifests(user, &h)
	if err != nil {
		return err
	}
	service := made[len(made)-1]
	if m := c.create(ctx, []document{service})[0]; m.err != nil && ReasonOf(m.err) != AlreadyExists {
		return m.err
	}
	return c.label(ctx, user, pod, h.record)
}

// label makes pod ours, if it is still as it was seen.
func (c *Cluster) label(ctx context.Context, user playground.User, pod *object, record string) error {
	_, err := c.patch(ctx, document{kind: "Pod", name: pod.Metadata.Name}, fields{"metadata": fields{
		"resourceVersion": pod.Metadata.ResourceVersion,
		"labels":          c.labels(user.Name()),
		"annotations":     fields{userNote: string(user)},
		"ownerReferences": ownerReferences(user.Name(), record),
	}})
	return outOfReach(err)
}

// isOriginal reports whether o is what the Python server made
// (sqlflow_playground/k8s.py, mysql_pod_config): a bare pod with one container.
func (c *Cluster) isOriginal(o *object) bool {
	spec := o.Spec
	if len(o.Metadata.Labels) > 0 || len(o.Metadata.OwnerReferences) > 0 || len(spec.InitContainers) > 0 || len(spec.Containers) != 1 {
		return false
	}
	if o.Status.Phase == "Failed" || o.Status.Phase == "Succeeded" {
		return false
	}
	mysql := spec.Containers[0]
	env := make(map[string]string)
	for _, e := range mysql.Env {
		env[e.Name] = e.Value
	}
	return mysql.Name == "mysql" && (mysql.Image == DefaultImage || mysql.Image == c.o.Image) &&
		len(mysql.Env) == 2 && env["MYSQL_HOST"] == "0.0.0.0" && env["MYSQL_PORT"] == mysqlPort
}
