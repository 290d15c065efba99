package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The cluster lives on a bridge of its own, in the addresses that RFC 2544 sets
// aside for testing, so that it meets no one's network. The node is the
// bridge's own address: nothing that the cluster opens can be reached from
// another machine, and without masquerading no pod reaches one.
const (
	bridge         = "sqlflow0"
	bridgeMAC      = "02:73:71:6c:66:30" // fixed, or it would change with each pod
	nodeIP         = "198.18.0.1"
	podCIDR        = "198.18.0.0/16"
	podRangeStart  = "198.18.1.0"
	serviceCIDR    = "198.19.0.0/17"
	firstServiceIP = "198.19.0.1" // the API server's own service
	network        = "sqlflow-playground"
	ruleComment    = "sqlflow_playground test cluster"
	chainPrefix    = "KUBE-"
)

// What pretends to be a pod or a service has an address that is nobody's.
const (
	fakePodCIDR     = "198.18.128.0/17"
	fakeServiceCIDR = "198.19.128.0/17"
)

// networkConfig is the CNI configuration (containernetworking/cni SPEC).
func (b *Bed) networkConfig() object {
	return object{"cniVersion": "0.4.0", "name": network, "plugins": []object{{
		"type": "bridge", "bridge": bridge, "isGateway": true, "ipMasq": false, "hairpinMode": true,
		"ipam": object{
			"type": "host-local", "dataDir": b.path("cni", "addresses"),
			"ranges": [][]object{{{"subnet": podCIDR, "rangeStart": podRangeStart, "gateway": nodeIP}}},
			"routes": []object{{"dst": "0.0.0.0/0"}},
		},
	}}}
}

// changedSettings are the kernel settings that this bed, kube-proxy and the
// kubelet write, with the value that we need; empty where they choose it.
func changedSettings() map[string]string {
	return map[string]string{
		"net/ipv4/ip_forward":                 "1",
		"net/bridge/bridge-nf-call-iptables":  "1",
		"net/ipv4/conf/all/route_localnet":    "",
		"net/bridge/bridge-nf-call-ip6tables": "",
		"vm/overcommit_memory":                "",
		"vm/panic_on_oom":                     "",
		"kernel/panic":                        "",
		"kernel/panic_on_oops":                "",
		"kernel/keys/root_maxkeys":            "",
		"kernel/keys/root_maxbytes":           "",
	}
}

// setUpNetwork makes the bridge and lets its traffic pass, also where another
// program (a firewall, dockerd) drops what it does not know.
func (b *Bed) setUpNetwork(ctx context.Context) error {
	for _, args := range [][]string{
		{"ip", "link", "add", bridge, "address", bridgeMAC, "type", "bridge"},
		{"ip", "address", "add", nodeIP + "/16", "dev", bridge},
		{"ip", "link", "set", bridge, "up"},
		// Also without a default route, and never out of a real interface.
		{"ip", "route", "add", serviceCIDR, "dev", bridge, "src", nodeIP},
	} {
		if _, err := b.run(ctx, nil, args...); err != nil {
			return fmt.Errorf("set up the bridge %s: %w", bridge, err)
		}
	}
	b.state.Settings = map[string]string{}
	for name, value := range changedSettings() {
		before, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			if value == "" {
				continue
			}
			return fmt.Errorf("set up the network: %w (is the kernel built with br_netfilter?)", err)
		}
		b.state.Settings[name] = string(bytes.TrimSpace(before))
	}
	if err := b.save(); err != nil { // before the first is changed
		return err
	}
	for name, value := range changedSettings() {
		if value != "" {
			if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
				return fmt.Errorf("set up the network: %w", err)
			}
		}
	}
	for _, rule := range [][]string{{"INPUT", "--in-interface"}, {"FORWARD", "--in-interface"}, {"FORWARD", "--out-interface"}} {
		if _, err := b.run(ctx, nil, "iptables", "--wait", "10", "--insert", rule[0], rule[1], bridge,
			"--match", "comment", "--comment", ruleComment, "--jump", "ACCEPT"); err != nil {
			return fmt.Errorf("let the bridge's traffic pass: %w", err)
		}
	}
	return nil
}

// tearDownNetwork removes every rule of kube-proxy and of ours, the bridge with
// what hangs on it, and sets the kernel back.
func (b *Bed) tearDownNetwork(ctx context.Context) error {
	var errs []error
	for _, family := range []string{"iptables", "ip6tables"} {
		saved, err := b.run(ctx, nil, family+"-save")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if undo := rulesToRemove(saved); len(undo) > 0 {
			if _, err := b.run(ctx, bytes.NewReader(undo), family+"-restore", "--noflush", "--wait", "10"); err != nil {
				errs = append(errs, fmt.Errorf("remove the rules of the cluster: %w", err))
			}
		}
	}
	for _, cidr := range []string{podCIDR, serviceCIDR} {
		// It fails where there is nothing to delete. What stays would send a
		// new connection to a pod that is gone.
		_, _ = b.run(ctx, nil, "conntrack", "--delete", "--orig-dst", cidr)
	}
	ports, err := filepath.Glob("/sys/class/net/" + bridge + "/brif/*")
	if err != nil {
		errs = append(errs, err)
	}
	for _, port := range ports {
		// It may go with its namespace in this very moment.
		_, _ = b.run(ctx, nil, "ip", "link", "delete", filepath.Base(port))
	}
	if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
		if _, err := b.run(ctx, nil, "ip", "link", "delete", bridge); err != nil {
			errs = append(errs, err)
		}
	}
	for name, value := range b.state.Settings {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// rulesToRemove turns what iptables-save printed into input for
// iptables-restore --noflush that removes the chains of kube-proxy, what jumps
// to them, and the rules that carry our comment. It gives nothing where there
// is nothing to remove.
func rulesToRemove(saved []byte) []byte {
	var out, table bytes.Buffer
	var chains []string
	for line := range strings.Lines(string(saved)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			chains = nil
			table.Reset()
			fmt.Fprintln(&table, line)
		case strings.HasPrefix(line, ":"+chainPrefix):
			name, _, _ := strings.Cut(line[1:], " ")
			chains = append(chains, name)
			fmt.Fprintf(&table, "-F %s\n", name)
		case strings.HasPrefix(line, "-A "+chainPrefix):
			// Flushed with its chain.
		case strings.HasPrefix(line, "-A ") &&
			(strings.Contains(line, "-j "+chainPrefix) || strings.Contains(line, ruleComment)):
			fmt.Fprintf(&table, "-D %s\n", strings.TrimPrefix(line, "-A "))
		case line == "COMMIT":
			for _, name := range chains {
				fmt.Fprintf(&table, "-X %s\n", name)
			}
			if bytes.Count(table.Bytes(), []byte("\n")) > 1 {
				fmt.Fprintf(&out, "%sCOMMIT\n", table.Bytes())
			}
		}
	}
	return out.Bytes()
}
