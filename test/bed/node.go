package bed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

const (
	// NodeName is the name of the real node.
	NodeName = "playground"

	kubeletPort = "10250"
	cgroup      = "sqlflow_playground" // every pod's cgroup lies below it
	cniPlugins  = "/usr/lib/cni"       // where Debian's containernetworking-plugins puts them
	importLimit = 10 * time.Minute
)

func (b *Bed) containerdSocket() string { return b.path("containerd", "containerd.sock") }

// containerdConfig keeps this containerd apart from any other: its socket,
// folders, network namespaces and runc state are below the run folder.
//
// restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE may not lower it.
const containerdConfig = `version = 2
root = {{.Root}}
state = {{.State}}
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
  address = {{.Socket}}
[plugins."io.containerd.internal.v1.opt"]
  path = {{.Opt}}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {{.Pause}}
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = {{.Runc}}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {{.CNIPlugins}}
    conf_dir = {{.CNIConfig}}
`

// describeNode writes the configuration of the real node and fixes the command
// lines of its programs.
func (b *Bed) describeNode(pause string) error {
	for _, dir := range []string{"containerd", "cni", "kubelet", "pods"} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return err
		}
	}
	quoted := func(path ...string) string { return fmt.Sprintf("%q", b.path(path...)) }
	var conf strings.Builder
	err := template.Must(template.New("").Parse(containerdConfig)).Execute(&conf, map[string]string{
		"Root": quoted("containerd", "root"), "State": quoted("containerd", "state"), "Opt": quoted("containerd", "opt"),
		"Runc": quoted("containerd", "runc"), "Socket": fmt.Sprintf("%q", b.containerdSocket()),
		"Pause": fmt.Sprintf("%q", pause), "CNIPlugins": fmt.Sprintf("%q", cniPlugins), "CNIConfig": quoted("cni"),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.path("containerd", "config.toml"), []byte(conf.String()), 0o644); err != nil {
		return err
	}
	if err := b.writeJSON(b.networkConfig(), "cni", "10-playground.conflist"); err != nil {
		return err
	}
	if err := b.writeJSON(b.kubeletConfig(), "kubelet.json"); err != nil {
		return err
	}
	if err := b.writeJSON(b.proxyConfig(), "kube-proxy.json"); err != nil {
		return err
	}
	containerd, err := lookPath("containerd")
	if err != nil {
		return err
	}
	b.record(Containerd, containerd, flag("config", b.path("containerd", "config.toml")))
	b.record(Kubelet, b.kubernetes(Kubelet),
		flag("config", b.path("kubelet.json")), flag("kubeconfig", b.clientConfig(Kubelet)),
		flag("hostname-override", NodeName), flag("node-ip", b.state.Address),
		flag("root-dir", b.path("kubelet")), flag("cert-dir", b.path("kubelet", "pki")))
	b.record(KubeProxy, b.kubernetes(KubeProxy), flag("config", b.path("kube-proxy.json")))
	return nil
}

func (b *Bed) writeJSON(value any, path ...string) error {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(b.path(path...), body, 0o644)
}

type object map[string]any

func (b *Bed) kubeletConfig() object {
	return object{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": b.state.Address, "healthzPort": 0,
		"tlsCertFile": b.pki("kubelet.crt"), "tlsPrivateKeyFile": b.pki("kubelet.key"),
		"authentication": object{
			"anonymous": object{"enabled": false}, "webhook": object{"enabled": false},
			"x509": object{"clientCAFile": b.pki("ca.crt")},
		},
		"authorization":            object{"mode": "AlwaysAllow"}, // of those with a certificate of ours
		"containerRuntimeEndpoint": "unix://" + b.containerdSocket(),
		"cgroupDriver":             "cgroupfs", "cgroupRoot": "/" + cgroup, "failCgroupV1": false,
		"failSwapOn": false, "enforceNodeAllocatable": []string{}, "localStorageCapacityIsolation": false,
		"oomScoreAdj": 0, // lowering it takes CAP_SYS_RESOURCE
		// There is no DNS in the cluster. A name is refused at once by the node,
		// where without an address every pod would get a warning.
		"resolvConf": "", "clusterDNS": []string{nodeIP}, "clusterDomain": "cluster.local",
		"maxPods": 250, "makeIPTablesUtilChains": false,
		"podLogsDir": b.path("pods"), "volumePluginDir": b.path("kubelet", "volume-plugins"),
		// Images come from a tar, not from a registry: what is collected is lost.
		"imageGCHighThresholdPercent": 100,
		"evictionHard": object{
			"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
			"imagefs.inodesFree": "0%",
		},
		"kubeAPIQPS": 100, "kubeAPIBurst": 200, "eventRecordQPS": 0,
	}
}

func (b *Bed) proxyConfig() object {
	return object{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"clientConnection": object{"kubeconfig": b.clientConfig(KubeProxy)},
		"hostnameOverride": NodeName, "mode": "iptables", "clusterCIDR": podCIDR, "oomScoreAdj": 0,
		"healthzBindAddress": local(b.state.ProxyPort), "metricsBindAddress": local(b.state.MetricsPort),
		// Setting the size of the connection table takes rights over the machine.
		"conntrack": object{
			"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s",
		},
		"iptables": object{"minSyncPeriod": "100ms"},
	}
}

// LoadImage makes an image known to the real node, from a tar as docker save
// writes it. Pods name it with imagePullPolicy IfNotPresent or Never.
func (b *Bed) LoadImage(ctx context.Context, tar string) error {
	if b.state.Nodes != Real {
		return errors.New("load image: fake nodes run no images")
	}
	ctx, cancel := context.WithTimeout(ctx, importLimit)
	defer cancel()
	_, err := b.run(ctx, nil, "ctr", "--address", b.containerdSocket(), "--namespace", "k8s.io", "images", "import", tar)
	if err != nil {
		return fmt.Errorf("load image %s: %w", filepath.Base(tar), err)
	}
	return nil
}
