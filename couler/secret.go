package couler

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/couler/quote"
	"sqlflow.org/sqlflow_playground/templates"
)

// maxSecret is what Kubernetes takes in one Secret (core/v1 MaxSecretSize).
const maxSecret = 1 << 20

// value is what the step will see, as far as it is known.
func (e EnvVar) value() string {
	if e.Hidden != "" {
		return e.Hidden.Reveal()
	}
	return e.Value
}

// known tells whether the value is known here, and not only to the cluster.
func (e EnvVar) known() bool { return e.From == (SecretKey{}) || e.Hidden != "" || e.Empty }

// carried tells whether the variable belongs into the workflow's own Secret:
// because it is to be hidden, or because an engine would rewrite it.
func (e EnvVar) carried() bool {
	return e.From == (SecretKey{}) && (e.Hidden != "" || !quote.Plain(e.Value))
}

// vault is the content of the workflow's own Secret.
type vault struct {
	keys map[stepVariable]string
	data map[string]string // by key
	list []string          // the keys, in the order they came
}

type stepVariable struct{ step, variable string }

// vault collects what the Secret carries. The key is the variable's name; where
// steps disagree about the value, it has the step's name before it.
func (w *Workflow) vault() *vault {
	v := &vault{keys: map[stepVariable]string{}, data: map[string]string{}}
	if w.Secret == "" {
		return v
	}
	for _, s := range w.AllSteps() {
		for _, e := range s.Env {
			if !e.carried() {
				continue
			}
			key, value := e.Name, e.value()
			if other, taken := v.data[key]; taken && other != value {
				key = s.Name + "." + e.Name
			}
			if _, taken := v.data[key]; !taken {
				v.data[key] = value
				v.list = append(v.list, key)
			}
			v.keys[stepVariable{s.Name, e.Name}] = key
		}
	}
	return v
}

// env gives a step's environment as the engine is to have it, with the keys of
// the workflow's own Secret, whose name is secret.
func (v *vault) env(s *Step, secret string) []EnvVar {
	env := make([]EnvVar, 0, len(s.Env)+1)
	for _, e := range s.Env {
		shown := EnvVar{Name: e.Name, From: e.From}
		if key, ok := v.keys[stepVariable{s.Name, e.Name}]; ok {
			shown.From = SecretKey{secret, key}
		}
		if shown.From == (SecretKey{}) {
			shown.Value = e.value()
		}
		env = append(env, shown)
	}
	return env
}

// SecretManifest gives the YAML of the Secret that the emitted workflow refers
// to, in clear; or nothing, when it refers to none of its own. It must be in
// the cluster before the workflow is: Tekton gives a step up whose Secret is
// missing.
//
// The error is what Validate says, or that the values exceed a Secret's 1 MiB.
func (w *Workflow) SecretManifest() ([]byte, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	v := w.vault()
	if len(v.list) == 0 {
		return nil, nil
	}
	size := 0
	for _, key := range v.list {
		size += len(key) + len(v.data[key])
	}
	if size > maxSecret {
		return nil, fmt.Errorf("the steps' credentials and variables take %d bytes, and a secret holds %d", size, maxSecret)
	}
	page := &sheet{}
	out, err := page.fill(templates.WorkflowSecret, page.yaml(), struct {
		*Workflow
		Keys   []string
		Values map[string]string
	}{w, v.list, v.data})
	if err != nil {
		return nil, err
	}
	var back struct {
		Metadata   struct{ Name string }
		StringData map[string]string `yaml:"stringData"`
	}
	if err := yaml.Unmarshal(out, &back); err != nil || back.Metadata.Name != w.Secret || len(back.StringData) != len(v.data) {
		return nil, fmt.Errorf("the secret %s does not read back as it was meant", w.Secret)
	}
	for key, value := range v.data {
		if back.StringData[key] != value {
			return nil, fmt.Errorf("the secret %s does not read back as it was meant: key %s", w.Secret, key)
		}
	}
	return out, nil
}

// Environ gives a step's environment with all values in clear, as NAME=value,
// for the engines that need no Secret. A variable whose value only the cluster
// knows is an error that names it.
func (s *Step) Environ() ([]string, error) {
	environ := make([]string, 0, len(s.Env))
	for _, e := range s.Env {
		if !e.known() {
			return nil, fmt.Errorf("step %s: the value of %s is the key %s of the secret %s, which only the cluster knows", s.Name, e.Name, e.From.Key, e.From.Name)
		}
		environ = append(environ, e.Name+"="+e.value())
	}
	return environ, nil
}

// uncarried names what is wrong with carrying a value without a Secret, or "".
func uncarried(value string) string {
	switch {
	case quote.Plain(value):
		return ""
	case !utf8.ValidString(value):
		return "it is not UTF-8"
	case strings.Contains(value, "$"):
		return "it holds a $, which the engine or Kubernetes may rewrite"
	case strings.Contains(value, "{{") || strings.Contains(value, "}}"):
		return "it holds {{ or }}, which Argo rewrites"
	}
	return "it holds a character that cannot be seen"
}
