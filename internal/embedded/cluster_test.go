//go:build cgo || gms_pure_go

package embedded_test

import (
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/internal/playground/clustertest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	clustertest.Run(t, func(t *testing.T) playground.Cluster { return newCluster(t) })
}
