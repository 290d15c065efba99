package command

import (
	"context"
	"crypto/rand"
	"os"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/metrics"
	"sqlflow.org/sqlflow_playground/internal/probe"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/templates"
)

// newKubectl makes the backend that runs databases on Kubernetes, once it is sure
// that this kubectl may and the cluster will.
func newKubectl(ctx context.Context, s *settings, log *logrus.Logger, recorder *metrics.Recorder) (*backend, error) {
	set, err := templates.Load(s.templateDir)
	if err != nil {
		return nil, err
	}
	runner := kube.NewRunner(kube.RunnerOptions{
		Path: s.kubectl, Context: s.context, Namespace: s.namespace,
		Observe: func(verb, result string, took time.Duration) { recorder.Kubectl(verb, result, took.Seconds()) },
	})
	namespace, err := runner.CurrentNamespace(ctx)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	cluster, err := kube.New(kube.Options{
		Runner: runner, Templates: set, Namespace: namespace,
		// A restarted server is another replica: what its forerunner led lapses by itself.
		Identity: host + "-" + rand.Text()[:8],
		Log:      log, Image: s.image, PodAddress: s.dbAddress == addressPod, WaitForNodes: s.waitForNodes,
		Storage: s.storage, StorageClass: s.storageClass, Pool: s.manager.Pool > 0,
	})
	if err != nil {
		return nil, err
	}
	if err := cluster.Check(ctx); err != nil {
		return nil, err
	}
	log.WithFields(logrus.Fields{"namespace": namespace, "context": s.context}).Info("the cluster is usable")
	return &backend{
		cluster: cluster, prober: &probe.MySQL{},
		watchAge: func() time.Duration { return time.Since(cluster.LastSeen()) },
		close:    func() {},
	}, nil
}
