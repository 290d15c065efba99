//go:build !linux

package kube

import (
	"os/exec"
	"time"
)

// bySignal has the end of cmd's context kill it. Process groups and death signals
// are Linux's; elsewhere the gateway is only tried out.
func bySignal(cmd *exec.Cmd, grace time.Duration) (stop func()) {
	cmd.WaitDelay = grace
	return func() {}
}
