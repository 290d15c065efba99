package couler

import (
	"time"

	"sqlflow.org/sqlflow_playground/couler/program"
)

// Workflow is a set of steps and the order they must keep. It is the only
// input of the engines; Validate says what makes a good one.
type Workflow struct {
	// Name is the start of the workflow's name, like "sqlflow-"; the
	// cluster adds five characters.
	Name string
	// Namespace and ServiceAccount are the cluster's, each may be empty.
	Namespace, ServiceAccount string
	// Labels and Annotations stand on the object in the cluster.
	Labels, Annotations map[string]string

	// Secret is the name of the Kubernetes Secret that carries the steps'
	// credentials, and environment values that an engine would rewrite.
	// Empty puts credentials into the YAML in clear, and makes Emit refuse
	// such values.
	Secret string

	// TTL is how long the cluster keeps the workflow after its end; 0 is
	// until somebody deletes it. Tekton has no such field and ignores it.
	TTL time.Duration
	// Timeout bounds the steps together, OnExit aside; 0 is no bound.
	Timeout time.Duration

	// LogFile, an absolute path in the containers, is where SQL and Python
	// steps write their output as well. Empty for none.
	LogFile string
	// ExitWait is how long SQL and Python steps stay after their end, so
	// that their logs can be collected.
	ExitWait time.Duration

	// Volumes are what the steps may mount.
	Volumes []Volume
	// Steps are the steps, in the order in which they were written. A step
	// waits for those it names, and for no other.
	Steps []Step
	// OnExit runs after the others whether they succeeded or not, also when
	// Timeout is over (Tekton before v1.13 leaves it out then), with their
	// fate in the variable SQLFLOW_WORKFLOW_STATUS: "Succeeded", "Failed", or
	// one of the engine's own words (Argo: "Error"; Tekton: "Completed" for
	// skipped steps, "None"). Nil for none.
	OnExit *Step
}

// StatusVariable tells the OnExit step how the workflow ended.
const StatusVariable = "SQLFLOW_WORKFLOW_STATUS"

// Step is one program to run. Exactly one of SQL, Python and Command is set.
type Step struct {
	// Name is a DNS label of at most 63 characters that begins with a
	// letter, like "s3-train".
	Name string
	// Kind is the kind of the statement; empty for a Python step, a
	// command, or a step of several statements.
	Kind program.Kind
	// Statement numbers the statement from 1, Line is its first line in
	// the file it came from; 0 when it came from none.
	Statement, Line int

	// Image is the container image; the python engine does not use it.
	Image string
	// SQL is given to the program "step" of the image.
	SQL string
	// Python is the body of a Python function, not indented; "return" is
	// allowed and ends the step well. The image needs python3.
	Python string
	// Command is a program and its arguments, for no shell to read. When
	// an argument holds what an engine would rewrite, the image needs sh
	// and base64.
	Command []string

	// Env is sorted by name, no name twice.
	Env []EnvVar
	// Resources are Kubernetes quantities by name ("cpu", "memory"), used
	// as both requests and limits.
	Resources map[string]string
	// Mounts are where the workflow's volumes appear.
	Mounts []Mount
	// After are the names of the steps this one waits for.
	After []string
	// Retries is how many times more a failing step is tried.
	Retries int
	// Timeout bounds the step, in whole seconds; 0 is no bound.
	Timeout time.Duration
}

// EnvVar is an environment variable of a step.
type EnvVar struct {
	Name string
	// Value is the value in clear, used when the two below are empty.
	Value string
	// Hidden is a value to be kept in the workflow's Secret; together with
	// From it is the value which that key is known to have.
	Hidden Credential
	// From names the key of a Secret that exists already.
	From SecretKey
	// Empty says that this key is known to hold an empty text; without it,
	// an empty Hidden is a value that only the cluster knows.
	Empty bool
}

// SecretKey is a key of a Kubernetes Secret.
type SecretKey struct{ Name, Key string }

// Volume is a volume of Kubernetes. Exactly one of Claim, SecretName and
// ConfigMap is set; none of them makes an empty directory, each step its own.
type Volume struct {
	Name                         string
	Claim, SecretName, ConfigMap string
}

// Mount shows a volume of the workflow in a step's container.
type Mount struct {
	Volume, Path string
	ReadOnly     bool
}

// AllSteps gives the steps and, last, OnExit if there is one.
func (w *Workflow) AllSteps() []*Step {
	steps := make([]*Step, 0, len(w.Steps)+1)
	for i := range w.Steps {
		steps = append(steps, &w.Steps[i])
	}
	if w.OnExit != nil {
		steps = append(steps, w.OnExit)
	}
	return steps
}
