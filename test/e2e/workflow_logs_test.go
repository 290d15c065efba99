package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// A breaking kubectl ends its streams of logs after some lines, each later than the one
// before.
type breaking struct {
	*kube.Runner
	streams atomic.Int32
}

func (b *breaking) Stream(ctx context.Context, line func([]byte) error, args ...string) error {
	if args[0] != "logs" {
		return b.Runner.Stream(ctx, line, args...)
	}
	left := 5 * b.streams.Add(1)
	return b.Runner.Stream(ctx, func(text []byte) error {
		if left--; left < 0 {
			return errors.New("the stream broke")
		}
		return line(text)
	}, args...)
}

// A log that is followed comes whole, each line once, though the stream breaks again and
// again, amid lines of the same second and between lines that are far apart.
func brokenLogs(t *testing.T, s *scene) {
	r := s.load(t, `
name: logs-
steps:
- name: counts
  python: |
    import time
    for i in range(60):
        print(i, flush=True)
        time.sleep(1.5 if i % 10 == 9 else 0.01)
`)
	kubectl := &breaking{Runner: kube.NewRunner(kube.RunnerOptions{Path: s.KubectlPath(), Kubeconfig: s.Kubeconfig()})}
	workflows, err := workflow.New(workflow.Options{Kubectl: kubectl, Engine: s.name, Namespace: s.namespace})
	if err != nil {
		t.Fatal(err)
	}
	disturbed := *s
	disturbed.workflows = workflows
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	got, err := run{&disturbed, r.Run}.read(ctx, "counts", true)
	var want strings.Builder
	for i := range 60 {
		fmt.Fprintln(&want, i)
	}
	if err != nil || got != want.String() {
		t.Errorf("the log is %q, %v", got, err)
	}
	if n := kubectl.streams.Load(); n < 4 {
		t.Errorf("the log came in %d streams; nothing was broken", n)
	}
}
