package bed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"sqlflow.org/sqlflow_playground/test/images"
	"sqlflow.org/sqlflow_playground/test/programs"
)

// lockLimit is how long a process waits for another one that may be building
// everything.
const lockLimit = 45 * time.Minute

// Up gives the cluster, booted first when it is not up yet. What is left of a
// cluster that is only half there is removed before. A boot that fails is
// undone, its logs excepted; the error carries the end of the log of what
// failed. Where a cluster cannot work the error says so in one line.
func Up(ctx context.Context, o Options) (*Bed, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Nodes == Real {
		if err := checkMachine(); err != nil {
			return nil, err
		}
	}
	unlock, err := lock(ctx, runFolder(o))
	if err != nil {
		return nil, err
	}
	defer unlock()
	switch b, err := Open(o); {
	case err == nil && b.Healthy(ctx) == nil:
		o.Logf("the cluster is up already")
		return b, nil
	case b != nil:
		o.Logf("a cluster is half there: it is taken down first")
		if err := b.remove(ctx); err != nil {
			return nil, fmt.Errorf("take down what was left of a cluster: %w", err)
		}
	case !errors.Is(err, ErrNotUp):
		return nil, err
	}
	b := &Bed{dir: runFolder(o), logf: o.Logf, state: &state{
		Nodes: o.Nodes, FakeNodes: o.FakeNodes, Processes: map[Component]*process{},
	}}
	tars, err := b.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := b.boot(ctx, tars); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("boot the cluster: %w", err), b.remove(undo))
	}
	o.Logf("the cluster is up after %s", time.Since(start).Round(100*time.Millisecond))
	return b, nil
}

// lock keeps two processes from working on the same at once; the second waits.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(name + ".lock")
	if err != nil {
		return nil, err
	}
	if err := waitUntil(ctx, lockLimit, 100*time.Millisecond, func(context.Context) error {
		return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("another process works on %s: %w", name, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// prepare makes the programs and the images, side by side: the ones keep the
// processors busy, the others mostly the disk.
func (b *Bed) prepare(ctx context.Context, o Options) (tars []string, err error) {
	source, err := programs.Source()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bin, tarFolder := filepath.Join(o.Cache, "bin"), filepath.Join(o.Cache, "images")
	unlock, err := lock(ctx, bin)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, pattern := range []string{bin + "/half-*", bin + "/*-source-*", tarFolder + "/half-*"} {
		if err := removeStale(pattern); err != nil {
			return nil, err
		}
	}
	build := programs.Builder{Source: source, Cache: bin, Logf: o.Logf}
	if b.state.Own, err = build.Build(ctx, programs.Own()); err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	var buildErr, imageErr error
	wg.Go(func() {
		families := map[*string]programs.Family{&b.state.Etcd: programs.Etcd(), &b.state.Kubernetes: programs.Kubernetes()}
		if o.Nodes == Fake {
			families[&b.state.Kwok] = programs.Kwok()
		}
		for into, family := range families {
			if *into, buildErr = build.Build(ctx, family); buildErr != nil {
				cancel()
				return
			}
		}
	})
	wg.Go(func() {
		if o.Nodes == Real {
			maker := images.Builder{Cache: tarFolder, Logf: o.Logf}
			if tars, imageErr = b.imageTars(ctx, maker); imageErr != nil {
				cancel()
			}
		}
	})
	wg.Wait()
	if errors.Is(imageErr, context.Canceled) && buildErr != nil {
		return nil, buildErr
	}
	return tars, errors.Join(buildErr, imageErr)
}

// stale is longer than anything takes to be made.
const stale = time.Hour

// removeStale removes what was half made when its maker was killed, and leaves what
// somebody else may be making now.
func removeStale(pattern string) error {
	found, err := filepath.Glob(pattern)
	for _, path := range found {
		if info, gone := os.Stat(path); gone == nil && time.Since(info.ModTime()) > stale {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// imageTars gives the tars of the images that every real cluster has, the one
// that pods cannot start without first.
func (b *Bed) imageTars(ctx context.Context, maker images.Builder) ([]string, error) {
	pause, err := maker.Pause(filepath.Join(b.state.Own, "pause"))
	if err != nil {
		return nil, err
	}
	mysql, err := maker.MySQL(ctx)
	if err != nil {
		return nil, err
	}
	step, err := maker.Step(ctx, b.StepPath())
	return []string{pause, mysql, step}, err
}

// boot starts everything, each as soon as what it needs is there.
func (b *Bed) boot(ctx context.Context, tars []string) error {
	if err := os.RemoveAll(b.path("logs")); err != nil {
		return err
	}
	if err := os.MkdirAll(b.path("logs"), 0o755); err != nil {
		return err
	}
	if err := b.choosePorts(); err != nil {
		return err
	}
	if err := b.save(); err != nil {
		return err
	}
	if err := b.issueCertificates(); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	b.describeControlPlane()
	if b.state.Nodes == Fake {
		if err := b.describeKwok(); err != nil {
			return err
		}
	} else if err := b.prepareMachine(ctx); err != nil {
		return err
	}
	if err := b.save(); err != nil { // with every command line, before the first is started
		return err
	}

	imported := make(chan error, 1)
	go func() { imported <- b.startContainerd(ctx, tars) }()
	control := firstError(
		func() error { return b.Start(ctx, Etcd) },
		func() error { return b.Start(ctx, APIServer) },
		func() error { return b.launch(ControllerManager) },
		func() error { return b.launch(Scheduler) },
	)
	if err := errors.Join(<-imported, control); err != nil {
		return err
	}
	if b.state.Nodes == Fake {
		if err := b.createFakeNodes(ctx); err != nil {
			return err
		}
		if err := b.Start(ctx, Kwok); err != nil {
			return err
		}
	} else {
		if err := firstError(
			func() error { return b.launch(KubeProxy) },
			func() error { return b.Start(ctx, Kubelet) },
			func() error { return b.Start(ctx, KubeProxy) },
		); err != nil {
			return err
		}
	}
	// Pods are refused before the controller manager has made the account.
	err := b.await(ctx, ControllerManager, "the default service account is there", func(ctx context.Context) error {
		return b.Get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", new(struct{}))
	})
	if err != nil {
		return err
	}
	b.state.Complete = true
	return b.save()
}

// choosePorts fixes the addresses that the components listen on: those of the
// real node's own address, or else free ports of the loopback address.
func (b *Bed) choosePorts() error {
	free, err := FreePorts(5)
	if err != nil {
		return err
	}
	b.state.EtcdPort, b.state.EtcdPeerPort, b.state.ProxyPort, b.state.MetricsPort = free[0], free[1], free[2], free[3]
	b.state.Address, b.state.APIPort = nodeIP, 6443
	if b.state.Nodes == Fake {
		b.state.Address, b.state.APIPort = "127.0.0.1", free[4]
	}
	b.state.Server = "https://" + net.JoinHostPort(b.state.Address, strconv.Itoa(b.state.APIPort))
	return nil
}

// prepareMachine sets up what the real node needs of this machine.
func (b *Bed) prepareMachine(ctx context.Context) error {
	if err := b.claimMachine(); err != nil {
		return err
	}
	if err := b.setUpNetwork(ctx); err != nil {
		return err
	}
	if err := makeCgroups(); err != nil {
		return err
	}
	return b.describeNode(images.PauseName)
}

func (b *Bed) startContainerd(ctx context.Context, tars []string) error {
	if b.state.Nodes == Fake {
		return nil
	}
	if err := b.Start(ctx, Containerd); err != nil {
		return err
	}
	for _, tar := range tars {
		if err := b.LoadImage(ctx, tar); err != nil {
			return err
		}
	}
	return nil
}

// Healthy says what is wrong with a cluster that should be up: a component
// that does not run, or one that does not do its work at this moment.
func (b *Bed) Healthy(ctx context.Context) error {
	var errs []error
	for _, c := range b.Components() {
		if !b.Running(c) {
			errs = append(errs, fmt.Errorf("%s does not run", c))
		} else if err := b.ready(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c, err))
		}
	}
	return errors.Join(errs...)
}
