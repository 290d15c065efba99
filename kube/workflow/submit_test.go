package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

const password = "s3cret-word"

func compiled(t *testing.T) *couler.Workflow {
	t.Helper()
	w, err := couler.Compile("SELECT 1; SELECT 2;",
		couler.Session{DataSource: "mysql://root:" + password + "@tcp(db:3306)/", UserID: "ann"}, couler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestSubmitMakesASecretThatGoesWithTheWorkflow(t *testing.T) {
	t.Parallel()
	for engine, resource := range map[couler.Engine]string{couler.Argo: "workflows.argoproj.io/", couler.Tekton: "pipelineruns.tekton.dev/"} {
		f := newFake()
		w := compiled(t)
		run, err := cluster(t, f, engine).Submit(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		made := f.objects[resource+run.Name]
		if made == nil || run.Namespace != "kubectls-own" || run.Engine != engine {
			t.Fatalf("%+v was told, and there are %v", run, f.objects)
		}
		var secret map[string]any
		for key, object := range f.objects {
			if strings.HasPrefix(key, "secrets/") {
				secret = object
			}
		}
		if got := fmt.Sprint(field(secret, "stringData", "SQLFLOW_DATASOURCE")); !strings.Contains(got, password) {
			t.Errorf("the secret holds %q", got)
		}
		name := fmt.Sprint(field(secret, "metadata", "name"))
		if text := fmt.Sprint(made); !strings.Contains(text, name) || strings.Contains(text, password) {
			t.Errorf("the workflow does not refer to the secret %s, or tells it: %s", name, text)
		}
		want := map[string]any{"apiVersion": made["apiVersion"], "kind": made["kind"], "name": run.Name, "uid": field(made, "metadata", "uid")}
		if owners, _ := field(secret, "metadata", "ownerReferences").([]any); len(owners) != 1 || fmt.Sprint(owners[0]) != fmt.Sprint(want) {
			t.Errorf("the secret is owned by %v, want %v", owners, want)
		}
		if w.Secret != "sqlflow-session" || len(w.Labels) != 1 {
			t.Errorf("the caller's workflow was changed: secret %q, labels %v", w.Secret, w.Labels)
		}
		for _, call := range f.calls {
			if strings.Contains(strings.Join(call, " "), password) {
				t.Errorf("the password stands in kubectl's arguments: %q", call)
			}
		}

		again, err := cluster(t, f, engine).Submit(t.Context(), w)
		if err != nil || again.Name == run.Name {
			t.Errorf("a second workflow of the same program is %q, %v", again.Name, err)
		}
	}
}

func TestSubmitWithoutCredentialsMakesNoSecret(t *testing.T) {
	t.Parallel()
	w, err := couler.Compile("SELECT 1;", couler.Session{Namespace: "ml"}, couler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	run, err := cluster(t, f, couler.Argo).Submit(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.objects) != 1 || run.Namespace != "ml" || option(f.calls[0], "namespace") != "ml" {
		t.Errorf("%+v was made by %q", f.objects, f.calls)
	}
}

// Whichever step of a Submit fails, before or after the cluster did it, and also when the
// caller gives up in the middle: nothing stays.
func TestSubmitLeavesNothingWhenItFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("it broke")
	for at := range 3 { // create the secret, create the workflow, patch the secret
		for _, done := range []bool{false, true} {
			for _, giveUp := range []bool{false, true} {
				f := newFake()
				ctx, cancel := context.WithCancel(t.Context())
				n := 0
				fails := func([]string) error {
					if n++; n == at+1 {
						if giveUp {
							cancel()
						}
						return broken
					}
					return nil
				}
				if f.fail = fails; done {
					f.fail, f.after = nil, fails
				}
				_, err := cluster(t, f, couler.Argo).Submit(ctx, compiled(t))
				if !errors.Is(err, broken) {
					t.Errorf("failing at %d: %v", at, err)
				}
				if err != nil && strings.Contains(err.Error(), password) {
					t.Errorf("the error tells the password: %v", err)
				}
				if len(f.objects) > 0 {
					t.Errorf("failing at %d (done: %t, given up: %t) left %v", at, done, giveUp, f.objects)
				}
				cancel()
			}
		}
	}
}

// kubectl resolves all kinds that it is given before it deletes anything.
func TestSubmitLeavesNothingWhereTheEngineIsNotInstalled(t *testing.T) {
	t.Parallel()
	for engine, kind := range map[couler.Engine]struct{ name, resource string }{
		couler.Argo:   {"Workflow", "workflows.argoproj.io"},
		couler.Tekton: {"PipelineRun", "pipelineruns.tekton.dev"},
	} {
		f := newFake()
		f.fail = func(args []string) error {
			switch {
			case args[0] == "create" && option(args, "output") == "json":
				return fmt.Errorf("error: resource mapping not found: no matches for kind %q", kind.name)
			case args[0] == "delete" && strings.Contains(args[1], kind.resource):
				return errors.New(`error: the server doesn't have a resource type "` + kind.resource + `"`)
			}
			return nil
		}
		_, err := cluster(t, f, engine).Submit(t.Context(), compiled(t))
		if !workflow.NotInstalled(err) || strings.Contains(err.Error(), "could not be removed") {
			t.Errorf("%s: the error is %v", engine, err)
		}
		if len(f.objects) > 0 {
			t.Errorf("%s: %q left %v", engine, f.calls, f.objects)
		}
	}
}

func TestSubmitTellsWhatMayBeLeft(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.fail = func(args []string) error {
		if args[0] == "patch" || args[0] == "delete" {
			return errors.New("out of reach")
		}
		return nil
	}
	_, err := cluster(t, f, couler.Argo).Submit(t.Context(), compiled(t))
	if err == nil || !strings.Contains(err.Error(), "sqlflow.org/submission=") {
		t.Errorf("nothing is said of what is left: %v", err)
	}
}
