// Package bed boots a Kubernetes cluster on this machine for tests, and takes
// it down again.
//
// There are two flavours. Real nodes: one node with containerd, the kubelet and
// kube-proxy, on which pods truly run. Fake nodes: the control plane alone, with
// nodes played by kwok, for thousands of pods that become Ready by themselves.
// Both can be up at once.
//
// Nothing comes from a container registry: the programs are built from their Go
// modules (package programs), the images from Debian's packages (package
// images). What is slow to make is kept in a cache folder outside of the
// repository; everything of a running cluster lies in one run folder below it,
// so that another process can find it with Open and take it down.
//
//	b, err := bed.Up(ctx, bed.Options{Logf: t.Logf})
//	...
//	defer b.Down(context.WithoutCancel(ctx))
//	pods, err := b.Kubectl(ctx, nil, "get", "pods", "--output=json")
package bed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// CacheVariable names the environment variable with the folder that holds what
// is slow to make. Without it the folder is sqlflow_playground in the user's
// cache folder.
const CacheVariable = "PLAYGROUND_TEST_CACHE"

// Nodes says what the nodes of a cluster are.
type Nodes string

// The two flavours of a cluster.
const (
	Real Nodes = "real"
	Fake Nodes = "fake"
)

// ErrNotUp is what Open and Down give where no cluster of that flavour is up.
var ErrNotUp = errors.New("no cluster is up")

// ErrNotFound is what Get gives for an object that is not there.
var ErrNotFound = errors.New("not found")

// Options say which cluster is meant. The zero value is one real node, the
// default cache and no progress messages.
type Options struct {
	Nodes     Nodes
	FakeNodes int    // how many, 10 when zero; each holds any number of pods
	Cache     string // see CacheVariable
	Logf      func(format string, args ...any)
}

func (o Options) withDefaults() (Options, error) {
	if o.Nodes == "" {
		o.Nodes = Real
	}
	if o.Nodes != Real && o.Nodes != Fake {
		return o, fmt.Errorf("nodes are %s or %s, not %q", Real, Fake, o.Nodes)
	}
	if o.FakeNodes == 0 {
		o.FakeNodes = 10
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Cache == "" {
		o.Cache = os.Getenv(CacheVariable)
	}
	if o.Cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("no folder to keep what is built: set %s: %w", CacheVariable, err)
		}
		o.Cache = filepath.Join(dir, "sqlflow_playground")
	}
	cache, err := filepath.Abs(o.Cache)
	o.Cache = cache
	return o, err
}

// A Bed is a cluster that is up. Its methods may be called from several
// goroutines, except that one component is started or stopped by one at a time.
type Bed struct {
	dir    string
	state  *state
	client *http.Client
	logf   func(format string, args ...any)
}

// Open gives the cluster that is up, booted by this process or another one. The
// error is ErrNotUp when there is none.
func Open(o Options) (*Bed, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bed{dir: runFolder(o), logf: o.Logf}
	if b.state, err = load(b.dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotUp
		}
		return nil, fmt.Errorf("read the state of the cluster: %w", err)
	}
	if err := b.connect(); err != nil {
		return b, fmt.Errorf("%w: the boot did not get far: %w", ErrNotUp, err)
	}
	if !b.state.Complete {
		return b, fmt.Errorf("%w: the boot was not finished", ErrNotUp)
	}
	return b, nil
}

func runFolder(o Options) string { return filepath.Join(o.Cache, "run", string(o.Nodes)) }

// connect prepares the client that asks the API server and the kubelet as the
// administrator. No connection is kept: a restarted server would leave dead
// ones behind.
func (b *Bed) connect() error {
	ca, err := os.ReadFile(b.pki("ca.crt"))
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(b.pki("admin.crt"), b.pki("admin.key"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	b.client = &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}},
		},
	}
	return nil
}

func (b *Bed) path(elements ...string) string {
	return filepath.Join(append([]string{b.dir}, elements...)...)
}

// Nodes tells the flavour of the cluster.
func (b *Bed) Nodes() Nodes { return b.state.Nodes }

// Kubeconfig gives the path of the administrator's kubeconfig, which proves
// itself with a client certificate.
func (b *Bed) Kubeconfig() string { return b.pki("admin.kubeconfig") }

// KubectlPath gives the path of the kubectl built for this cluster.
func (b *Bed) KubectlPath() string { return b.kubernetes("kubectl") }

// StepPath gives the path of the step program, for steps that run on this
// machine.
func (b *Bed) StepPath() string { return filepath.Join(b.state.Own, "step") }

// Server gives the URL of the API server.
func (b *Bed) Server() string { return b.state.Server }

// NodeIP gives the address of the real node, which is also this machine's
// address as pods see it.
func (b *Bed) NodeIP() string { return nodeIP }

// PodCIDR gives the range of the addresses of pods.
func (b *Bed) PodCIDR() string {
	if b.state.Nodes == Fake {
		return fakePodCIDR
	}
	return podCIDR
}

// ServiceCIDR gives the range of the addresses of services.
func (b *Bed) ServiceCIDR() string {
	if b.state.Nodes == Fake {
		return fakeServiceCIDR
	}
	return serviceCIDR
}

// LogFile gives the path of what a component wrote, over all its restarts. It
// stays after Down, until the next boot.
func (b *Bed) LogFile(c Component) string { return b.path("logs", string(c)+".log") }

// Running says whether a component's process runs.
func (b *Bed) Running(c Component) bool {
	p := b.state.process(c)
	return p != nil && p.alive()
}

// Components lists the components of this flavour, in the order of booting.
func (b *Bed) Components() []Component {
	if b.state.Nodes == Fake {
		return []Component{Etcd, APIServer, ControllerManager, Scheduler, Kwok}
	}
	return []Component{Etcd, APIServer, ControllerManager, Scheduler, Containerd, Kubelet, KubeProxy}
}

// Start starts a component that is not running and waits, five minutes at most,
// until it does its work. The API server must run for the kubelet to count as
// working. The error carries the end of the component's log.
func (b *Bed) Start(ctx context.Context, c Component) error {
	if err := b.launch(c); err != nil {
		return err
	}
	return b.await(ctx, c, string(c)+" works", func(ctx context.Context) error { return b.ready(ctx, c) })
}

// launch starts a component without waiting.
func (b *Bed) launch(c Component) error {
	p := b.state.process(c)
	if p == nil {
		return fmt.Errorf("start %s: this cluster has none", c)
	}
	b.state.mu.Lock()
	err := error(nil)
	if !p.alive() {
		err = p.start()
	}
	b.state.mu.Unlock()
	return errors.Join(err, b.save())
}

// await waits until check agrees; that a component ended meanwhile, or what
// its log says last, is in the error.
func (b *Bed) await(ctx context.Context, c Component, what string, check func(context.Context) error) error {
	ended := errors.New("its process ended")
	var final error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := waitUntil(ctx, readyLimit, 50*time.Millisecond, func(ctx context.Context) error {
		if !b.Running(c) {
			final = ended
			cancel()
			return ended
		}
		return check(ctx)
	})
	if err == nil {
		return nil
	}
	if final != nil {
		err = final
	}
	return fmt.Errorf("waiting until %s: %w\n%s", what, err, b.tail(c))
}

// Stop ends a component as a restart of its machine would: politely, and if it
// does not go, with a kill. A stopped kubelet or containerd leaves the pods
// running.
func (b *Bed) Stop(ctx context.Context, c Component) error {
	return b.end(ctx, c, c.grace())
}

// Kill ends a component without a warning.
func (b *Bed) Kill(ctx context.Context, c Component) error {
	return b.end(ctx, c, 0)
}

func (b *Bed) end(ctx context.Context, c Component, grace time.Duration) error {
	p := b.state.process(c)
	if p == nil {
		return fmt.Errorf("stop %s: this cluster has none", c)
	}
	if err := p.stop(ctx, grace); err != nil {
		return fmt.Errorf("stop %s: %w\n%s", c, err, b.tail(c))
	}
	return nil
}

// Restart stops a component, starts it again and waits until it does its work.
func (b *Bed) Restart(ctx context.Context, c Component) error {
	if err := b.Stop(ctx, c); err != nil {
		return err
	}
	return b.Start(ctx, c)
}

func cacheOf(runFolder string) string { return filepath.Dir(filepath.Dir(runFolder)) }
