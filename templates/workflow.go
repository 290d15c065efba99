package templates

import (
	"fmt"
	"maps"
	"slices"
	"text/template"
)

// The templates of workflows, which package couler fills in. They cannot be replaced:
// what they make is read back and compared with the workflow, field by field.
const (
	ArgoWorkflow      = "argo_workflow.yaml"
	TektonPipelineRun = "tekton_pipelinerun.yaml"
	WorkflowSecret    = "workflow_secret.yaml"
	PythonProgram     = "python_program.py"
)

// Workflow reads one of the templates of workflows. The functions are those that it may
// call besides text/template's own; each value that it prints must have gone through
// one of them, because a program's text is hostile and here is no quoting but theirs.
func Workflow(name string, functions template.FuncMap) (*template.Template, error) {
	text, err := builtin.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	t, err := template.New(name).Option("missingkey=error").Funcs(functions).Parse(string(text))
	if err != nil {
		return nil, templateError(err)
	}
	return t, allQuoted(t, slices.Collect(maps.Keys(functions))...)
}
