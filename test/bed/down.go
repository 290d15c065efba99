package bed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

const downLimit = 5 * time.Minute

// Down takes the cluster down that Options mean, whoever booted it, also one
// whose boot was broken off. The error is ErrNotUp when there is none.
func Down(ctx context.Context, o Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	unlock, err := lock(ctx, runFolder(o))
	if err != nil {
		return err
	}
	defer unlock()
	b, err := Open(o)
	if b == nil {
		return err
	}
	return b.remove(ctx)
}

// Down takes this cluster down and removes everything that it made on this
// machine: processes, containers, mounts, the bridge, rules and kernel
// settings. Logs stay until the next boot, and the cache stays.
func (b *Bed) Down(ctx context.Context) error {
	unlock, err := lock(ctx, b.dir)
	if err != nil {
		return err
	}
	defer unlock()
	return b.remove(ctx)
}

// remove goes on after a failure, so that as much as can be is removed; the
// state file goes last, so that what failed can be tried again.
func (b *Bed) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, downLimit)
	defer cancel()
	start := time.Now()
	real := b.state.Nodes == Real
	findStrays(b.state.Processes)
	// The kubelet first, which would start again what is killed.
	errs := []error{b.endAll(ctx, Kubelet, KubeProxy, ControllerManager, Scheduler, Kwok)}
	if real {
		errs = append(errs, b.removeContainers(ctx))
	}
	errs = append(errs, b.endAll(ctx, Containerd, APIServer))
	errs = append(errs, b.endAll(ctx, Etcd))
	if real {
		// A shim that containerd was just starting.
		errs = append(errs, b.removeContainers(ctx), unmountBelow(b.dir), b.tearDownNetwork(ctx))
		if err := os.Remove(claimFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	entries, err := os.ReadDir(b.dir)
	errs = append(errs, err)
	for _, entry := range entries {
		if name := entry.Name(); name != stateFile && name != "logs" {
			errs = append(errs, os.RemoveAll(b.path(name)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("take down the cluster: %w", err)
	}
	if err := os.Remove(b.path(stateFile)); err != nil {
		return err
	}
	b.logf("the cluster is down after %s", time.Since(start).Round(100*time.Millisecond))
	return nil
}

// endAll stops components side by side.
func (b *Bed) endAll(ctx context.Context, components ...Component) error {
	errs := make([]error, len(components))
	var wg sync.WaitGroup
	for i, c := range components {
		if b.state.process(c) != nil {
			wg.Go(func() { errs[i] = b.Stop(ctx, c) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}
