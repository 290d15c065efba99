package couler_test

import (
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
)

func TestWhatIsWrongWithAWorkflowIsTold(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		name   string
		break_ func(w *couler.Workflow)
		want   string
	}{
		{"nothing", func(w *couler.Workflow) {}, ""},
		{"no steps", func(w *couler.Workflow) { w.Steps = nil }, "the workflow has no steps"},
		{"name", func(w *couler.Workflow) { w.Name = "A-" }, `the workflow's name "A-" is no prefix`},
		{"long name", func(w *couler.Workflow) { w.Name = long[:59] }, "at most 58"},
		{"namespace", func(w *couler.Workflow) { w.Namespace = "a.b" }, `"a.b" is no namespace`},
		{"service account", func(w *couler.Workflow) { w.ServiceAccount = "a b" }, `"a b" is no service account`},
		{"secret", func(w *couler.Workflow) { w.Secret = "{{x}}" }, `"{{x}}" is no name of a secret`},
		{"label", func(w *couler.Workflow) { w.Labels = map[string]string{"a": "b c"} }, `"a": "b c" is no label`},
		{"annotation", func(w *couler.Workflow) { w.Annotations = map[string]string{"a b": "c"} }, `"a b" is no annotation`},
		{"TTL", func(w *couler.Workflow) { w.TTL = -1 }, "a TTL of -1ns cannot be"},
		{"timeout", func(w *couler.Workflow) { w.Timeout = time.Millisecond }, "the timeout of 1ms is not in whole seconds"},
		{"log file", func(w *couler.Workflow) { w.LogFile = "a/b" }, `the log file "a/b" is no absolute path`},
		{"volume", func(w *couler.Workflow) { w.Volumes = []couler.Volume{{Name: "tekton-internal-x"}} }, `"tekton-internal-x" is no name of a volume`},
		{"two volumes", func(w *couler.Workflow) { w.Volumes = []couler.Volume{{Name: "v"}, {Name: "v"}} }, `there are two volumes "v"`},
		{"two sources", func(w *couler.Workflow) { w.Volumes = []couler.Volume{{Name: "v", Claim: "c", ConfigMap: "m"}} }, "volume v: only one of"},
		{"bad source", func(w *couler.Workflow) { w.Volumes = []couler.Volume{{Name: "v", Claim: "C"}} }, `volume v: "C" is no name of an object`},
		{"step name", func(w *couler.Workflow) { w.Steps[0].Name = "1st" }, `line 4: "1st" is no name of a step`},
		{"long step name", func(w *couler.Workflow) { w.Steps[0].Name = long }, "at most 63"},
		{"a name twice", func(w *couler.Workflow) { w.Steps[1].Name = "s1" }, "step s1: the name is taken"},
		{"the engine's name", func(w *couler.Workflow) { w.Steps[1].Name = "workflow" }, "step workflow: the name is taken"},
		{"the exit step's name", func(w *couler.Workflow) { w.OnExit = &couler.Step{Name: "s1", Image: "i", SQL: "x"} }, "step s1: the name is taken"},
		{"two kinds", func(w *couler.Workflow) { w.Steps[0].Python = "x" }, "line 4: step s1: it must be one of sql, python and command, and is 2 of them"},
		{"no kind", func(w *couler.Workflow) { w.Steps[0].SQL = "" }, "is 0 of them"},
		{"blank", func(w *couler.Workflow) { w.Steps[0].SQL = " \n" }, "step s1: it is empty"},
		{"NUL", func(w *couler.Workflow) { w.Steps[0].SQL = "a\x00b" }, "step s1: it holds a NUL byte"},
		{"Python that is not UTF-8", func(w *couler.Workflow) { w.Steps[1] = couler.Step{Name: "p", Image: "i", Python: "\xff"} }, "step p: it is not UTF-8"},
		{"no program", func(w *couler.Workflow) { w.Steps[1] = couler.Step{Name: "p", Image: "i", Command: []string{"", "x"}} }, "step p: the command has no program"},
		{"no image", func(w *couler.Workflow) { w.Steps[0].Image = "" }, "step s1: it has no image"},
		{"bad image", func(w *couler.Workflow) { w.Steps[0].Image = "a b" }, `step s1: "a b" is no image`},
		{"engine's tag in an image", func(w *couler.Workflow) { w.Steps[0].Image = "{{x}}" }, `step s1: "{{x}}" is no image`},
		{"a variable's name", func(w *couler.Workflow) { w.Steps[0].Env = []couler.EnvVar{{Name: "A-B"}} }, `"A-B" is no name of an environment variable`},
		{"a variable twice", func(w *couler.Workflow) { w.Steps[0].Env = []couler.EnvVar{{Name: "A"}, {Name: "A"}} }, "environment variable A is there twice"},
		{"not sorted", func(w *couler.Workflow) { w.Steps[0].Env = []couler.EnvVar{{Name: "B"}, {Name: "A"}} }, "environment variable A is there twice or not in order"},
		{"a value with NUL", func(w *couler.Workflow) { w.Steps[0].Env = []couler.EnvVar{{Name: "A", Hidden: "hunter2\x00"}} }, "environment variable A is not UTF-8 text without NUL"},
		{"a large value", func(w *couler.Workflow) {
			w.Steps[0].Env = []couler.EnvVar{{Name: "A", Hidden: couler.Credential(strings.Repeat("hunter2", 20000))}}
		}, "environment variable A is too large: 140002 bytes"},
		{"a bad secret", func(w *couler.Workflow) {
			w.Steps[0].Env = []couler.EnvVar{{Name: "A", From: couler.SecretKey{Name: "s", Key: "a b"}}}
		}, `environment variable A: "s", "a b" is no secret and key`},
		{"a value and a secret", func(w *couler.Workflow) {
			w.Steps[0].Env = []couler.EnvVar{{Name: "A", Value: "x", From: couler.SecretKey{Name: "s", Key: "a"}}}
		}, "environment variable A has a value and a secret"},
		{"an empty key of no secret", func(w *couler.Workflow) { w.Steps[0].Env = []couler.EnvVar{{Name: "A", Empty: true}} }, "environment variable A is said to be the empty key"},
		{"an empty key with a value", func(w *couler.Workflow) {
			w.Steps[0].Env = []couler.EnvVar{{Name: "A", Hidden: "hunter2", From: couler.SecretKey{Name: "s", Key: "a"}, Empty: true}}
		}, "environment variable A is said to be the empty key"},
		{"a key of the workflow's own secret", func(w *couler.Workflow) {
			w.Steps[0].Env = []couler.EnvVar{{Name: "A", From: couler.SecretKey{Name: "secret", Key: "a"}}}
		}, "environment variable A is a key of the secret secret, which is the workflow's own"},
		{"the engine's variable", func(w *couler.Workflow) {
			w.OnExit = &couler.Step{Name: "x", Image: "i", SQL: "x", Env: []couler.EnvVar{{Name: couler.StatusVariable}}}
		}, "step x: environment variable SQLFLOW_WORKFLOW_STATUS is the engine's"},
		{"resource", func(w *couler.Workflow) { w.Steps[0].Resources = map[string]string{"cpu": "-1"} }, `step s1: resource "cpu": "-1" is no quantity`},
		{"unknown volume", func(w *couler.Workflow) { w.Steps[0].Mounts = []couler.Mount{{Volume: "v", Path: "/v"}} }, `it mounts the volume "v", which the workflow has not`},
		{"Tekton's folder", func(w *couler.Workflow) { mount(w, "/tekton/x") }, `"/tekton/x" is no place to mount a volume`},
		{"the root", func(w *couler.Workflow) { mount(w, "/") }, `"/" is no place to mount a volume`},
		{"a place twice", func(w *couler.Workflow) { mount(w, "/a", "/a/") }, "two volumes are mounted at /a"},
		{"retries", func(w *couler.Workflow) { w.Steps[0].Retries = -1 }, "-1 retries: it must be 0 to 100"},
		{"a step's timeout", func(w *couler.Workflow) { w.Steps[0].Timeout = -time.Second }, "step s1: a timeout of -1s cannot be"},
		{"a step that is not there", func(w *couler.Workflow) { w.Steps[1].After = []string{"s9"} }, `step s2: it waits for the step "s9", which is not there`},
		{"waits twice", func(w *couler.Workflow) { w.Steps[1].After = []string{"s1", "s1"} }, "step s2: it waits twice for the step s1"},
		{"a circle", func(w *couler.Workflow) { w.Steps[0].After = []string{"s2"} }, "in a circle, or for such a circle: s1, s2"},
		{"itself", func(w *couler.Workflow) { w.Steps[1].After = []string{"s2"} }, "in a circle, or for such a circle: s2"},
		{"an exit step that waits", func(w *couler.Workflow) {
			w.OnExit = &couler.Step{Name: "x", Image: "i", SQL: "x", After: []string{"s1"}}
		}, "step x: the exit step always comes last"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := steps(couler.Step{SQL: "SELECT 1", Line: 4}, couler.Step{SQL: "SELECT 2", Line: 5})
			c.break_(w)
			err := w.Validate()
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("got %v, want %s", err, c.want)
			}
			for _, engine := range []couler.Engine{couler.Argo, couler.Tekton, couler.Python} {
				if _, e := w.Emit(engine); e == nil || e.Error() != err.Error() {
					t.Errorf("%s: got %v, want %v", engine, e, err)
				}
			}
			if _, e := w.SecretManifest(); e == nil {
				t.Error("a secret is made")
			}
		})
	}
}

func mount(w *couler.Workflow, paths ...string) {
	w.Volumes = []couler.Volume{{Name: "v"}}
	for _, path := range paths {
		w.Steps[0].Mounts = append(w.Steps[0].Mounts, couler.Mount{Volume: "v", Path: path})
	}
}

func TestEveryProblemIsToldAtOnce(t *testing.T) {
	t.Parallel()
	w := steps(couler.Step{SQL: "SELECT 1", Line: 4}, couler.Step{Line: 5})
	w.Namespace, w.Steps[0].Image = "A", ""
	want := `"A" is no namespace
line 4: step s1: it has no image
line 5: step s2: it must be one of sql, python and command, and is 0 of them`
	if err := w.Validate(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestASecretHoldsAMebibyte(t *testing.T) {
	t.Parallel()
	var all []couler.Step
	for i := range 9 {
		all = append(all, couler.Step{SQL: "x", Env: []couler.EnvVar{{Name: "A", Hidden: couler.Credential(strings.Repeat(string(rune('a'+i)), 120_000))}}})
	}
	if _, err := steps(all...).SecretManifest(); err == nil || !strings.Contains(err.Error(), "and a secret holds 1048576") {
		t.Errorf("got %v", err)
	}
}
