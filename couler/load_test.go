package couler_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
)

func load(text string) (*couler.Workflow, error) {
	return couler.Load(strings.NewReader(text), couler.Session{UserID: "alice"}, couler.Options{})
}

func TestAWorkflowFileIsFilledInFromTheSessionAndTheOptions(t *testing.T) {
	t.Parallel()
	w, err := couler.Load(strings.NewReader("namespace: own\nenv: {B: top}\nsteps:\n- sql: SELECT 1\n- {python: 'pass', name: p, env: {SQLFLOW_USER_ID: bob, A: 1}, image: own}\n"),
		couler.Session{UserID: "alice", Namespace: "session", ServiceAccount: "sa", DataSource: "d"}, couler.Options{Image: "default", Retries: 2, Resources: map[string]string{"cpu": "1"}, Parallel: true})
	if err != nil {
		t.Fatal(err)
	}
	if w.Namespace != "own" || w.ServiceAccount != "sa" || w.Name != "sqlflow-" {
		t.Errorf("got %+v", w)
	}
	one, two := w.Steps[0], w.Steps[1]
	d, u := couler.EnvVar{Name: "SQLFLOW_DATASOURCE", Hidden: "d"}, couler.EnvVar{Name: "SQLFLOW_USER_ID", Value: "alice"}
	if want := []couler.EnvVar{{Name: "B", Value: "top"}, d, u}; !reflect.DeepEqual(one.Env, want) || one.Name != "s1-normal" || one.Line != 4 || one.Image != "default" || one.Retries != 2 || one.Resources["cpu"] != "1" {
		t.Errorf("got %+v", one)
	}
	u.Value = "bob"
	if want := []couler.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "top"}, d, u}; !reflect.DeepEqual(two.Env, want) || two.Name != "p" || two.Image != "own" || !reflect.DeepEqual(two.After, []string{"s1-normal"}) {
		t.Errorf("got %+v", two)
	}
}

func TestAFileMayNameAKeyWhoseValueTheOptionsKnow(t *testing.T) {
	t.Parallel()
	options := couler.Options{SecretName: "db", SecretValues: map[string]couler.Credential{"pass": "known"}}
	w, err := couler.Load(strings.NewReader("steps:\n- sql: SELECT 1\n  env: {P: {secret: db, key: pass}, Q: {secret: db}}\n"), couler.Session{}, options)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range w.Steps[0].Env {
		if e.Name == "P" && e.Hidden != "known" || e.Name == "Q" && (e.Hidden != "" || e.From.Key != "Q") {
			t.Errorf("got %+v", e)
		}
	}
	if _, err := w.Steps[0].Environ(); err == nil || !strings.Contains(err.Error(), "the value of Q is the key Q of the secret db") {
		t.Errorf("got %v", err)
	}
}

func TestStepsOfAFileFollowEachOtherUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"steps: [{sql: a}, {sql: b}, {sql: c}]":                                                          "||s1-sql||s2-sql",
		"steps: [{sql: SELECT 1}, {sql: SELECT 2, after: []}, {sql: SELECT 3}]":                          "|||s2-normal",
		"parallel: true\nsteps: [{sql: SELECT 1}, {sql: SELECT 2}, {sql: SELECT 3, after: [s1-normal]}]": "|||s1-normal",
	} {
		w, err := load(text)
		if strings.Contains(text, "sql: a") {
			if err == nil {
				t.Error("words that are no SQL pass")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range w.Steps {
			got += "|" + strings.Join(s.After, "+")
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestWhatIsWrongInAWorkflowFileIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"only a comment", "# nothing\n", "the file is empty"},
		{"no YAML", "steps:\n- sql: [\n", "line 2: it is no YAML"},
		{"a tab", "steps:\n\t- sql: x\n", "line 2: it is no YAML"},
		{"two documents", "steps: []\n---\nsteps: []\n", "line 2: a second document begins"},
		{"a list", "- sql: SELECT 1\n", "line 1: here must be names with their values, and not a list"},
		{"no steps", "name: x-\n", "the workflow has no steps"},
		{"unknown field", "step: []\n", `line 1: a workflow has no field "step"; its fields are name, namespace,`},
		{"unknown field of a step", "steps:\n- sql: SELECT 1\n  imge: x\n", `line 3: a step has no field "imge"`},
		{"a key twice", "steps:\n- sql: SELECT 1\n  sql: SELECT 2\n", `line 3: "sql" stands twice`},
		{"an alias", "env: &e {A: b}\nlabels: *e\nsteps: [{sql: SELECT 1}]\n", "line 2: aliases are not read here"},
		{"a number as text", "steps:\n- sql: SELECT 1\n  image: 1\n", `line 3: here must be a text; write "1"`},
		{"a text as number", "steps:\n- sql: SELECT 1\n  retries: two\n", `line 3: here must be a whole number, and not "two"`},
		{"a text as truth", "parallel: 1\nsteps:\n- sql: SELECT 1\n", `line 1: here must be true or false, and not "1"`},
		{"a number as time", "steps:\n- sql: SELECT 1\n  timeout: 5\n", `line 3: here must be a time like 90s or 1h30m, and not "5"`},
		{"no list", "steps:\n- command: ls\n  image: x\n", `line 2: here must be a list, and not "ls"`},
		{"nothing", "steps:\n- sql:\n", "line 2: here must be a text, and not nothing"},
		{"a variable without value", "steps:\n- sql: SELECT 1\n  env:\n    A:\n", "line 4: here must be a text, and not nothing"},
		{"a secret without name", "steps:\n- sql: SELECT 1\n  env: {A: {key: x}}\n", `line 3: the secret of "A" has no name`},
		{"SQL that is wrong", "steps:\n- sql: |\n    SELECT 1;\n    SELECT 'x\n", "line 4: "},
		{"SQL that is wrong on the line", "steps:\n- sql: SELECT 'x\n", "line 2: "},
		{"SQL of nothing", "steps:\n- sql: '-- x'\n", "line 2: it holds no statement"},
		{"what Validate says", "steps:\n- sql: SELECT 1\n- sql: SELECT 2\n  after: [s9]\n", `line 3: step s2-normal: it waits for the step "s9", which is not there`},
		{"all of it", "nme: x\nsteps:\n- sql: SELECT 1\n  image: a b\n- imge: x\n- sql: SELECT 2\n  retries: -1\n", `line 1: a workflow has no field "nme"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, err := load(c.text)
			if err == nil || w != nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			for _, e := range flatten(err) {
				if _, ok := errors.AsType[*couler.Problem](e); !ok {
					t.Errorf("%v is no problem with a line", e)
				}
			}
			if c.name == "all of it" {
				for i, want := range []string{"line 1: ", `line 3: step s1-normal: "a b" is no image`, `line 5: a step has no field "imge"`, "line 6: step s3-normal: -1 retries"} {
					if !strings.HasPrefix(strings.Split(err.Error(), "\n")[i], want) {
						t.Errorf("problem %d is not %s in\n%v", i+1, want, err)
					}
				}
			}
		})
	}
}

func TestEverythingThatIsWrongInAWorkflowFileIsToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(`namespace: A B
labels: {"a b": c}
secret: 5
nme: x
volumes:
- {nme: v}
steps:
- name: A
  command: [a]
  sql: x y
  retries: -1
- {sql: [SELECT 1], image: a b}
- {pyton: x, after: [s9]}
- sql: SELECT 1
  env: {B-C: x, S: {key: k}}
  resources: {cpu: [1], memory: lots}
  mounts: [{volume: v, path: [x]}, {volume: w, path: /w}]
- 7
- {image: i}
`)
	want := []string{
		`line 3: here must be a text; write "5"`,
		`line 4: a workflow has no field "nme"; its fields are`,
		`line 6: a volume has no field "nme"; its fields are`,
		`line 8: "A" is no name of a step`,
		`line 8: it must be one of sql, python and command, and is 2 of them`,
		"line 8: -1 retries: it must be 0 to 100",
		"line 10: `x` does not begin a SQL statement",
		"line 12: here must be a text, and not a list",
		`line 12: step s2-command: "a b" is no image`,
		`line 13: a step has no field "pyton"; its fields are`,
		`line 13: step s3-command: it waits for the step "s9", which is not there`,
		`line 14: step s4-normal: "B-C" is no name of an environment variable`,
		`line 14: step s4-normal: resource "memory": "lots" is no quantity`,
		`line 14: step s4-normal: it mounts the volume "w", which the workflow has not`,
		`line 15: the secret of "S" has no name`,
		"line 16: here must be a text, and not a list",
		"line 17: here must be a text, and not a list",
		"line 18: here must be names with their values, and not \"7\"",
		"line 19: step s6-command: it must be one of sql, python and command, and is 0 of them",
		`"A B" is no namespace`,
		`"a b": "c" is no label`,
	}
	var got []string
	for _, e := range flatten(err) {
		got = append(got, e.Error())
	}
	if len(got) != len(want) {
		t.Errorf("%d problems, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("problem %d is\n%s\nwant\n%s", i+1, got[i], want[i])
		}
	}
	for _, e := range got[min(len(got), len(want)):] {
		t.Errorf("and %s", e)
	}
}

func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func TestAFileThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := load("# " + strings.Repeat("x", 7_000_000)); err == nil || !strings.Contains(err.Error(), "the file is larger than") {
		t.Errorf("got %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(readFile(f, "testdata/steps.yaml"))
	f.Add("steps:\n- &a {sql: SELECT 1}\n- *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := load(text)
		if err != nil {
			return
		}
		for _, engine := range []couler.Engine{couler.Argo, couler.Tekton, couler.Python} {
			if _, err := w.Emit(engine); err != nil && !strings.Contains(err.Error(), "too large") && !strings.Contains(err.Error(), "cannot stand in the YAML") {
				t.Errorf("%s: %v", engine, err)
			}
		}
	})
}
