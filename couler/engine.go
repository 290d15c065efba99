package couler

import (
	"fmt"
	"strings"
)

// Engine is what runs a workflow.
type Engine string

// The engines.
const (
	Argo   Engine = "argo"   // Argo Workflows v3.4 or later: an argoproj.io/v1alpha1 Workflow
	Tekton Engine = "tekton" // Tekton Pipelines: a tekton.dev/v1 PipelineRun
	Python Engine = "python" // one Python program (3.8 or later) that calls the steps one by one
	Docker Engine = "docker" // containers on a Docker Engine, by package couler/docker
)

// ParseEngine reads an engine's name.
func ParseEngine(name string) (Engine, error) {
	switch e := Engine(name); e {
	case Argo, Tekton, Python, Docker:
		return e, nil
	}
	return "", fmt.Errorf("no engine %q: it is one of %s", name, strings.Join([]string{string(Argo), string(Tekton), string(Python), string(Docker)}, ", "))
}

// Emit writes the workflow for an engine: one YAML document for Argo and
// Tekton, a program for Python; nothing is written for Docker. The same
// workflow always gives the same bytes. YAML has been parsed back and compared
// with the workflow.
//
// The error is what Validate says; or that the text is too large for the API
// server, or cannot be carried without a Secret, with the statement's line; or
// that steps have different secrets in a variable of one name, of which a
// Python program sees but one.
func (w *Workflow) Emit(engine Engine) ([]byte, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	switch engine {
	case Argo:
		return w.argo(MaxManifest)
	case Tekton:
		return w.tekton(MaxManifest)
	case Python:
		return w.python()
	}
	return nil, fmt.Errorf("nothing is written for the engine %q", engine)
}
