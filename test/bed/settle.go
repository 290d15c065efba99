package bed

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// settleLimit is how long a cluster may take to get over what was done to it: the
// kubelet looks at its node every ten seconds.
const settleLimit = 5 * time.Minute

// Settle waits until a cluster has got over the absence of a component. What
// watches the API server comes back to it by itself, but may take a minute or
// more, since it asks again ever more seldom, and the controller manager may hold
// a node for lost meanwhile. So scheduler and controller manager are started
// again; then every component does its work, and each node is Ready and takes pods.
func (b *Bed) Settle(ctx context.Context) error {
	for _, c := range []Component{ControllerManager, Scheduler} {
		if err := b.Restart(ctx, c); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	err := waitUntil(ctx, settleLimit, 100*time.Millisecond, func(ctx context.Context) error {
		if err := b.Healthy(ctx); err != nil {
			return err
		}
		nodes, err := b.nodes(ctx)
		for _, n := range nodes {
			if why := n.notReady() + n.closed(); why != "" {
				err = errors.Join(err, errors.New(why))
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}
