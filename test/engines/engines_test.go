package engines_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/engines"
)

// patience is how long a busy machine may take for what takes seconds on a quiet one.
const patience = 4 * time.Minute

// One cluster serves all of it, since booting is what takes long.
func TestEngines(t *testing.T) {
	b := cluster(t)
	for name, test := range map[string]func(*testing.T, *bed.Bed){
		"Argo runs a workflow": argoRunsAWorkflow, "Tekton runs a pipeline": tektonRunsAPipeline,
		"an engine is shared and ends once": anEngineIsSharedAndEndsOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, b) })
	}
}

// cluster gives the cluster that is up, or boots one for this test.
func cluster(t *testing.T) *bed.Bed {
	t.Helper()
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("boots a cluster, which a short run does not")
	}
	o := bed.Options{Logf: t.Logf}
	if b, err := bed.Open(o); err == nil && b.Healthy(t.Context()) == nil {
		return b
	}
	b, err := bed.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func kubectl(t *testing.T, b *bed.Bed, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Minute)
	defer cancel()
	out, err := b.Kubectl(ctx, strings.NewReader(stdin), args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// installed runs an engine for the time of a test, and gives a new namespace.
func installed(t *testing.T, b *bed.Bed, install func(context.Context, *bed.Bed, func(string, ...any)) (*engines.Engine, error)) (*engines.Engine, string) {
	t.Helper()
	e, err := install(t.Context(), b, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	name := strings.TrimSpace(kubectl(t, b, "apiVersion: v1\nkind: Namespace\nmetadata: {generateName: engines-}\n",
		"create", "--filename=-", "--output=jsonpath={.metadata.name}"))
	t.Cleanup(func() {
		if _, err := b.Kubectl(context.Background(), nil, "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	// Pods are refused before the namespace has its account.
	kubectl(t, b, "", "wait", "--namespace="+name, "--for=create", "--timeout="+patience.String(), "serviceaccount/default")
	return e, name
}

const workflow = `
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: two}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: one, template: one}
    - - {name: two, template: two}
  - name: one
    container: {image: "sqlflow/sqlflow:step", command: [bash, -c, "echo one"]}
  - name: two
    container: {image: "sqlflow/sqlflow:step", command: [bash, -c, "echo two"]}
`

func argoRunsAWorkflow(t *testing.T, b *bed.Bed) {
	_, namespace := installed(t, b, engines.InstallArgo)
	if err := engines.AllowSteps(t.Context(), b, namespace, "default"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	kubectl(t, b, workflow, "create", "--namespace="+namespace, "--filename=-")
	kubectl(t, b, "", "wait", "--namespace="+namespace, "--for=jsonpath={.status.phase}=Succeeded", "--timeout="+patience.String(), "workflow/two")
	t.Logf("two steps took %s", time.Since(start).Round(100*time.Millisecond))
	said := kubectl(t, b, "", "logs", "--namespace="+namespace, "--selector=workflows.argoproj.io/workflow=two", "--container=main")
	if !strings.Contains(said, "one\n") || !strings.Contains(said, "two\n") {
		t.Errorf("the steps said %q", said)
	}
}

const pipelineRun = `
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {name: two}
spec:
  timeouts: {pipeline: 10m0s}
  pipelineSpec:
    tasks:
    - name: one
      taskSpec:
        steps: [{name: main, image: "sqlflow/sqlflow:step", command: [bash, -c], args: ["echo one"]}]
    - name: two
      runAfter: [one]
      taskSpec:
        steps: [{name: main, image: "sqlflow/sqlflow:step", script: "#!/bin/bash\necho two\n"}]
`

func tektonRunsAPipeline(t *testing.T, b *bed.Bed) {
	_, namespace := installed(t, b, engines.InstallTekton)
	start := time.Now()
	kubectl(t, b, pipelineRun, "create", "--namespace="+namespace, "--filename=-")
	kubectl(t, b, "", "wait", "--namespace="+namespace, "--for=condition=Succeeded", "--timeout="+patience.String(), "pipelinerun/two")
	t.Logf("two tasks took %s", time.Since(start).Round(100*time.Millisecond))
	said := kubectl(t, b, "", "logs", "--namespace="+namespace, "--selector=tekton.dev/pipelineRun=two", "--container=step-main")
	if !strings.Contains(said, "one\n") || !strings.Contains(said, "two\n") {
		t.Errorf("the steps said %q", said)
	}
}

func anEngineIsSharedAndEndsOnce(t *testing.T, b *bed.Bed) {
	first, _ := installed(t, b, engines.InstallTekton)
	if first.Shared() {
		t.Skip("somebody else runs Tekton on this machine now")
	}
	second, err := engines.InstallTekton(t.Context(), b, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if !second.Shared() {
		t.Error("a second controller was started")
	}
	if err := second.Stop(t.Context()); err != nil {
		t.Errorf("stopping a shared one: %v", err)
	}
}
