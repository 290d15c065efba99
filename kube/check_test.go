package kube_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
	"sqlflow.org/sqlflow_playground/templates"
)

func TestCheckPasses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		must(t, b.cluster().Check(t.Context()))
		for _, resource := range []string{"pods", "services", "leases"} {
			if names := b.kubectl("get", resource, "--output=name"); names != "" {
				t.Errorf("Check left %s", names)
			}
		}
	})
}

func TestCheckSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		trouble func(*bed)
		want    string
	}{
		{"no kubectl", func(b *bed) { b.options.Path = "/nowhere/kubectl" }, "there is no kubectl to run: install it, or name it with --kubectl"},
		{"kubectl is broken", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "version --client", Do: "fail", Stderr: "Segmentation fault"})
		}, "kubectl does not run: repair it, or name another with --kubectl: "},
		{"kubectl hangs", func(b *bed) {
			b.options.Timeout = 300 * time.Millisecond
			plant(b, fakekubectl.Fault{Match: "version --client", Do: "hang"})
		}, "kubectl does not run: repair it, or name another with --kubectl: "},
		{"no cluster", func(b *bed) { b.fake.Down() }, "the cluster does not answer: check KUBECONFIG and --context, or run with --backend=embedded"},
		{"no permission", func(b *bed) {
			b.fake.Set(func(s *fakekubectl.Settings) { s.Denied = []string{"create pods", "watch leases"} })
		}, "kubectl may not create pods, watch leases in the namespace playground: have an administrator apply scripts/rbac.yaml"},
		{"pod not taken", func(b *bed) {
			plant(b, fakekubectl.Fault{Match: "dry-run", Do: "fail", Stderr: `Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.imagePullSecret"`})
		}, `the cluster does not take the pod that mysql_pod.yaml makes: Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.imagePullSecret"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			test.trouble(b)
			err := b.cluster().Check(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %v\nwant %s ...", err, test.want)
			}
		})
	}
}

func TestCheckDoesNotMindAFullQuota(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	plant(b, fakekubectl.Fault{Match: "dry-run", Do: "fail", Stderr: `Error from server (Forbidden): error when creating "STDIN": pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`})
	must(t, b.cluster().Check(t.Context()))
}

func TestTemplateThatTheAPIServerRefuses(t *testing.T) {
	t.Parallel()
	if os.Getenv("PLAYGROUND_TEST_KUBECONFIG") == "" {
		t.Skip("only a real API server knows which fields a pod has")
	}
	b := onReal(t)
	dir := t.TempDir()
	text, err := os.ReadFile("../templates/mysql_pod.yaml")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "mysql_pod.yaml"), []byte(strings.Replace(string(text), "cpu: 50m", "cpu: lots", -1)), 0o600))
	err = b.cluster(func(o *kube.Options) { o.Templates, err = templates.Load(dir); must(t, err) }).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the cluster does not take the pod that mysql_pod.yaml makes: ") {
		t.Errorf("got %v", err)
	}
}
