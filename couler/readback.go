package couler

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"gopkg.in/yaml.v3"
)

// What the engines are given is read back here, by the types of the engines'
// own fields, and compared with the workflow it was made of. The shapes that
// both engines take from Kubernetes come first.

type manifestMetadata struct {
	GenerateName        string `yaml:"generateName"`
	Namespace           string
	Labels, Annotations map[string]string
}

type manifestContainer struct {
	Name, Image      string
	Command          []string
	Env              []manifestEnv
	Resources        manifestResources
	ComputeResources manifestResources `yaml:"computeResources"`
	VolumeMounts     []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type manifestEnv struct {
	Name      string
	Value     string
	ValueFrom struct {
		SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
	} `yaml:"valueFrom"`
}

type manifestResources struct{ Requests, Limits map[string]string }

type manifestVolume struct {
	Name                  string
	EmptyDir              *struct{} `yaml:"emptyDir"`
	PersistentVolumeClaim struct {
		ClaimName string `yaml:"claimName"`
	} `yaml:"persistentVolumeClaim"`
	Secret struct {
		SecretName string `yaml:"secretName"`
	}
	ConfigMap struct{ Name string } `yaml:"configMap"`
}

func readVolumes(volumes []manifestVolume) []Volume {
	var all []Volume
	for _, v := range volumes {
		all = append(all, Volume{Name: v.Name, Claim: v.PersistentVolumeClaim.ClaimName, SecretName: v.Secret.SecretName, ConfigMap: v.ConfigMap.Name})
	}
	return all
}

// step gives the step of a container. Its Command is the argument vector as it
// stands; values from a Secret are From.
func (c *manifestContainer) step(name, status string) Step {
	s := Step{Name: name, Image: c.Image, Command: c.Command}
	for _, e := range c.Env {
		if e.Name == StatusVariable && e.Value == status {
			continue
		}
		s.Env = append(s.Env, EnvVar{Name: e.Name, Value: e.Value, From: SecretKey{e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key}})
	}
	for _, r := range []manifestResources{c.Resources, c.ComputeResources} {
		if len(r.Requests) > 0 && maps.Equal(r.Requests, r.Limits) {
			s.Resources = r.Requests
		}
	}
	for _, m := range c.VolumeMounts {
		s.Mounts = append(s.Mounts, Mount{m.Name, m.MountPath, m.ReadOnly})
	}
	return s
}

func decode(text []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return err
	}
	if err := d.Decode(into); err != io.EOF {
		return fmt.Errorf("it is more than one document")
	}
	return nil
}

// compare tells where what was read back is not the workflow. It names no
// values, for they may be secret.
func (w *Workflow) compare(back *Workflow) error {
	whole := func(w *Workflow) []any {
		return []any{w.Name, w.Namespace, w.ServiceAccount, w.TTL, w.Timeout, w.sequential()}
	}
	if !reflect.DeepEqual(whole(w), whole(back)) || !slices.Equal(w.Volumes, back.Volumes) ||
		!maps.Equal(w.Labels, back.Labels) || !maps.Equal(w.Annotations, back.Annotations) {
		return errors.New("the fields of the whole differ")
	}
	steps, read := w.AllSteps(), back.AllSteps()
	if len(steps) != len(read) || (w.OnExit == nil) != (back.OnExit == nil) {
		return fmt.Errorf("there are %d steps and not %d", len(read), len(steps))
	}
	v := w.vault()
	for i, s := range steps {
		if what := s.differs(read[i], w.Secret, v); what != "" {
			return fmt.Errorf("step %s: its %s differs", s.Name, what)
		}
	}
	return nil
}

// differs names the first field in which the step that was read, its Command
// being the container's argument vector, is not s.
func (s *Step) differs(read *Step, secret string, v *vault) string {
	env := make([]EnvVar, 0, len(s.Env))
	for _, e := range s.Env {
		e = EnvVar{Name: e.Name, Value: e.value(), From: e.From}
		if key, ok := v.keys[stepVariable{s.Name, e.Name}]; ok {
			e.From = SecretKey{secret, key}
		}
		if e.From != (SecretKey{}) {
			e.Value = ""
		}
		env = append(env, e)
	}
	text := ParseArgv(read.Command)
	switch {
	case s.Name != read.Name:
		return "name"
	case s.Image != read.Image:
		return "image"
	case s.SQL != text.SQL && s.SQL != "":
		return "SQL"
	case s.Python != text.Python && s.Python != "":
		return "Python"
	case len(s.Command) > 0 && !slices.Equal(s.Command, text.Command) && !slices.Equal(s.Command, read.Command):
		return "command"
	case !slices.Equal(env, read.Env):
		return "environment"
	case !maps.Equal(s.Resources, read.Resources):
		return "resources"
	case !slices.Equal(s.Mounts, read.Mounts):
		return "mounts"
	case !slices.Equal(s.After, read.After):
		return "order"
	case s.Retries != read.Retries:
		return "retries"
	case s.Timeout != read.Timeout:
		return "timeout"
	}
	return ""
}
