// Package programs builds the programs that a test cluster runs, from their
// published Go modules, and keeps them.
//
// Each family of programs has a wrapper module beside this package
// (../kubernetes, ../etcd, ../kwok) that pins every version; the programs that
// go into images are built from this module. A build is kept in a folder named
// after everything that decides its content, so the second run costs nothing
// and a changed version never meets an old binary.
package programs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ModulePath is the path of the module that this package is part of.
const ModulePath = "sqlflow.org/sqlflow_playground/test"

// KubernetesVersion is the release that ../kubernetes pins, as the programs
// tell it.
const KubernetesVersion = "v1.36.3"

const buildLimit = 40 * time.Minute

// A Family is a set of programs that one wrapper module pins and one go build
// makes.
type Family struct {
	Name     string   // names the folder of the built programs
	Module   string   // folder of the wrapper module, below the test module
	Packages []string // import paths; go build names a program after its last element
	Rename   map[string]string
	LDFlags  string // besides -s -w
	// Assets are folders of a module in the build that are copied beside the
	// programs: module path to folders within.
	Assets map[string][]string
	// Links are symbolic links that the sources of a module have and its zip
	// lacks: module path to each link, and to what it leads within its folder.
	Links map[string]map[string]string
}

// Kubernetes returns the control plane, the node's programs and kubectl.
//
// The version is linked in, since clients that parse it refuse a server that
// tells v0.0.0-master (k8s.io/component-base/version).
func Kubernetes() Family {
	const version = "k8s.io/component-base/version"
	const command = "k8s.io/kubernetes/cmd/"
	major, minor, _ := strings.Cut(strings.TrimPrefix(KubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	return Family{
		Name:   "kubernetes",
		Module: "kubernetes",
		Packages: []string{
			command + "kube-apiserver", command + "kube-controller-manager", command + "kube-scheduler",
			command + "kubelet", command + "kube-proxy", command + "kubectl",
		},
		LDFlags: fmt.Sprintf("-X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
			version, KubernetesVersion, major, minor),
	}
}

// Etcd returns the etcd server.
func Etcd() Family {
	return Family{
		Name: "etcd", Module: "etcd",
		Packages: []string{"go.etcd.io/etcd/server/v3"},
		Rename:   map[string]string{"server": "etcd"},
	}
}

// Kwok returns kwok, with the stages that its module ships.
func Kwok() Family {
	return Family{
		Name: "kwok", Module: "kwok",
		Packages: []string{"sigs.k8s.io/kwok/cmd/kwok"},
		Assets: map[string][]string{"sigs.k8s.io/kwok": {
			"kustomize/stage/node/fast", "kustomize/stage/node/heartbeat-with-lease", "kustomize/stage/pod/fast",
		}},
	}
}

// Own returns the programs of this module that go into images.
func Own() Family {
	return Family{Name: "own", Module: ".", Packages: []string{ModulePath + "/cmd/step", ModulePath + "/cmd/pause"}}
}

// A Builder makes programs and keeps them.
type Builder struct {
	Source string // folder of the test module, see Source
	Cache  string // folder that holds the built programs
	Logf   func(format string, args ...any)
}

// Source finds the folder of the test module from the working directory
// upwards, so that it is found from any package's test and from the
// repository's top folder.
func Source() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the test module: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{dir, filepath.Join(dir, "test")} {
			mod, err := os.ReadFile(filepath.Join(candidate, "go.mod"))
			if err == nil && bytes.Contains(mod, []byte("module "+ModulePath+"\n")) {
				return candidate, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the test module: no go.mod of %s in or above %s", ModulePath, start)
		}
	}
}

// Build returns the folder that holds the programs of f, each under its own
// name, and makes them first when they are not there yet. Cold, Kubernetes
// takes minutes. The error of a failed build carries what go said.
func (b Builder) Build(ctx context.Context, f Family) (dir string, err error) {
	key, err := b.key(ctx, f)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", f.Name, err)
	}
	dir = filepath.Join(b.Cache, f.Name+"-"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", f.Name, err)
	}
	// Built aside and renamed, so that a folder that exists is complete.
	half, err := os.MkdirTemp(b.Cache, "half-"+f.Name+"-")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", f.Name, err)
	}
	defer os.RemoveAll(half)
	if err := os.Chmod(half, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", f.Name, err)
	}
	start := time.Now()
	b.Logf("building %s (kept for the next time)", f.Name)
	args := []string{"build", "-o", half + "/", "-ldflags", strings.TrimSpace("-s -w " + f.LDFlags)}
	if len(f.Links) > 0 {
		scratch, err := os.MkdirTemp(b.Cache, f.Name+"-source-")
		if err != nil {
			return "", fmt.Errorf("build %s: %w", f.Name, err)
		}
		defer os.RemoveAll(scratch)
		modfile, err := b.restoreLinks(ctx, f, scratch)
		if err != nil {
			return "", fmt.Errorf("build %s: %w", f.Name, err)
		}
		args = append(args, "-modfile="+modfile)
	}
	if _, err := b.golang(ctx, f, append(args, f.Packages...)...); err != nil {
		return "", fmt.Errorf("build %s: %w", f.Name, err)
	}
	for from, to := range f.Rename {
		if err := os.Rename(filepath.Join(half, from), filepath.Join(half, to)); err != nil {
			return "", fmt.Errorf("build %s: %w", f.Name, err)
		}
	}
	if err := b.copyAssets(ctx, f, half); err != nil {
		return "", fmt.Errorf("build %s: %w", f.Name, err)
	}
	if err := os.Rename(half, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("build %s: %w", f.Name, err)
	}
	b.Logf("built %s in %s", f.Name, time.Since(start).Round(time.Second))
	return dir, nil
}

// key names everything that decides what a build gives: the pinned versions
// (or our own source), the compiler, the flags.
func (b Builder) key(ctx context.Context, f Family) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.GOOS, runtime.GOARCH, f.Packages, f.LDFlags, f.Assets)
	if len(f.Links) > 0 {
		fmt.Fprintln(sum, f.Links)
	}
	version, err := b.golang(ctx, f, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	fmt.Fprintln(sum, version)
	module := filepath.Join(b.Source, f.Module)
	files := []string{filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")}
	for _, pkg := range f.Packages {
		if within, ok := strings.CutPrefix(pkg, ModulePath+"/"); ok {
			sources, err := filepath.Glob(filepath.Join(module, within, "*.go"))
			if err != nil {
				return "", err
			}
			files = append(files, sources...)
		}
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, filepath.Base(name), len(content))
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

func (b Builder) copyAssets(ctx context.Context, f Family, to string) error {
	for module, folders := range f.Assets {
		dir, err := b.golang(ctx, f, "list", "-m", "-f", "{{.Dir}}", module)
		if err != nil {
			return err
		}
		for _, folder := range folders {
			from := filepath.Join(strings.TrimSpace(dir), folder)
			if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(from)); err != nil {
				return fmt.Errorf("copy %s of %s: %w", folder, module, err)
			}
		}
	}
	return nil
}

// golang runs go in the wrapper module of f. The programs are linked without
// cgo: they then need no compiler to build and no C library to run, also from
// an image with nothing else in it.
func (b Builder) golang(ctx context.Context, f Family, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.Source, f.Module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false -mod=readonly", "GOWORK=off")
	// A build whose maker was killed would keep the processors busy for minutes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s in %s: %w\n%s", args[0], cmd.Dir, err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}
