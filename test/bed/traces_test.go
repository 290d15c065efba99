package bed_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// processes lists those with a command line that matches.
func processes(t *testing.T, pattern string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	ours := regexp.MustCompile(pattern)
	for _, name := range lines {
		if line, err := os.ReadFile(name); err == nil && ours.Match(line) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// members lists the processes of pods, which all live below our cgroup.
func members(t *testing.T) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(":/sqlflow_playground")) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// traces lists everything on this machine that a real cluster changes: processes,
// mounts, network, rules, cgroups, kernel settings, sockets. Whoever else works on
// the machine changes such things as well, so only what can be the cluster's counts:
// what names its run folder, its bridge, its addresses or its chains, and the
// interfaces of its pods.
func traces(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{"processes": processes(t, `/run/real/`), "processes of pods": members(t)}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	found["mounts"] = matching(string(mounts), `/run/real/|sqlflow`)
	for name, args := range map[string][]string{
		"links": {"ip", "-brief", "link"}, "addresses": {"ip", "-4", "-brief", "address"}, "routes": {"ip", "route"},
		"rules": {"iptables-save"}, "rules of IPv6": {"ip6tables-save"},
	} {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		// The bridge plugin names its interfaces veth and eight digits.
		found[name] = matching(string(out), `sqlflow|\b198\.1[89]\.|\bveth[0-9a-f]{8}@|KUBE-`)
	}
	for name, pattern := range map[string]string{
		"cgroups": "/sys/fs/cgroup/sqlflow*", "cgroups of a controller": "/sys/fs/cgroup/*/sqlflow*",
		"shim sockets": "/run/containerd/s/*", "network namespaces": "/run/netns/*", "CNI results": "/var/lib/cni/results/*",
		"container logs": "/var/log/containers/*", "claims": "/run/sqlflow*",
	} {
		if found[name], err = filepath.Glob(pattern); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{
		"net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables", "net/ipv4/conf/all/route_localnet",
		"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
	} {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = []string{string(value)}
	}
	return found
}

// matching gives the lines of a text that match.
func matching(text, pattern string) (kept []string) {
	ours := regexp.MustCompile(pattern)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); ours.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return kept
}

// compare waits until the cluster has left nothing behind; a process that was just killed
// may take a moment to end.
func compare(t *testing.T, before map[string][]string) {
	t.Helper()
	eventually(t, "no trace is left", func() error {
		var errs []error
		for name, now := range traces(t) {
			for _, entry := range now {
				if !slices.Contains(before[name], entry) {
					errs = append(errs, fmt.Errorf("left behind in %s: %s", name, entry))
				}
			}
			for _, entry := range before[name] {
				if !slices.Contains(now, entry) {
					errs = append(errs, fmt.Errorf("gone from %s: %s", name, entry))
				}
			}
		}
		return errors.Join(errs...)
	})
}
