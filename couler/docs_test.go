package couler_test

import (
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
)

// The examples in the documentation are workflow files that every engine takes.
func TestTheDocumentedWorkflowFileWorks(t *testing.T) {
	t.Parallel()
	found := 0
	for _, part := range strings.Split(readFile(t, "../docs/workflow.md"), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(part, "```")
		found++
		w, err := load(example)
		if err != nil {
			t.Errorf("%v in\n%s", err, example)
			continue
		}
		for _, engine := range []couler.Engine{couler.Argo, couler.Tekton, couler.Python} {
			if _, err := w.Emit(engine); err != nil {
				t.Errorf("%s: %v", engine, err)
			}
		}
	}
	if found == 0 {
		t.Error("there are no examples")
	}
}
