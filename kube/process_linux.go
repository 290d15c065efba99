package kube

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bySignal puts cmd in a process group of its own (kubectl starts credential
// plugins) and has the end of its context send SIGTERM to the group, then SIGKILL
// after grace. Should the gateway itself be killed, the kernel ends kubectl. The
// function returned is called after Wait: no signal is sent from then on.
func bySignal(cmd *exec.Cmd, grace time.Duration) (stop func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var (
		mu    sync.Mutex
		over  bool
		timer *time.Timer
	)
	kill := func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	cmd.Cancel = func() error {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, kill)
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	}
	cmd.WaitDelay = grace + time.Second // the group is gone by then, whoever held a pipe
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		if timer != nil {
			timer.Stop()
		}
	}
}

// narrow makes a pipe as small as it can be and returns how many bytes it holds then; 0
// if that is not known.
func narrow(pipe *os.File) (size int) {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) { size, err = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1) })
	if err != nil {
		return 0
	}
	return size
}
