package programs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/test/programs"
)

func TestTheToldVersionIsThePinnedOne(t *testing.T) {
	t.Parallel()
	source, err := programs.Source()
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(source, "kubernetes", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "k8s.io/kubernetes "+programs.KubernetesVersion) {
		t.Errorf("kubernetes/go.mod does not pin %s", programs.KubernetesVersion)
	}
	staging := strings.Replace(programs.KubernetesVersion, "v1.", "v0.", 1)
	replaced := regexp.MustCompile(`=> k8s\.io/\S+ (\S+)`).FindAllSubmatch(mod, -1)
	if len(replaced) < 30 {
		t.Errorf("%d staging modules are replaced, want all 31", len(replaced))
	}
	for _, module := range replaced {
		if string(module[1]) != staging {
			t.Errorf("%s, want %s", module[0], staging)
		}
	}
}

func TestAProgramIsBuiltOnce(t *testing.T) {
	t.Parallel()
	source, err := programs.Source()
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	b := programs.Builder{Source: source, Cache: t.TempDir(), Logf: func(format string, _ ...any) { said = append(said, format) }}
	dir, err := b.Build(t.Context(), programs.Own())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"step", "pause"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s is not a program: %v", name, err)
		}
	}
	built := len(said)
	again, err := b.Build(t.Context(), programs.Own())
	if err != nil || again != dir || len(said) != built || built == 0 {
		t.Errorf("built again: %s, %v, said %q", again, err, said)
	}
}

func TestAFailedBuildTellsWhatGoSaid(t *testing.T) {
	t.Parallel()
	source, err := programs.Source()
	if err != nil {
		t.Fatal(err)
	}
	b := programs.Builder{Source: source, Cache: t.TempDir(), Logf: t.Logf}
	_, err = b.Build(t.Context(), programs.Family{Name: "missing", Module: ".", Packages: []string{"no/such/package"}})
	if err == nil || !strings.Contains(err.Error(), "no/such/package") {
		t.Errorf("got %v, want what go said", err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.Cache, "*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
