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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
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
	name := "engines-" + e.Name()
	kubectl(t, b, "", "delete", "namespace", name, "--ignore-not-found")
	kubectl(t, b, "", "create", "namespace", name)
	t.Cleanup(func() {
		if _, err := b.Kubectl(context.Background(), nil, "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
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

func TestArgoRunsAWorkflow(t *testing.T) {
	b := cluster(t)
	_, namespace := installed(t, b, engines.InstallArgo)
	if err := engines.AllowSteps(t.Context(), b, namespace, "default"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	kubectl(t, b, workflow, "create", "--namespace="+namespace, "--filename=-")
	kubectl(t, b, "", "wait", "--namespace="+namespace, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=100s", "workflow/two")
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

func TestTektonRunsAPipeline(t *testing.T) {
	b := cluster(t)
	_, namespace := installed(t, b, engines.InstallTekton)
	start := time.Now()
	kubectl(t, b, pipelineRun, "create", "--namespace="+namespace, "--filename=-")
	kubectl(t, b, "", "wait", "--namespace="+namespace, "--for=condition=Succeeded", "--timeout=100s", "pipelinerun/two")
	t.Logf("two tasks took %s", time.Since(start).Round(100*time.Millisecond))
	said := kubectl(t, b, "", "logs", "--namespace="+namespace, "--selector=tekton.dev/pipelineRun=two", "--container=step-main")
	if !strings.Contains(said, "one\n") || !strings.Contains(said, "two\n") {
		t.Errorf("the steps said %q", said)
	}
}

func TestAnEngineIsSharedAndEndsOnce(t *testing.T) {
	b := cluster(t)
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
