package e2e_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/engines"
	"sqlflow.org/sqlflow_playground/test/images"
)

// runLimit bounds a workflow of a few steps; each takes some seconds.
const runLimit = 4 * time.Minute

// An engine is what tests need to know of Argo or Tekton.
type engine struct {
	name     couler.Engine
	install  func(context.Context, *bed.Bed, func(string, ...any)) (*engines.Engine, error)
	resource string // the kind of object that a workflow becomes
}

func argo() engine { return engine{couler.Argo, engines.InstallArgo, "workflow"} }

func tekton() engine { return engine{couler.Tekton, engines.InstallTekton, "pipelinerun"} }

// A scene is a namespace in which an engine runs workflows, and a database that
// they work on.
type scene struct {
	*bed.Bed
	engine
	workflows *workflow.Cluster
	namespace string
	data      database
}

// stage gives a new scene, with the engine running.
func stage(t *testing.T, e engine) *scene {
	t.Helper()
	b := cluster(t)
	once(t, "install "+string(e.name), func() (*engines.Engine, func(context.Context) error, error) {
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
	runner := kube.NewRunner(kube.RunnerOptions{Path: b.KubectlPath(), Kubeconfig: b.Kubeconfig()})
	var err error
	if s.workflows, err = workflow.New(workflow.Options{Kubectl: runner, Engine: e.name, Namespace: s.namespace}); err != nil {
		t.Fatal(err)
	}
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
	awaitAccount(t, b, s.namespace)
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
	workflow.Run
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

func (s *scene) submit(t *testing.T, w *couler.Workflow) run {
	t.Helper()
	submitted, err := s.workflows.Submit(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	r := run{s, submitted}
	// Nobody who may read workflows shall learn the credentials by it.
	object := s.kubectl(t, "", "get", s.resource, r.Name, "--output=json")
	for _, secret := range []string{s.data.password, s.data.source} {
		if strings.Contains(object, secret) {
			t.Errorf("the workflow holds the secret %q:\n%s", secret, object)
		}
	}
	return r
}

// end follows the workflow to its end and gives what it was then. On the way no
// step may go back to an earlier state, and none may be told twice.
func (r run) end(t *testing.T) *workflow.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	order := map[workflow.State]int{
		workflow.Pending: 0, workflow.Running: 1,
		workflow.Succeeded: 2, workflow.Failed: 2, workflow.Error: 2, workflow.Skipped: 2,
	}
	var last *workflow.Status
	err := r.workflows.Watch(ctx, r.Name, func(now *workflow.Status) error {
		for i, step := range now.Steps {
			if last != nil && order[step.State] < order[last.Steps[i].State] {
				t.Errorf("%s was %s and then %s", step.Name, last.Steps[i].State, step.State)
			}
		}
		last = now
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s %s after %s %s", r.resource, r.Name, last.State, last.Finished.Sub(last.Created), last.Message)
	return last
}

// succeeded ends the test unless the workflow and each of its steps succeed.
func (r run) succeeded(t *testing.T) {
	t.Helper()
	status := r.end(t)
	if status.State != workflow.Succeeded {
		t.Fatalf("the workflow is %s: %s", status.State, status.Message)
	}
	for _, step := range status.Steps {
		if step.State != workflow.Succeeded || step.ExitCode == nil || *step.ExitCode != 0 {
			t.Errorf("%s is %s, its exit code is %s", step.Name, step.State, code(step))
		}
	}
}

func code(step workflow.Step) string {
	if step.ExitCode == nil {
		return "unknown"
	}
	return fmt.Sprint(*step.ExitCode)
}

// executors matches the lines that Argo's executor adds to what a step wrote
// (argo-workflows, cmd/argoexec/commands/emissary.go).
var executors = regexp.MustCompile(`^time="[^"]*" level=info msg="sub-process exited" argo=true |^Error: exit status \d+$`)

// log gives what a step wrote.
func (r run) log(t *testing.T, step string) string {
	t.Helper()
	text, err := r.read(t.Context(), step, false)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// read gives what a step wrote, or waits for all that it will have written.
func (r run) read(ctx context.Context, step string, follow bool) (string, error) {
	var text strings.Builder
	err := r.workflows.Logs(ctx, r.Name, step, follow, func(line []byte) error {
		if r.name != couler.Argo || !executors.Match(line) {
			text.WriteString(string(line) + "\n")
		}
		return nil
	})
	return text.String(), err
}

// pods counts the pods of the scene.
func (s *scene) pods(t *testing.T, args ...string) int {
	t.Helper()
	return len(strings.Fields(s.kubectl(t, "", append([]string{"get", "pods", "--output=name"}, args...)...)))
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
