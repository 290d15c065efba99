package e2e_test

import (
	"testing"
	"time"
)

func TestWorkflowsOnArgo(t *testing.T) {
	t.Parallel()
	for name, test := range programs() {
		t.Run(name, func(t *testing.T) {
			beside(t, time.Minute)
			test(t, stage(t, argo()))
		})
	}
}
