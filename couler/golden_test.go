package couler_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldens are the programs and workflow files in testdata. NAME.env beside one
// is its environment; parallel-* runs what it can at once, inline-* carries its
// credentials in the YAML.
func goldens(t testing.TB) map[string]*couler.Workflow {
	t.Helper()
	all := map[string]*couler.Workflow{}
	for _, pattern := range []string{"testdata/*.sql", "testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, ".argo.yaml") || strings.HasSuffix(file, ".tekton.yaml") || strings.HasSuffix(file, ".secret.yaml") {
				continue
			}
			name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
			all[name] = golden(t, file)
		}
	}
	return all
}

func golden(t testing.TB, file string) *couler.Workflow {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(strings.TrimSuffix(file, filepath.Ext(file)) + ".env")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	environ := strings.Split(strings.TrimSpace(string(env)), "\n")
	options, err := couler.OptionsFromEnv(environ)
	if err != nil {
		t.Fatal(err)
	}
	options.Parallel = strings.Contains(file, "/parallel-")
	options.InlineCredentials = strings.Contains(file, "/inline-")
	session := couler.SessionFromEnv(environ)
	var w *couler.Workflow
	if strings.HasSuffix(file, ".sql") {
		w, err = couler.Compile(string(text), session, options)
	} else {
		w, err = couler.Load(bytes.NewReader(text), session, options)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return w
}

func TestEveryEngineWritesWhatTheGoldenFilesHold(t *testing.T) {
	t.Parallel()
	for name, w := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for engine, suffix := range map[couler.Engine]string{couler.Argo: ".argo.yaml", couler.Tekton: ".tekton.yaml", couler.Python: ".py"} {
				got, err := w.Emit(engine)
				if err != nil {
					t.Fatalf("%s: %v", engine, err)
				}
				compareGolden(t, "testdata/"+name+suffix, got)
			}
			secret, err := w.SecretManifest()
			if err != nil {
				t.Fatal(err)
			}
			if secret != nil {
				compareGolden(t, "testdata/"+name+".secret.yaml", secret)
			}
		})
	}
}

func compareGolden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is written now; run with -update and look at the difference. Now:\n%s", file, got)
	}
}

func TestTheSameWorkflowAlwaysGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	for name, w := range goldens(t) {
		for _, engine := range []couler.Engine{couler.Argo, couler.Tekton, couler.Python} {
			first, err := w.Emit(engine)
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				again, err := w.EmitUnread(engine)
				if err != nil || !bytes.Equal(first, again) {
					t.Fatalf("%s, %s: the second time is different (%v)", name, engine, err)
				}
			}
		}
	}
}
