package kube_test

import (
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/internal/playground/clustertest"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

func TestContract(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		clustertest.Run(t, func(t *testing.T) playground.Cluster {
			if b.fake == nil {
				return onReal(t).cluster()
			}
			each := onFake(t)
			each.fake.Set(func(s *fakekubectl.Settings) { s.Manual = false })
			return each.cluster()
		})
	})
}
