//go:build !cgo && !gms_pure_go

package embedded_test

import (
	"errors"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/embedded"
	"sqlflow.org/sqlflow_playground/internal/playground"
)

func TestUnavailableSaysHowToBuildIt(t *testing.T) {
	t.Parallel()
	_, err := embedded.New(embedded.Options{}).Adopt(t.Context())
	var e *playground.Error
	if !errors.As(err, &e) || e.Code != playground.Unavailable || !strings.Contains(e.Message, "gms_pure_go") {
		t.Errorf("Adopt = %v", err)
	}
}
