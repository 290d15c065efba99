package tekton_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	pipeline "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"sigs.k8s.io/yaml"
)

// judge does what Tekton's webhook does with a PipelineRun: it reads it with
// every field known, fills in the defaults and validates.
func judge(t *testing.T, body []byte) error {
	t.Helper()
	run := new(pipeline.PipelineRun)
	if err := yaml.UnmarshalStrict(body, run); err != nil {
		return err
	}
	if got := run.APIVersion + " " + run.Kind; got != "tekton.dev/v1 PipelineRun" {
		t.Errorf("the document is a %s", got)
	}
	run.SetDefaults(t.Context())
	// The server gives the name before the webhook is asked.
	if run.Name == "" {
		run.Name = run.GenerateName + "abcde"
	}
	if err := run.Validate(t.Context()); err != nil {
		return err
	}
	return nil
}

func TestGoldenPipelineRunsPassTektonsValidation(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../couler/testdata/*.tekton.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("there is no golden PipelineRun")
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := judge(t, body); err != nil {
				t.Error(err)
			}
		})
	}
}

// A validation that lets everything pass would prove nothing.
func TestTheValidationIsStrict(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {generateName: x-}\n"
	for name, c := range map[string]struct{ spec, want string }{
		"good":                {`{pipelineSpec: {tasks: [{name: a, taskSpec: {steps: [{name: main, image: i, command: [c]}]}}]}}`, ""},
		"unknown field":       {`{ttl: 1, pipelineSpec: {tasks: [{name: a, taskSpec: {steps: [{image: i}]}}]}}`, "unknown field"},
		"undeclared param":    {`{pipelineSpec: {tasks: [{name: a, taskSpec: {steps: [{image: i, command: ["$(params.x)"]}]}}]}}`, "params.x"},
		"unknown predecessor": {`{pipelineSpec: {tasks: [{name: a, runAfter: [b], taskSpec: {steps: [{image: i, command: [c]}]}}]}}`, "b"},
		"a name that is none": {`{pipelineSpec: {tasks: [{name: A_b, taskSpec: {steps: [{image: i, command: [c]}]}}]}}`, "A_b"},
		"the same key twice":  {`{pipelineSpec: {tasks: []}, pipelineSpec: {tasks: []}}`, "already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := ""
			if err := judge(t, []byte(head+"spec: "+c.spec+"\n")); err != nil {
				said = err.Error()
			}
			if (c.want == "") != (said == "") || !strings.Contains(said, c.want) {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}
