package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// Package kube's own tests run on a fake kubectl. Here the real one and a real API server
// say whether the fake speaks as they do, whether the locks hold, and whether the roles
// of scripts/ are enough. That takes no node: the tests play scheduler and kubelet.
func packageKube(t *testing.T, b *bed.Bed) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	const tests = "^(TestFakeSpeaksAsKubectlDoes|TestContract|TestScriptsAreAcceptedAndEnough|TestTemplateThatTheAPIServerRefuses|" +
		"TestManyAreReleasedTogether|TestASpareIsTakenAndIsADatabaseLikeAnyOther|TestNobodySharesASpare|TestARecordThatIsTakenBackLeavesItsSpare|TestHalfTakenSpares|" +
		"TestDataOutlivesTheDatabase|TestTheVolumeOfASpareIsHandedOver)$/^real$"
	cmd := exec.CommandContext(ctx, "go", "test", "-buildvcs=false", "-tags=gms_pure_go", "-count=1", "-run="+tests, "./kube")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "PLAYGROUND_TEST_KUBECONFIG="+b.Kubeconfig(),
		"PATH="+filepath.Dir(b.KubectlPath())+string(os.PathListSeparator)+os.Getenv("PATH"))
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	record(t, "kube", "package kube on a real kubectl and API server: the fake says what they say, nobody shares a spare, the roles are enough", "all in "+brief(time.Since(begun)), "all")
}
