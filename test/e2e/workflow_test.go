package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/engines"
	"sqlflow.org/sqlflow_playground/test/images"
)

// runLimit bounds a workflow of a few steps; each takes some seconds.
const runLimit = 4 * time.Minute

// An engine is what tests need to know of Argo or Tekton.
type engine struct {
	emits     couler.Engine
	install   func(context.Context, *bed.Bed, func(string, ...any)) (*engines.Engine, error)
	resource  string // the kind of object that a workflow becomes
	label     string // on a pod: the workflow's name
	container string // in a pod: the step's own
	completed string // what kubectl waits for
	stop      string // a merge patch that stops a workflow
}

func argo() engine {
	return engine{
		emits: couler.Argo, install: engines.InstallArgo,
		resource: "workflow", label: "workflows.argoproj.io/workflow", container: "main",
		completed: `jsonpath={.metadata.labels.workflows\.argoproj\.io/completed}=true`,
		stop:      `{"spec": {"shutdown": "Terminate"}}`,
	}
}

func tekton() engine {
	return engine{
		emits: couler.Tekton, install: engines.InstallTekton,
		resource: "pipelinerun", label: "tekton.dev/pipelineRun", container: "step-main",
		completed: "jsonpath={.status.completionTime}",
		stop:      `{"spec": {"status": "Cancelled"}}`,
	}
}

// A scene is a namespace in which an engine runs workflows, and a database that
// they work on.
type scene struct {
	*bed.Bed
	engine
	namespace string
	data      database
}

// stage gives a new scene, with the engine running.
func stage(t *testing.T, e engine) *scene {
	t.Helper()
	b := cluster(t)
	once(t, "install "+string(e.emits), func() (*engines.Engine, func(context.Context) error, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // cold, it is built
		defer cancel()
		installed, err := e.install(ctx, b, logf)
		if err != nil {
			return nil, nil, err
		}
		return installed, installed.Stop, nil
	})
	s := &scene{Bed: b, engine: e, data: newDatabase(t, b)}
	s.namespace = strings.TrimSpace(s.kubectl(t, "apiVersion: v1\nkind: Namespace\nmetadata: {generateName: e2e-}\n",
		"create", "--filename=-", "--output=jsonpath={.metadata.name}"))
	t.Cleanup(func() {
		if t.Failed() {
			s.describe(t)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := b.Kubectl(ctx, nil, "delete", "namespace", s.namespace, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	if err := engines.AllowSteps(t.Context(), b, s.namespace, "default"); err != nil {
		t.Fatal(err)
	}
	return s
}

// kubectl runs kubectl in the scene's namespace and ends the test if it fails.
func (s *scene) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit+time.Minute)
	defer cancel()
	if s.namespace != "" {
		args = append(args, "--namespace="+s.namespace)
	}
	out, err := s.Kubectl(ctx, strings.NewReader(stdin), args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// describe logs what a failed test leaves behind.
func (s *scene) describe(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"get", s.resource + ",pods", "--output=wide"},
		{"get", s.resource, "--output=jsonpath={.items[*].status}"},
		{"logs", "--selector=" + s.label, "--container=" + s.container, "--prefix", "--tail=20"},
		{"get", "events", "--field-selector=type=Warning"},
	} {
		out, err := s.Kubectl(ctx, nil, append(args, "--namespace="+s.namespace)...)
		t.Logf("kubectl %s: %v\n%.8000s", strings.Join(args, " "), err, out)
	}
}

// session is that of a user whose data are in the scene's database.
func (s *scene) session() couler.Session {
	return couler.Session{UserID: "alice", DataSource: couler.Credential(s.data.source), Namespace: s.namespace}
}

func (s *scene) options() couler.Options { return couler.Options{Image: images.StepName} }

// A run is a workflow that was submitted.
type run struct {
	*scene
	name string
}

// compile compiles a program for the scene and submits it.
func (s *scene) compile(t *testing.T, sql string, options couler.Options) run {
	t.Helper()
	w, err := couler.Compile(sql, s.session(), options)
	if err != nil {
		t.Fatal(err)
	}
	return s.submit(t, w)
}

// submit creates a workflow and the Secret that it needs.
func (s *scene) submit(t *testing.T, w *couler.Workflow) run {
	t.Helper()
	manifest, err := w.Emit(s.emits)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{s.data.password, s.data.source} {
		if strings.Contains(string(manifest), secret) {
			t.Errorf("the YAML holds the secret %q:\n%s", secret, manifest)
		}
	}
	secret, err := w.SecretManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(secret) > 0 {
		s.kubectl(t, string(secret), "apply", "--filename=-")
	}
	name := s.kubectl(t, string(manifest), "create", "--filename=-", "--output=jsonpath={.metadata.name}")
	return run{s, strings.TrimSpace(name)}
}

// end waits for the end of the workflow and says how it ended: Succeeded,
// Failed, or the engine's own word.
func (r run) end(t *testing.T) string {
	t.Helper()
	start := time.Now()
	r.kubectl(t, "", "wait", "--for="+r.completed, "--timeout="+runLimit.String(), r.resource+"/"+r.name)
	var object struct {
		Status struct {
			Phase      string
			Message    string
			Conditions []struct{ Type, Status, Reason, Message string }
		}
	}
	if err := json.Unmarshal([]byte(r.kubectl(t, "", "get", r.resource, r.name, "--output=json")), &object); err != nil {
		t.Fatal(err)
	}
	phase, message := object.Status.Phase, object.Status.Message
	for _, c := range object.Status.Conditions {
		if r.emits == couler.Tekton && c.Type == "Succeeded" {
			phase, message = c.Reason, c.Message
		}
	}
	t.Logf("%s %s ended %s after %s: %s", r.resource, r.name, phase, time.Since(start).Round(100*time.Millisecond), message)
	return phase
}

// A pod is that of a step.
type pod struct {
	Metadata struct {
		Name                string
		Labels, Annotations map[string]string
	}
	Status struct {
		Phase             string
		ContainerStatuses []struct {
			Name  string
			State struct{ Terminated *struct{ ExitCode int } }
		}
	}
}

// pods gives the pods of the steps that were started, by the step's name.
func (r run) pods(t *testing.T) map[string]pod {
	t.Helper()
	var list struct{ Items []pod }
	if err := json.Unmarshal([]byte(r.kubectl(t, "", "get", "pods", "--selector="+r.label+"="+r.name, "--output=json")), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]pod{}
	for _, p := range list.Items {
		step := p.Metadata.Labels["tekton.dev/pipelineTask"]
		if r.emits == couler.Argo {
			// Like sqlflow-x7r2p[1].s2-normal, or in a DAG sqlflow-x7r2p.s2-normal.
			node := p.Metadata.Annotations["workflows.argoproj.io/node-name"]
			step = node[strings.LastIndex(node, ".")+1:]
		}
		found[step] = p
	}
	return found
}

// log gives what a step wrote.
func (r run) log(t *testing.T, step string) string {
	t.Helper()
	p, ok := r.pods(t)[step]
	if !ok {
		t.Fatalf("step %s has no pod", step)
	}
	return r.kubectl(t, "", "logs", p.Metadata.Name, "--container="+r.container)
}

// succeeded ends the test unless the workflow succeeds.
func (r run) succeeded(t *testing.T) {
	t.Helper()
	if got := r.end(t); got != "Succeeded" {
		t.Fatalf("the workflow ended %s", got)
	}
}

// eventually asks until check agrees.
func eventually(t *testing.T, what string, limit time.Duration, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ticker := time.NewTicker(300 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s, not within %s: %v", what, limit, err)
		case <-ticker.C:
		}
	}
}

// steps gives the names of so many steps of plain SQL.
func steps(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("s%d-normal", i+1))
	}
	return names
}
