package programs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The releases of the workflow engines that ../argo and ../tekton pin.
const (
	ArgoVersion   = "v3.7.6"
	TektonVersion = "v1.9.0"
)

// Argo returns Argo's workflow controller and the executor that it puts beside
// every step, with the definitions of its resources.
func Argo() Family {
	const module = "github.com/argoproj/argo-workflows/v3"
	return Family{
		Name: "argo", Module: "argo",
		Packages: []string{module + "/cmd/workflow-controller", module + "/cmd/argoexec"},
		LDFlags:  "-X " + module + ".version=" + ArgoVersion,
		Assets:   map[string][]string{module: {"manifests/base/crds/minimal"}},
		Links: map[string]map[string]string{module: {
			"workflow/executor/osspecific/signal_linux.go": "signal_darwin.go",
		}},
	}
}

// Tekton returns the controller of Tekton Pipelines and the programs that it
// puts into the pods of a step, with the definitions of its resources and its
// default configuration.
func Tekton() Family {
	const module = "github.com/tektoncd/pipeline"
	return Family{
		Name: "tekton", Module: "tekton",
		Packages: []string{
			module + "/cmd/controller", module + "/cmd/entrypoint", module + "/cmd/nop", module + "/cmd/workingdirinit",
		},
		Assets: map[string][]string{module: {"config"}},
	}
}

// restoreLinks copies each module that lost links into scratch, puts them back
// and gives a go.mod file that builds from the copies: what is in the module
// cache may be neither changed nor overlaid.
func (b Builder) restoreLinks(ctx context.Context, f Family, scratch string) (modfile string, err error) {
	modfile = filepath.Join(scratch, "go.mod")
	for _, name := range []string{"go.mod", "go.sum"} {
		body, err := os.ReadFile(filepath.Join(b.Source, f.Module, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(scratch, name), body, 0o644); err != nil {
			return "", err
		}
	}
	for module, links := range f.Links {
		out, err := b.golang(ctx, f, "list", "-m", "-json", module)
		if err != nil {
			return "", err
		}
		var about struct{ Dir, Version string }
		if err := json.Unmarshal([]byte(out), &about); err != nil {
			return "", fmt.Errorf("what go list tells about %s: %w", module, err)
		}
		source := filepath.Join(scratch, strings.ReplaceAll(module, "/", "-"))
		if err := os.CopyFS(source, os.DirFS(about.Dir)); err != nil {
			return "", fmt.Errorf("copy %s: %w", module, err)
		}
		for link, to := range links {
			if err := os.Symlink(to, filepath.Join(source, link)); err != nil {
				return "", fmt.Errorf("restore a link of %s: %w", module, err)
			}
		}
		if _, err := b.golang(ctx, f, "mod", "edit", "-replace="+module+"="+source, modfile); err != nil {
			return "", err
		}
	}
	return modfile, nil
}
