package kube_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/kube"
)

// Each step is run on the fake kubectl and on a real one with a real API server; NS is
// the namespace. What they print and complain of must be the same but for uids, times,
// versions and addresses.
func TestFakeSpeaksAsKubectlDoes(t *testing.T) {
	t.Parallel()
	if os.Getenv("PLAYGROUND_TEST_KUBECONFIG") == "" {
		t.Skip("there is no real cluster to compare with")
	}
	const (
		leaseA = `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"a","namespace":"NS","labels":{"l":"1"}},"spec":{"renewTime":"2026-01-01T00:00:00.000000Z"}}`
		podA   = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"NS","labels":{"l":"1"}},"spec":{"schedulerName":"nobody","containers":[{"name":"c","image":"i"}]}}`
		stubA  = `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"a","namespace":"NS"}}`
		stubZ  = `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"z","namespace":"NS"}}`
		uids   = `--output=jsonpath={.kind} {.metadata.name} {.metadata.uid}{"\n"}`
	)
	create := func(more ...string) []string {
		return append([]string{"create", "--filename=-", "--validate=false"}, more...)
	}
	patch := func(change string, more ...string) []string {
		return append([]string{"patch", "--filename=-", "--type=merge", "--patch=" + change}, more...)
	}
	apply := func() []string {
		return []string{"apply", "--server-side", "--force-conflicts", "--field-manager=m", "--filename=-", "--validate=false", "--output=name"}
	}
	lease := func(metadata string) string {
		return `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"namespace":"NS",` + metadata + `}}` + "\n"
	}
	fake, real := onFake(t), onReal(t)
	for _, step := range []struct {
		stdin string
		args  []string
	}{
		{leaseA, create("--output=name")},
		{leaseA, create("--output=name")},
		{strings.ReplaceAll(leaseA, `"a"`, `"b"`) + "\n" + leaseA + "\n" + podA, create(uids)},
		{podA + "\n" + strings.ReplaceAll(leaseA, `"a"`, `"c"`), create("--output=name")},
		{"", create("--output=name")},
		{"", []string{"get", "pod/zz", "--output=json"}},
		{"", []string{"get", "pod/zz", "service/zz", "leases.coordination.k8s.io/zz", "--ignore-not-found", "--output=json"}},
		{stubZ, []string{"get", "--filename=-", "--ignore-not-found", "--output=json"}},
		{stubZ + stubA + stubZ, []string{"get", "--filename=-", "--ignore-not-found", "--output=name"}},
		{"", []string{"get", "--filename=-", "--ignore-not-found", "--output=json"}},
		{"", []string{"get", "pods", "--output=name"}},
		{"", []string{"get", "services", "--output=json"}},
		{"", []string{"get", "--raw", "/api/v1/namespaces/NS/pods/zz"}},
		{"", []string{"get", "--raw", "/apis/coordination.k8s.io/v1/namespaces/NS/leases/zz"}},
		{stubA + stubZ, patch(`{"metadata":{"annotations":{"x":"y"}}}`, "--output=name")},
		{stubA, patch(`{"metadata":{"annotations":{"x":null}}}`, `--output=jsonpath={.metadata.name} {.metadata.uid}{"\n"}`)},
		{stubA, patch(`{"metadata":{"resourceVersion":"1","annotations":{"x":"z"}}}`, "--output=name")},
		{stubA, patch(`{"metadata":{}}`, "--output=name")},
		{lease(`"name":"a","annotations":{"one":"1","two":"2"}`), apply()},
		{lease(`"name":"a","annotations":{"two":"2"}`), apply()},
		{stubA, patch(`{"metadata":{"labels":{"seen":"1"}}}`, `--output=jsonpath={.metadata.name} {.metadata.annotations.one} {.metadata.annotations.two}{"\n"}`)},
		{lease(`"name":"a","resourceVersion":"1","annotations":{"two":"3"}`), apply()},
		{lease(`"name":"a","uid":"0a5cf973-760b-4d33-8e4b-e9b8c5ffb19c","annotations":{"two":"3"}`), apply()},
		{lease(`"name":"zz","uid":"0a5cf973-760b-4d33-8e4b-e9b8c5ffb19c","annotations":{"two":"3"}`), apply()},
		{lease(`"name":"b","annotations":{"two":"2"}`) + lease(`"name":"a","resourceVersion":"1"`) + lease(`"name":"zz","uid":"0a5cf973-760b-4d33-8e4b-e9b8c5ffb19c"`) + lease(`"name":"a","annotations":{"two":"4"}`), apply()},
		{`{"preconditions":{"uid":"0a5cf973-760b-4d33-8e4b-e9b8c5ffb19c"}}`, []string{"delete", "--raw", "/api/v1/namespaces/NS/pods/a", "--filename=-"}},
		{`{"preconditions":{"uid":"0a5cf973-760b-4d33-8e4b-e9b8c5ffb19c"}}`, []string{"delete", "--raw", "/api/v1/namespaces/NS/pods/zz", "--filename=-"}},
		{"", []string{"delete", "leases.coordination.k8s.io,services", "--selector=l=1", "--wait=false", "--ignore-not-found", "--output=name"}},
		{"", []string{"delete", "leases.coordination.k8s.io,services", "--selector=l=1", "--wait=false", "--ignore-not-found", "--output=name"}},
		{strings.ReplaceAll(podA, `"a"`, `"t"`), create("--output=name", "--dry-run=server")},
		{`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","metadata":{},"spec":{"resourceAttributes":{"namespace":"NS","verb":"create","resource":"pods"}}}`, create(`--output=jsonpath={.kind} {.spec.resourceAttributes.verb} {.metadata.name}{"\n"}`)},
		{"", []string{"get", "--raw", "/api/v1/namespaces/NS/pods?watch=1&resourceVersion=abc"}},
	} {
		got, want := said(fake, step.stdin, step.args), said(real, step.stdin, step.args)
		if got != want {
			t.Errorf("kubectl %q\nfake: %s\nreal: %s", step.args, got, want)
		}
	}
}

// said is the answer in a form that does not depend on the moment.
func said(b *bed, stdin string, args []string) string {
	here := strings.NewReplacer("NS", b.namespace)
	own := make([]string, len(args))
	for i, a := range args {
		own[i] = here.Replace(a)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := kube.NewRunner(b.options).Run(ctx, []byte(here.Replace(stdin)), own...)
	var e *kube.Error
	stderr, reason := "", kube.Reason("")
	if errors.As(err, &e) {
		stderr, reason = e.Stderr, e.Reason
	}
	all := fmt.Sprintf("%s|%s|%s", strings.TrimSpace(string(out)), reason, stderr)
	all = strings.ReplaceAll(all, b.namespace, "NS")
	all = regexp.MustCompile(`(?s)\nPlease review the fields above.*?#conflicts`).ReplaceAllString(all, "") // kubectl's advice after a conflict
	all = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}`).ReplaceAllString(all, "UID")
	return all
}
