package bed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// claimFile holds the run folder of the machine's one real cluster, so that a
// process with another cache folder does not build a second one over it.
const claimFile = "/run/sqlflow_playground_test_cluster"

// debianPackages names, for each thing that a real node needs, the package
// that brings it.
func debianPackages() map[string]string {
	return map[string]string{
		"containerd": "containerd", "containerd-shim-runc-v2": "containerd", "ctr": "containerd", "runc": "runc",
		"iptables": "iptables", "iptables-save": "iptables", "iptables-restore": "iptables",
		"conntrack": "conntrack", "ip": "iproute2", "debootstrap": "debootstrap", "mount": "mount",
		cniPlugins + "/bridge": "containernetworking-plugins", cniPlugins + "/host-local": "containernetworking-plugins",
		cniPlugins + "/loopback": "containernetworking-plugins",
	}
}

// checkMachine says in one line why a real cluster cannot work here.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster with a real node takes root (one with fake nodes does not: --nodes=fake)")
	}
	var things, packages []string
	for thing, name := range debianPackages() {
		if _, err := lookPath(thing); err != nil {
			things, packages = append(things, filepath.Base(thing)), append(packages, name)
		}
	}
	if len(things) == 0 {
		return nil
	}
	slices.Sort(things)
	slices.Sort(packages)
	return fmt.Errorf("a cluster with a real node needs %s: apt-get install --yes --no-install-recommends %s",
		strings.Join(things, ", "), strings.Join(slices.Compact(packages), " "))
}

// claimMachine refuses where another cluster uses this machine's addresses and
// rules, since taking ours down would break it.
func (b *Bed) claimMachine() error {
	other, err := os.ReadFile(claimFile)
	if err == nil && string(other) != b.dir {
		if _, err := os.Stat(filepath.Join(string(other), stateFile)); err == nil {
			return fmt.Errorf("a test cluster is up in %s: take it down with %s=%s", other, CacheVariable,
				filepath.Dir(filepath.Dir(string(other))))
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
		return fmt.Errorf("the bridge %s is there already and nothing tells who made it: ip link delete %s", bridge, bridge)
	}
	for _, name := range []string{"/etc/kubernetes/kubelet.conf", "/var/lib/kubelet/config.yaml"} {
		if _, err := os.Stat(name); err == nil {
			return fmt.Errorf("this machine is a node of another Kubernetes cluster (%s), which a test cluster would break", name)
		}
	}
	return os.WriteFile(claimFile, []byte(b.dir), 0o644)
}
