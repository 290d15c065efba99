package workflow

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
)

// Kubectl is what this package needs of kubectl; *kube.Runner has it.
type Kubectl interface {
	// Run runs kubectl to its end and returns its standard output.
	Run(ctx context.Context, stdin []byte, args ...string) (stdout []byte, err error)
	// Stream calls line for each line of kubectl's standard output while it
	// runs, without the line feed; the slice is only valid during the call. An
	// error of line ends kubectl and is returned.
	Stream(ctx context.Context, line func([]byte) error, args ...string) error
}

// ErrNotFound is told of a workflow that is not there, or not any more.
var ErrNotFound = errors.New("there is no such workflow")

// ErrFinished is told when a workflow that has ended is to be stopped.
var ErrFinished = errors.New("the workflow has ended already")

// ErrNoLogs is told of a step whose logs cannot be read: it has not begun, never will,
// or its pod is gone.
var ErrNoLogs = errors.New("there are no logs")

// NotInstalled tells whether err is kubectl's word that the cluster does not know the
// engine's workflows. It has one for what is named, and one for what is to be made.
func NotInstalled(err error) bool {
	return err != nil &&
		(strings.Contains(err.Error(), "doesn't have a resource type") || strings.Contains(err.Error(), "no matches for kind"))
}

// State is how far a workflow or a step is. The empty State is that of a step of which
// nobody knows any more.
type State string

// The states. A workflow is never Skipped.
const (
	Pending   State = "pending"   // waits for its turn, for a pod or for an image
	Running   State = "running"   // is at work, retries included
	Succeeded State = "succeeded" // ended well
	Failed    State = "failed"    // ended badly, or was stopped
	Error     State = "error"     // could not be run by the engine
	Skipped   State = "skipped"   // will not run, for an earlier step failed
)

// Ended tells whether nothing will change any more.
func (s State) Ended() bool { return s != Pending && s != Running }

// Run is a workflow on the cluster, in short.
type Run struct {
	Name      string        `json:"name"`
	Namespace string        `json:"namespace"`
	Engine    couler.Engine `json:"engine"`
	State     State         `json:"state"`
	// Message is the engine's own, if it said anything.
	Message string `json:"message,omitempty"`
	// Stopping is true when somebody asked for an early end.
	Stopping bool      `json:"stopping,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// Status is a workflow on the cluster with its steps, in the order written, the exit
// step last.
type Status struct {
	Run
	Steps []Step `json:"steps"`
}

// Step is a step of a workflow on the cluster.
type Step struct {
	Name string `json:"name"` // as in couler
	// Statement numbers the steps from 1 as they were written, which for a compiled
	// program numbers its statements; 0 for the exit step.
	Statement int      `json:"statement,omitempty"`
	Text      string   `json:"text,omitempty"` // SQL, Python or a command, as it was given
	After     []string `json:"after,omitempty"`

	State    State  `json:"state"`
	Message  string `json:"message,omitempty"`
	ExitCode *int   `json:"exit_code,omitempty"`
	// Retries is how many times more it was tried.
	Retries int `json:"retries,omitempty"`

	// ID is the engine's own name of the step, or of its last try: a node id, or a
	// TaskRun's name; empty until the engine has come to the step.
	ID string `json:"id,omitempty"`
	// Pod runs the step, or its last try; empty when there is none yet or it is
	// gone. Earlier are the pods of earlier tries that have begun and are still there.
	Pod       string    `json:"pod,omitempty"`
	Container string    `json:"container,omitempty"` // of the step in its pods
	Earlier   []string  `json:"earlier_pods,omitempty"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`

	// Begun is true when the container in Pod has begun, so that it has logs.
	Begun bool `json:"-"`
	// Exit is true for the step that runs when the others have ended.
	Exit bool `json:"exit,omitempty"`

	code    string // command and arguments as SQLFlow shows them
	running bool   // the container in Pod runs, as far as is known
}

// Step gives the step of that name, or nil.
func (s *Status) Step(name string) *Step {
	for i := range s.Steps {
		if s.Steps[i].Name == name {
			return &s.Steps[i]
		}
	}
	return nil
}

// LogView says where people read logs in a browser.
type LogView struct {
	// Endpoint is the base URL of Argo's user interface, or of Tekton's dashboard.
	// (SQLFLOW_WORKFLOW_LOGVIEW_ENDPOINT)
	Endpoint string
	// DTMEndpoint is the base URL of a log collector, used instead when not empty.
	// (SQLFLOW_WORKFLOW_LOGVIEW_DTM_ENDPOINT)
	DTMEndpoint string
}

// Options are what a Cluster needs. Kubectl and Engine are required.
type Options struct {
	Kubectl Kubectl
	Engine  couler.Engine // couler.Argo or couler.Tekton
	// Namespace is where workflows are looked for, and made that name none; empty
	// is the namespace that kubectl itself takes.
	Namespace string
	LogView   LogView          // for Fetch
	Now       func() time.Time // time.Now if nil
}

// Cluster is where workflows of one engine run. It is safe for concurrent use as far as
// its Kubectl is.
type Cluster struct {
	kubectl   Kubectl
	engine    engine
	namespace string
	logView   LogView
	now       func() time.Time
}

// New makes a Cluster. It does not talk to Kubernetes yet. The error names an engine
// that does not run on a cluster.
func New(o Options) (*Cluster, error) {
	c := &Cluster{kubectl: o.Kubectl, namespace: o.Namespace, logView: o.LogView, now: o.Now}
	switch o.Engine {
	case couler.Argo:
		c.engine = argo{}
	case couler.Tekton:
		c.engine = tekton{}
	default:
		return nil, fmt.Errorf("the engine %q does not run on a cluster: it must be %s or %s", o.Engine, couler.Argo, couler.Tekton)
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c, nil
}

// in is the Cluster with another namespace, unless that is empty.
func (c *Cluster) in(namespace string) *Cluster {
	if namespace == "" {
		return c
	}
	other := *c
	other.namespace = namespace
	return &other
}

// engine is what differs between Argo and Tekton.
type engine interface {
	name() couler.Engine
	// workflows are the engine's workflows.
	workflows() resource
	// parts are what runs the steps: all that carry the label with the workflow's
	// name.
	parts() (r resource, label string)
	part(object []byte) (part, error)
	run(object []byte) (Run, error)
	status(object []byte, parts map[string]part) (*Status, error)
	// stop is the merge patch that stops a workflow: politely, so that the exit
	// step still runs, or at once.
	stop(now bool) string
	// own tells whether a line of a step's log is the engine's.
	own(line []byte) bool
	// logURL is where the engine's own pages, at a base URL, show a step's log.
	logURL(endpoint string, w *Status, s *Step) string
}

// resource is a kind of object in the cluster.
type resource struct {
	argument string // to kubectl, with the group
	path     string // of the group and version in the API
	plural   string
}

// collection is the path of all objects of the resource in a namespace.
func (r resource) collection(namespace string) string {
	return r.path + "/namespaces/" + namespace + "/" + r.plural
}

// part is a pod or TaskRun, as far as is needed.
type part struct {
	name              string // of the object
	step              string // what the workflow calls it: a node's id, or a TaskRun's own name
	task              string // the step's name in the pipeline (Tekton)
	pod, container    string
	earlier           []string
	state             State
	message           string
	exitCode          *int
	retries           int
	begun, running    bool
	started, finished time.Time
}

// objectName is what Kubernetes takes for a name (RFC 1123 subdomain). A name is
// checked so that none is taken for an option, or for a part of a path.
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

func checkName(name string) error {
	if !objectName.MatchString(name) {
		return fmt.Errorf("%.80q is no name of a workflow: %w", name, ErrNotFound)
	}
	return nil
}
