package bed

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// A Component is one of the programs of a cluster. Each can be stopped,
// killed and started again while the others run.
type Component string

// The components. A cluster of fake nodes has Kwok in place of the last three.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "kube-apiserver"
	ControllerManager Component = "kube-controller-manager"
	Scheduler         Component = "kube-scheduler"
	Containerd        Component = "containerd"
	Kubelet           Component = "kubelet"
	KubeProxy         Component = "kube-proxy"
	Kwok              Component = "kwok"
)

// grace is how long a component may take to end before it is killed.
func (c Component) grace() time.Duration {
	switch c {
	case APIServer:
		return 3 * time.Second // it waits a minute for open watches, which nobody needs
	default:
		return 10 * time.Second
	}
}

const readyLimit = 5 * time.Minute

// issueCertificates makes everything that the components prove themselves with.
func (b *Bed) issueCertificates() error {
	if err := os.MkdirAll(b.path("pki"), 0o700); err != nil {
		return err
	}
	ca, err := newAuthority(b.path("pki"))
	if err != nil {
		return fmt.Errorf("make the certificate authority: %w", err)
	}
	subject := func(user, group string) pkix.Name {
		name := pkix.Name{CommonName: user}
		if group != "" {
			name.Organization = []string{group}
		}
		return name
	}
	const masters = "system:masters"
	err = firstError(
		func() error {
			return ca.issue("apiserver", subject("kube-apiserver", ""), b.state.Address, "127.0.0.1", "localhost", firstServiceIP,
				"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
		},
		func() error { return ca.issue("apiserver-kubelet", subject("kube-apiserver-kubelet", masters)) },
		func() error {
			return ca.issue("kubelet", subject("system:node:"+NodeName, "system:nodes"), b.state.Address)
		},
		func() error { return ca.signingKey("service-accounts") },
		func() error { return ca.issueKubeconfig("admin", b.state.Server, subject("admin", masters)) },
	)
	if err != nil {
		return fmt.Errorf("issue certificates: %w", err)
	}
	for name, user := range map[Component]pkix.Name{
		ControllerManager: subject("system:kube-controller-manager", ""),
		Scheduler:         subject("system:kube-scheduler", ""),
		Kubelet:           subject("system:node:"+NodeName, "system:nodes"),
		KubeProxy:         subject("system:kube-proxy", ""),
		Kwok:              subject("kwok", masters),
	} {
		if err := ca.issueKubeconfig("client-"+string(name), b.state.Server, user); err != nil {
			return fmt.Errorf("issue certificates: %w", err)
		}
	}
	return nil
}

func firstError(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bed) pki(name string) string          { return b.path("pki", name) }
func (b *Bed) clientConfig(c Component) string { return b.pki("client-" + string(c) + ".kubeconfig") }
func (b *Bed) kubernetes(c Component) string   { return filepath.Join(b.state.Kubernetes, string(c)) }
func flag[T any](name string, value T) string  { return fmt.Sprintf("--%s=%v", name, value) }
func local(port int) string                    { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
func (b *Bed) record(c Component, path string, args ...string) {
	b.state.Processes[c] = &process{Path: path, Args: args, Log: b.LogFile(c)}
}

// describeControlPlane fixes the command lines of the control plane.
func (b *Bed) describeControlPlane() {
	client, peer := "http://"+local(b.state.EtcdPort), "http://"+local(b.state.EtcdPeerPort)
	b.record(Etcd, filepath.Join(b.state.Etcd, "etcd"),
		flag("data-dir", b.path("etcd")),
		flag("listen-client-urls", client), flag("advertise-client-urls", client),
		flag("listen-peer-urls", peer), flag("initial-advertise-peer-urls", peer),
		flag("initial-cluster", "default="+peer),
		// A killed etcd loses nothing by it, only a machine that crashes would.
		"--unsafe-no-fsync")

	b.record(APIServer, b.kubernetes(APIServer),
		flag("etcd-servers", client),
		flag("bind-address", b.state.Address), flag("secure-port", b.state.APIPort),
		// The kubelet's endpoint must not be a loopback address, so fake nodes
		// name one that only has to look right.
		flag("advertise-address", nodeIP),
		flag("service-cluster-ip-range", b.ServiceCIDR()),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		flag("client-ca-file", b.pki("ca.crt")),
		flag("tls-cert-file", b.pki("apiserver.crt")), flag("tls-private-key-file", b.pki("apiserver.key")),
		flag("service-account-issuer", "https://kubernetes.default.svc"),
		flag("service-account-key-file", b.pki("service-accounts.key")),
		flag("service-account-signing-key-file", b.pki("service-accounts.key")),
		flag("kubelet-certificate-authority", b.pki("ca.crt")),
		flag("kubelet-client-certificate", b.pki("apiserver-kubelet.crt")),
		flag("kubelet-client-key", b.pki("apiserver-kubelet.key")),
		"--kubelet-preferred-address-types=InternalIP", "--profiling=false")

	controllers := "*"
	if b.state.Nodes == Fake {
		// Nothing carries traffic to fake nodes, so nobody asks what is behind a
		// service, which is half of what a thousand pods with services are written for.
		controllers = "*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller"
	}
	// A volume and a claim that were not bound at the first try are bound a period later.
	const binderPeriod = "1s"
	b.record(ControllerManager, b.kubernetes(ControllerManager),
		flag("kubeconfig", b.clientConfig(ControllerManager)), flag("controllers", controllers),
		"--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=true",
		flag("service-account-private-key-file", b.pki("service-accounts.key")),
		flag("root-ca-file", b.pki("ca.crt")), flag("pvclaimbinder-sync-period", binderPeriod),
		"--kube-api-qps=200", "--kube-api-burst=400")

	b.record(Scheduler, b.kubernetes(Scheduler),
		flag("kubeconfig", b.clientConfig(Scheduler)),
		"--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000")
}

// ready says what is missing until a component does its work.
func (b *Bed) ready(ctx context.Context, c Component) error {
	switch c {
	case Etcd:
		return ExpectOK(ctx, http.DefaultClient, "http://"+local(b.state.EtcdPort)+"/health")
	case APIServer:
		return ExpectOK(ctx, b.client, b.state.Server+"/readyz")
	case Containerd:
		conn, err := net.DialTimeout("unix", b.containerdSocket(), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	case Kubelet:
		if err := ExpectOK(ctx, b.client, "https://"+net.JoinHostPort(b.state.Address, kubeletPort)+"/healthz"); err != nil {
			return err
		}
		return b.nodesReady(ctx, 1)
	case KubeProxy:
		return ExpectOK(ctx, http.DefaultClient, "http://"+local(b.state.ProxyPort)+"/healthz")
	case Kwok:
		return b.nodesReady(ctx, b.state.FakeNodes)
	default:
		return nil
	}
}
