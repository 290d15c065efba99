package e2e_test

import (
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// Where the engine is not installed, kubectl and the API server say so in the words that
// package workflow knows, and the Secret that was made does not stay.
func TestSubmitWithoutTheEngine(t *testing.T) {
	beside(t, 5*time.Second)
	s := newSite(t)
	runner := kube.NewRunner(kube.RunnerOptions{Path: s.KubectlPath(), Kubeconfig: s.kubeconfig})
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		workflows, err := workflow.New(workflow.Options{Kubectl: runner, Engine: engine, Namespace: s.namespace})
		if err != nil {
			t.Fatal(err)
		}
		_, err = workflows.List(t.Context(), false)
		switch {
		case err == nil:
			t.Logf("this cluster has %s", engine)
			continue
		case !workflow.NotInstalled(err):
			t.Errorf("%s: the list is refused with %v", engine, err)
		}
		w, err := couler.Compile("SELECT 1;", couler.Session{UserID: "alice", DataSource: "mysql://root:s3cret@tcp(db:3306)/"}, couler.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := workflows.Submit(t.Context(), w); !workflow.NotInstalled(err) {
			t.Errorf("%s: it is refused with %v", engine, err)
		}
	}
	if left := s.kubectl(t, "", "get", "secrets", "--output=name"); left != "" {
		t.Errorf("there are still %s", left)
	}
}
