package e2e_test

import "testing"

func TestWorkflowsOnTekton(t *testing.T) {
	t.Parallel()
	for name, test := range programs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, stage(t, tekton()))
		})
	}
}
