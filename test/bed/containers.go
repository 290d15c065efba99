package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupFolders gives the folder of our pods in each hierarchy: one for each
// controller (cgroup v1), or one for all.
func cgroupFolders() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return []string{filepath.Join(root, cgroup)}, nil
	}
	hierarchies, err := filepath.Glob(root + "/*/cgroup.procs")
	for i, name := range hierarchies {
		hierarchies[i] = filepath.Join(filepath.Dir(name), cgroup)
	}
	return hierarchies, err
}

// makeCgroups makes the cgroup that the kubelet hangs every pod under, so that
// whatever the pods start can be found in one place.
func makeCgroups() error {
	folders, err := cgroupFolders()
	if err != nil {
		return err
	}
	for _, dir := range folders {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the cgroup of the pods: %w", err)
		}
		parent := filepath.Dir(dir)
		// A new cpuset of cgroup v1 has no CPU until it is given some.
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
			value, err := os.ReadFile(filepath.Join(parent, name))
			if err != nil || filepath.Base(parent) != "cpuset" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), value, 0o644); err != nil {
				return fmt.Errorf("make the cgroup of the pods: %w", err)
			}
		}
		// In cgroup v2 controllers are handed down one level at a time.
		if enabled, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers")); err == nil {
			enable := []byte("+" + strings.Join(strings.Fields(string(enabled)), " +"))
			for _, level := range []string{parent, dir} {
				if len(enable) > 1 {
					_ = os.WriteFile(filepath.Join(level, "cgroup.subtree_control"), enable, 0o644)
				}
			}
		}
	}
	return nil
}

// killPods kills everything that runs in our cgroup and removes it.
func killPods(ctx context.Context) error {
	folders, err := cgroupFolders()
	if err != nil {
		return err
	}
	return waitUntil(ctx, 2*time.Minute, 20*time.Millisecond, func(context.Context) error {
		var left []string
		for _, root := range folders {
			var tree []string
			_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					tree = append(tree, path)
				}
				return nil
			})
			slices.Reverse(tree) // children first
			for _, dir := range tree {
				procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				for _, pid := range bytes.Fields(procs) {
					// The kernel names them as members in this moment.
					if n, err := strconv.Atoi(string(pid)); err == nil && n > 1 {
						_ = syscall.Kill(n, syscall.SIGKILL)
					}
				}
				if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
					left = append(left, dir)
				}
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("pods still have processes in %s", left[0])
		}
		return nil
	})
}

// shims gives the processes that containerd put between itself and each pod.
// They outlive it, and are known by the socket that they report to.
func (b *Bed) shims() []*process {
	var found []*process
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range entries {
		line, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(line, []byte("\x00-address\x00"+b.containerdSocket()+"\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			continue
		}
		if start, running := startOf(pid); running {
			found = append(found, &process{Path: "containerd-shim", PID: pid, Start: start})
		}
	}
	return found
}

// removeContainers ends what containerd left: shims and their sockets, which
// lie in a folder that every containerd of a machine shares.
func (b *Bed) removeContainers(ctx context.Context) error {
	var sockets []string
	addresses, _ := filepath.Glob(b.path("containerd", "state", "io.containerd.runtime.v2.task", "k8s.io", "*", "address"))
	for _, name := range addresses {
		if address, err := os.ReadFile(name); err == nil {
			sockets = append(sockets, strings.TrimPrefix(strings.TrimSpace(string(address)), "unix://"))
		}
	}
	var errs []error
	for _, shim := range b.shims() {
		errs = append(errs, shim.stop(ctx, 0))
	}
	errs = append(errs, killPods(ctx))
	for _, socket := range sockets {
		_ = os.Remove(socket)
	}
	results, _ := filepath.Glob("/var/lib/cni/results/" + network + "-*")
	for _, name := range results {
		_ = os.Remove(name)
		// Of the same pod; the loopback network's name is everyone's.
		id := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), network+"-"), "-eth0")
		_ = os.Remove("/var/lib/cni/results/cni-loopback-" + id + "-lo")
	}
	links, _ := filepath.Glob("/var/log/containers/*.log")
	for _, name := range links {
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, b.path("pods")+"/") {
			_ = os.Remove(name)
		}
	}
	return errors.Join(errs...)
}

// unmountBelow removes every mount in a folder, the last made first.
func unmountBelow(dir string) error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		// proc(5): blanks and the like are written in octal.
		point, err := strconv.Unquote(`"` + strings.ReplaceAll(fields[4], `"`, `\"`) + `"`)
		if err == nil && strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	slices.Reverse(points)
	var errs []error
	for _, point := range points {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}
