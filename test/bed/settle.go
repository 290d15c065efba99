package bed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// settleLimit is how long a cluster may take to get over what was done to it: the
// kubelet looks at its node every ten seconds.
const settleLimit = 5 * time.Minute

// Settle waits until a cluster has got over the absence of a component. What
// watches the API server comes back to it by itself, but may take a minute or
// more, since it asks again ever more seldom, and the controller manager may hold
// a node for lost meanwhile. So scheduler and controller manager are started
// again, and show that they work; then every component does its work, and each
// node is Ready and takes pods.
func (b *Bed) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	err := firstError(
		func() error { return b.Start(ctx, APIServer) }, // which one of the others needs to start
		func() error { return b.Restart(ctx, ControllerManager) },
		func() error { return b.Restart(ctx, Scheduler) },
		func() error { return b.controllersWork(ctx) },
		func() error { return b.schedulerWorks(ctx) },
		func() error {
			return waitUntil(ctx, settleLimit, 100*time.Millisecond, func(ctx context.Context) error {
				return errors.Join(b.Healthy(ctx), b.nodesOpen(ctx))
			})
		},
	)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// probeSpace is a namespace of every cluster in which nothing runs.
const probeSpace = "--namespace=kube-node-lease"

// controllersWork takes away what every namespace has and waits until it is back.
func (b *Bed) controllersWork(ctx context.Context) error {
	const published = "configmap/kube-root-ca.crt"
	if _, err := b.Kubectl(ctx, nil, "delete", published, probeSpace, "--ignore-not-found"); err != nil {
		return err
	}
	if _, err := b.Kubectl(ctx, nil, "wait", published, probeSpace, "--for=create", "--timeout="+settleLimit.String()); err != nil {
		return fmt.Errorf("the controller manager does nothing: %w\n%s", err, b.tail(ControllerManager))
	}
	return nil
}

// schedulerWorks waits until the scheduler says of a pod that no node is right for it.
func (b *Bed) schedulerWorks(ctx context.Context) error {
	const nowhere = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "nowhere-"}, "spec": {
  "nodeSelector": {"nowhere": "here"}, "containers": [{"name": "none", "image": "none"}]}}`
	name, err := b.Kubectl(ctx, strings.NewReader(nowhere), "create", probeSpace, "--filename=-", "--output=name")
	if err != nil {
		return err
	}
	pod := strings.TrimSpace(string(name))
	_, err = b.Kubectl(ctx, nil, "wait", pod, probeSpace, "--for=condition=PodScheduled=false", "--timeout="+settleLimit.String())
	if err != nil {
		err = fmt.Errorf("the scheduler does nothing: %w\n%s", err, b.tail(Scheduler))
	}
	_, gone := b.Kubectl(ctx, nil, "delete", pod, probeSpace, "--grace-period=0", "--force")
	return errors.Join(err, gone)
}

// nodesOpen says which node is not Ready, or takes no pods.
func (b *Bed) nodesOpen(ctx context.Context) error {
	nodes, err := b.nodes(ctx)
	for _, n := range nodes {
		if why := n.notReady() + n.closed(); why != "" {
			err = errors.Join(err, errors.New(why))
		}
	}
	return err
}
