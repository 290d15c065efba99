package bed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAProcessIsFoundAgainAndEnded(t *testing.T) {
	t.Parallel()
	p := &process{Path: "/bin/sleep", Args: []string{"100"}, Log: filepath.Join(t.TempDir(), "log")}
	if p.alive() {
		t.Fatal("alive before it was started")
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	found := &process{PID: p.PID, Start: p.Start} // as another program reads it
	if !found.alive() {
		t.Fatal("a running process is not found")
	}
	if err := found.stop(t.Context(), 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("alive after it was stopped")
	}
	if err := found.stop(t.Context(), time.Second); err != nil {
		t.Errorf("stopping what is gone: %v", err)
	}
}

// A process of many threads, killed, is a zombie while the last of them still ends, and
// until then its ports are taken.
func TestAProcessRunsUntilItsLastThreadEnds(t *testing.T) {
	t.Parallel()
	p := &process{Path: "/usr/bin/python3", Log: filepath.Join(t.TempDir(), "log"), Args: []string{"-c", fmt.Sprintf(
		"import ctypes, threading, time\nthreading.Thread(target=time.sleep, args=(100,)).start()\nctypes.CDLL(None).syscall(%d, 0)", syscall.SYS_EXIT)}}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if err := waitUntil(t.Context(), 10*time.Second, 10*time.Millisecond, func(context.Context) error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			err = fmt.Errorf("its first thread still runs: %s", stat)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Error("its second thread runs, and it is said to have ended")
	}
	if err := p.stop(t.Context(), 10*time.Second); err != nil {
		t.Error(err)
	}
	if p.alive() {
		t.Error("alive after it was stopped")
	}
}

func TestAProcessHoldsNothingThatItsStarterInherited(t *testing.T) {
	t.Parallel()
	// As a shell leaves a file open for what it starts.
	lock := filepath.Join(t.TempDir(), "lock")
	inherited, err := syscall.Open(lock, syscall.O_CREAT|syscall.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	p := &process{Path: "/bin/sleep", Args: []string{"100"}, Log: filepath.Join(t.TempDir(), "log")}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.PID))
	if err != nil || len(open) < 3 { // more, while it still reads its libraries
		t.Errorf("it has %v open (%v), want input, output and errors", open, err)
	}
	for _, fd := range open {
		if file, _ := os.Readlink(fd); file == lock {
			t.Errorf("it has its starter's %s open", file)
		}
	}
	if err := p.stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}

func TestAProcessThatDoesNotListenIsKilled(t *testing.T) {
	t.Parallel()
	p := &process{
		Path: "/usr/bin/env", Args: []string{"--ignore-signal=TERM", "sleep", "100"},
		Log: filepath.Join(t.TempDir(), "log"),
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if err := waitUntil(t.Context(), 10*time.Second, 5*time.Millisecond, func(context.Context) error {
		return fileContains(fmt.Sprintf("/proc/%d/comm", p.PID), "sleep")
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.stop(t.Context(), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("alive after it was killed")
	}
}

func TestALaterProcessOfTheSameIDIsLeftAlone(t *testing.T) {
	t.Parallel()
	// Our own id, as if a record of an earlier process had it.
	p := &process{Path: "/bin/sleep", PID: os.Getpid(), Start: "1 another-boot"}
	if p.alive() {
		t.Fatal("taken for the process of the record")
	}
	if err := p.stop(t.Context(), time.Second); err != nil {
		t.Fatal(err) // and we are still here to say so
	}
}

func TestAWaitTellsWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	err := waitUntil(t.Context(), 20*time.Millisecond, time.Millisecond, func(context.Context) error {
		return fileContains(os.DevNull, "anything")
	})
	if err == nil || !strings.Contains(err.Error(), "not within 20ms") || !strings.Contains(err.Error(), "anything") {
		t.Errorf("got %v", err)
	}
}

func TestAProcessWhoseStartWasNotWrittenDownIsFound(t *testing.T) {
	t.Parallel()
	// A number of seconds that no other process sleeps.
	args := []string{fmt.Sprintf("%d.%d", 100, time.Now().UnixNano())}
	log := filepath.Join(t.TempDir(), "log")
	p := &process{Path: "/bin/sleep", Args: args, Log: log}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	lost, other := &process{Path: p.Path, Args: args}, &process{Path: p.Path, Args: []string{args[0] + "1"}}
	if err := waitUntil(t.Context(), 10*time.Second, time.Millisecond, func(context.Context) error {
		findStrays(map[Component]*process{Etcd: lost, Kubelet: other})
		if lost.PID != p.PID || !lost.alive() {
			return fmt.Errorf("found process %d, want %d", lost.PID, p.PID)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if other.PID != 0 {
		t.Errorf("process %d is taken for another one", other.PID)
	}
	if err := p.stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
}

func fileContains(name, text string) error {
	body, err := os.ReadFile(name)
	if err == nil && !strings.Contains(string(body), text) {
		err = fmt.Errorf("%s does not hold %q", name, text)
	}
	return err
}
