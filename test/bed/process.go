package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a program that runs on its own after we have gone, recorded so
// that another process can find it, and never takes another one for it: its id
// may be given again, but not with the same start time in the same boot.
type process struct {
	Path  string
	Args  []string // without the program's name
	Log   string
	PID   int    `json:",omitempty"`
	Start string `json:",omitempty"` // clock ticks since boot, and the boot's id
}

// start runs the program in a session of its own, its output added to the log.
func (p *process) start() error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	keepOpenFiles()
	cmd := exec.Command(p.Path, p.Args...)
	// Memory is less scarce on a machine of two processors than they are.
	cmd.Env = append(os.Environ(), "PATH="+searchPath, "GOGC=400")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Path, err)
	}
	p.PID = cmd.Process.Pid
	start, _ := startOf(p.PID)
	p.Start = start
	go func() { _ = cmd.Wait() }() // no zombie while we live; its end is seen in /proc
	return nil
}

// keepOpenFiles keeps to ourselves what whoever started us left open: a lock that is
// held as an open file would be held by a cluster as long as that is up.
func keepOpenFiles() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// alive says whether this very process still runs.
func (p *process) alive() bool {
	if p.PID == 0 {
		return false
	}
	start, running := startOf(p.PID)
	return running && start == p.Start
}

// stop ends the process: a polite signal, and after the grace time a kill. It
// returns when the process is gone, or with an error when it would not go.
func (p *process) stop(ctx context.Context, grace time.Duration) error {
	if p.PID == 0 {
		return nil
	}
	// The handle is taken before the check, so that what is signalled is what
	// was checked (Linux: a pidfd).
	handle, err := os.FindProcess(p.PID)
	if err != nil {
		return nil
	}
	defer handle.Release()
	for _, step := range []struct {
		signal os.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, time.Minute}} {
		if !p.alive() {
			return nil
		}
		if step.wait == 0 {
			continue
		}
		if err := handle.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signal process %d (%s): %w", p.PID, p.Path, err)
		}
		if waitUntil(ctx, step.wait, 10*time.Millisecond, func(context.Context) error {
			if p.alive() {
				return errors.New("still running")
			}
			return nil
		}) == nil {
			return nil
		}
	}
	return fmt.Errorf("process %d (%s) does not end", p.PID, p.Path)
}

// startOf gives what tells a process from a later one of the same id (proc(5):
// field 22 of stat, counted after the name in brackets), and whether it runs. A
// zombie does not, unless threads of it are left (field 20): they hold its ports.
func startOf(pid int) (start string, running bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", false
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return "", false
	}
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	state, threads := string(fields[0]), string(fields[17])
	ended := slices.Contains([]string{"Z", "X", "x"}, state) && (threads == "0" || threads == "1")
	return string(fields[19]) + " " + string(bytes.TrimSpace(boot)), !ended
}

// findStrays fills in the process ids of programs that run with exactly the
// recorded command line but whose start was not written down, because who
// started them was killed in that moment. The command lines name the run
// folder, so they are nobody else's.
func findStrays(recorded map[Component]*process) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		line, err := os.ReadFile(name)
		if err != nil || len(line) == 0 {
			continue
		}
		for _, p := range recorded {
			if p.alive() || string(line) != p.Path+"\x00"+strings.Join(p.Args, "\x00")+"\x00" {
				continue
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				p.PID = pid
				p.Start, _ = startOf(pid)
			}
		}
	}
}

// waitUntil asks again and again until check agrees, the limit passes or ctx
// ends, and then tells what check said last.
func waitUntil(ctx context.Context, limit, every time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, err)
		case <-ticker.C:
		}
	}
}
