package couler

// EmitUnread is Emit without reading YAML back, which is most of the work.
func (w *Workflow) EmitUnread(engine Engine) ([]byte, error) {
	switch engine {
	case Argo:
		return w.write(argoYAML(), argoStatus, 0)
	case Tekton:
		return w.write(tektonYAML(), tektonParam, 0)
	}
	return w.Emit(engine)
}
