package couler

import "sqlflow.org/sqlflow_playground/templates"

// EmitUnread is Emit without reading YAML back, which is most of the work.
func (w *Workflow) EmitUnread(engine Engine) ([]byte, error) {
	switch engine {
	case Argo:
		return w.write(templates.ArgoWorkflow, argoStatus, 0)
	case Tekton:
		return w.write(templates.TektonPipelineRun, tektonParam, 0)
	}
	return w.Emit(engine)
}
