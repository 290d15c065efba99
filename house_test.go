package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is our import path.
const module = "sqlflow.org/sqlflow_playground/"

// mayImport says which packages of ours each package may import: the arrows of the
// house. A folder that is not listed may import nothing of ours.
var mayImport = map[string][]string{
	".":                               {"internal/command"},
	"internal/command":                {"*"},
	"handlers":                        {"internal/playground"},
	"internal/tlsserver":              {},
	"internal/metrics":                {"internal/playground"},
	"internal/probe":                  {"internal/playground"},
	"internal/embedded":               {"internal/playground"},
	"internal/playground/clustertest": {"internal/playground"},
	"kube":                            {"internal/playground", "templates"},
	"kube/workflow":                   {"kube", "couler", "couler/quote"},
	"couler":                          {"couler/program", "couler/quote", "couler/graph", "templates"},
	"couler/docker":                   {"couler"},
}

// sources are our Go files outside test/, which is a module of its own, by folder.
func sources(t *testing.T, tests bool) map[string][]*ast.File {
	t.Helper()
	found := map[string][]*ast.File{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "test" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") && !tests:
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		dir := path.Dir(filepath.ToSlash(name))
		found[dir] = append(found[dir], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestArrowsPointOneWay(t *testing.T) {
	t.Parallel()
	for dir, files := range sources(t, false) {
		allowed := mayImport[dir]
		for _, file := range files {
			for _, spec := range file.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				ours, ok := strings.CutPrefix(name, module)
				if !ok || slices.Contains(allowed, "*") || slices.Contains(allowed, ours) {
					continue
				}
				t.Errorf("%s imports %s; mayImport in house_test.go does not allow it", dir, ours)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	for dir, files := range sources(t, false) {
		docs := 0
		for _, file := range files {
			if file.Doc != nil {
				docs++
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments, want one", dir, docs)
		}
	}
}

func TestNoShellIsStarted(t *testing.T) {
	t.Parallel()
	for dir, files := range sources(t, false) {
		if dir == "kube/fakekubectl" {
			continue // a test double: its children that ignore signals are a shell's
		}
		for _, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				of, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := of.X.(*ast.Ident); !ok || pkg.Name != "exec" {
					return true
				}
				for _, arg := range call.Args {
					if lit, ok := arg.(*ast.BasicLit); ok && strings.HasSuffix(strings.Trim(lit.Value, "`\""), "sh") {
						t.Errorf("%s starts a shell: %s", dir, lit.Value)
					}
				}
				return true
			})
		}
	}
}

func TestNoPackageHasAnInit(t *testing.T) {
	t.Parallel()
	for dir, files := range sources(t, false) {
		for _, file := range files {
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s has an init function", dir)
				}
			}
		}
	}
}

// Without cgo and without the tag gms_pure_go there is no embedded MySQL, and all the
// rest: "make lean", and "go install" on a machine without a C compiler.
func TestTheProgramBuildsWithoutItsEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "sqlflow_playground")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags=", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	demo := exec.CommandContext(t.Context(), program, "demo")
	demo.Dir = dir
	out, err := demo.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "without the embedded MySQL: build it with make") {
		t.Errorf("demo: %v\n%s", err, out)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "key_store")); len(left) > 0 {
		t.Errorf("demo refused, and left %v", left)
	}
}
