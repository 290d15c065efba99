package templates_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"sqlflow.org/sqlflow_playground/templates"
)

// all are functions by the names that the templates of workflows call.
func all(names ...string) template.FuncMap {
	functions := template.FuncMap{}
	for _, name := range names {
		functions[name] = func(...any) string { return "" }
	}
	return functions
}

func TestWorkflowTemplatesPrintNothingUnquoted(t *testing.T) {
	t.Parallel()
	for name, functions := range map[string]template.FuncMap{
		templates.ArgoWorkflow:      all("quote", "seconds", "comment", "measure"),
		templates.TektonPipelineRun: all("quote", "seconds", "comment", "measure"),
		templates.WorkflowSecret:    all("quote"),
		templates.PythonProgram:     all("quote", "seconds", "name", "lines", "body"),
	} {
		if _, err := templates.Workflow(name, functions); err != nil {
			t.Error(err)
		}
		delete(functions, "quote")
		if _, err := templates.Workflow(name, functions); err == nil || !strings.HasPrefix(err.Error(), name+":") || !strings.Contains(err.Error(), `"quote" not defined`) {
			t.Errorf("%s, without quote: %v", name, err)
		}
	}
	if _, err := templates.Workflow("mysql.yaml", nil); err == nil || !strings.Contains(err.Error(), "mysql.yaml") {
		t.Errorf("a template that is not there: %v", err)
	}
}

func TestAWorkflowTemplateIsNotReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, templates.ArgoWorkflow), []byte("kind: Workflow\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := templates.Load(dir); err == nil || !strings.Contains(err.Error(), "replaces no template") {
		t.Errorf("got %v", err)
	}
}
