package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/quote"
)

// metadata is metav1.ObjectMeta, as far as is needed.
type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	CreationTimestamp moment            `json:"creationTimestamp"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
}

// moment is a time in JSON: RFC 3339, null, or "".
type moment struct{ time.Time }

func (m *moment) UnmarshalJSON(text []byte) error {
	if string(text) == `""` || string(text) == "null" {
		return nil
	}
	return m.Time.UnmarshalJSON(text)
}

// container is a container in a template or task.
type container struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	Args    []string `json:"args"`
	Script  string   `json:"script"` // Tekton
	Source  string   `json:"source"` // Argo's script template
}

// text is what the step was given: SQL, Python, or a command.
func (c container) text() string {
	if c.Script != "" || c.Source != "" {
		return c.Script + c.Source
	}
	step := couler.ParseArgv(append(append([]string{}, c.Command...), c.Args...))
	switch {
	case step.SQL != "":
		return step.SQL
	case step.Python != "":
		return step.Python
	}
	return strings.Join(step.Command, " ")
}

// code is command and arguments as SQLFlow shows them ("Execute Code"). Text that had
// to be encoded for the engine is shown as it would stand there otherwise.
func (c container) code() string {
	command := c.Command
	if len(c.Args) == 0 {
		switch step := couler.ParseArgv(command); {
		case step.SQL != "" && !quote.Plain(step.SQL):
			command = couler.SQLCommand(step.SQL)
		case len(step.Command) > 0:
			command = step.Command
		}
	}
	if script := c.Script + c.Source; script != "" {
		return strings.Join(command, " ") + " " + script
	}
	return strings.Join(command, " ") + " " + strings.Join(c.Args, " ")
}

// containerState is corev1.ContainerState.
type containerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Running    *struct{} `json:"running"`
	Terminated *struct {
		ExitCode int    `json:"exitCode"`
		Reason   string `json:"reason"`
		Message  string `json:"message"`
	} `json:"terminated"`
}

// begun tells whether there are logs to read.
func (s containerState) begun() bool { return s.Running != nil || s.Terminated != nil }

func decode(object []byte, what string, into any) error {
	if err := json.Unmarshal(object, into); err != nil {
		return fmt.Errorf("the %s cannot be read: %w", what, err)
	}
	return nil
}
