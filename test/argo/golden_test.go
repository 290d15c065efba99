package argo_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/argoproj/argo-workflows/v3/workflow/common"
	"github.com/argoproj/argo-workflows/v3/workflow/validate"
)

// judge reads the documents of a file as `argo lint --strict` does, and passes
// each to the validator that Argo's server asks before it accepts a workflow.
func judge(body []byte) (workflows int, problems []string) {
	for _, result := range common.ParseObjects(body, true) {
		if result.Err != nil {
			problems = append(problems, result.Err.Error())
			continue
		}
		workflow, ok := result.Object.(*v1alpha1.Workflow)
		if !ok {
			problems = append(problems, "a document is no Workflow")
			continue
		}
		workflows++
		for _, options := range []validate.ValidateOpts{{Lint: true}, {Submit: true}} {
			if err := validate.ValidateWorkflow(nil, nil, workflow.DeepCopy(), nil, options); err != nil {
				problems = append(problems, err.Error())
			}
		}
	}
	if workflows == 0 && len(problems) == 0 {
		// Argo leaves out a document that it cannot turn into JSON.
		problems = append(problems, "there is no workflow to be read")
	}
	return workflows, problems
}

func TestGoldenWorkflowsPassArgosValidator(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../couler/testdata/*.argo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there is no golden workflow")
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			workflows, problems := judge(body)
			if workflows != 1 {
				t.Errorf("%d workflows, want 1", workflows)
			}
			for _, problem := range problems {
				t.Error(problem)
			}
		})
	}
}

// A validator that lets everything pass would prove nothing.
func TestTheValidatorIsStrict(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: x-}\n"
	for name, c := range map[string]struct{ spec, want string }{
		"good":                {`{entrypoint: a, templates: [{name: a, container: {image: i, command: [c]}}]}`, ""},
		"unknown field":       {`{entrypoint: a, ttlSecondsAfterFinished: 1, templates: [{name: a, container: {image: i, command: [c]}}]}`, "unknown field"},
		"unknown entrypoint":  {`{entrypoint: b, templates: [{name: a, container: {image: i, command: [c]}}]}`, "'b' undefined"},
		"unresolved tag":      {`{entrypoint: a, templates: [{name: a, container: {image: i, command: ["{{workflow.parameters.x}}"]}}]}`, "failed to resolve"},
		"unknown dependency":  {`{entrypoint: d, templates: [{name: d, dag: {tasks: [{name: t, template: a, dependencies: [u]}]}}, {name: a, container: {image: i, command: [c]}}]}`, "u"},
		"the same key twice":  {`{entrypoint: a, entrypoint: a, templates: [{name: a, container: {image: i, command: [c]}}]}`, "no workflow"},
		"a name that is none": {`{entrypoint: a_b, templates: [{name: a_b, container: {image: i, command: [c]}}]}`, "a_b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := judge([]byte(head + "spec: " + c.spec + "\n"))
			said := strings.Join(problems, "\n")
			if c.want == "" && said != "" || !strings.Contains(said, c.want) || c.want != "" && said == "" {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}
