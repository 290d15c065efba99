package couler_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/couler"
)

// Everything nasty at once, on both engines: nothing that they or the kubelet
// rewrite may stand anywhere in the YAML.
func TestNothingInTheYAMLIsRewritten(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		text, err := carrying(nasty...).Emit(engine)
		if err != nil {
			t.Fatalf("%s: %v", engine, err)
		}
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		scalars(&document, func(value string) {
			if rewritable(value) {
				t.Errorf("%s would rewrite %q", engine, value)
			}
		})
	}
}

func scalars(n *yaml.Node, visit func(value string)) {
	if n.Kind == yaml.ScalarNode {
		visit(n.Value)
	}
	for _, child := range n.Content {
		scalars(child, visit)
	}
}

// carrying makes a workflow whose steps hold the texts in each place that takes
// any text.
func carrying(texts ...string) *couler.Workflow {
	var all []couler.Step
	for _, text := range texts {
		if text = strings.ReplaceAll(text, "\x00", ""); strings.TrimSpace(text) == "" {
			text = "SELECT 1" + text
		}
		utf := strings.ToValidUTF8(text, "\ufffd")
		all = append(all,
			couler.Step{SQL: text, Env: []couler.EnvVar{{Name: "A", Value: utf}, {Name: "B", Hidden: couler.Credential(utf)}}},
			couler.Step{Python: utf},
			couler.Step{Command: []string{"echo", text, "plain"}})
	}
	return steps(all...)
}

// Emit reads its YAML back, so that an error is what is looked for here.
func fuzzEmit(f *testing.F, engine couler.Engine) {
	for _, text := range nasty {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := carrying(text)
		out, err := w.Emit(engine)
		if err != nil && !strings.Contains(err.Error(), "too large") {
			t.Fatalf("%q: %v", text, err)
		}
		if !utf8.Valid(out) {
			t.Errorf("%q: what is written is not UTF-8", text)
		}
		w.LogFile = "/d/f.log"
		for _, s := range w.AllSteps() {
			back := couler.ParseArgv(w.Argv(s))
			if back.SQL != s.SQL || back.Python != s.Python || strings.Join(back.Command, "\x00") != strings.Join(s.Command, "\x00") {
				t.Errorf("%q reads back as %+v", text, back)
			}
		}
		if _, err := w.SecretManifest(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}

func FuzzArgo(f *testing.F)   { fuzzEmit(f, couler.Argo) }
func FuzzTekton(f *testing.F) { fuzzEmit(f, couler.Tekton) }

func FuzzPythonProgram(f *testing.F) {
	python := newCompiler(f)
	for _, text := range nasty {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := carrying(text)
		w.Steps[1].Python = "print(" + strings.Repeat("1, ", len(text)%5) + ")" // a text is no Python
		out, err := w.Emit(couler.Python)
		if err != nil {
			if strings.Contains(err.Error(), "too large") {
				return
			}
			t.Fatalf("%q: %v", text, err)
		}
		python.check(t, out)
	})
}

func TestEnginesThatAreNotSequentialGetADAG(t *testing.T) {
	t.Parallel()
	w := steps(couler.Step{SQL: "a"}, couler.Step{SQL: "b", After: []string{}})
	text, err := w.Emit(couler.Argo)
	if err != nil || !strings.Contains(string(text), "dag:\n      tasks:\n      - name: s1\n        template: s1\n      - name: s2\n        template: s2\n") {
		t.Errorf("got %s, %v", text, err)
	}
}
