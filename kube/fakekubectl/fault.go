package fakekubectl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Fault is what goes wrong with a command line that Match matches.
type Fault struct {
	Match string // a regular expression for the arguments, joined by blanks
	Times int    // how often: 0 is once, negative for ever
	// Late: before it reads its standard input, it waits until the test says so (Folder.Held).
	Late bool
	// Do is nothing, or one of
	//
	//	fail        Stdout, Stderr and exit code 1, and nothing is done
	//	fail unread the same, its standard input unread
	//	fail after  it is done, but the answer is Stderr and exit code 1
	//	print       Stdout and exit code 0, and nothing is done
	//	hang        no answer until SIGTERM; nothing is done
	//	hang after  it is done, but there is no answer until SIGTERM
	//	hang deaf   no answer until SIGKILL
	//	hang family no answer until SIGTERM, and a child that holds the output and ignores
	//	            the signal; its process id is in the file family
	//	die half    half of it is done, or half of the answer printed, then SIGKILL
	Do             string
	Stdout, Stderr string
}

// fault takes the first planted fault that matches, if any.
func (s *store) fault(line string) (*Fault, error) {
	var struck *Fault
	err := s.locked(func() error {
		files, err := filepath.Glob(s.path("faults", "*.json"))
		if err != nil {
			return err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			var f Fault
			if err := json.Unmarshal(text, &f); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			matches, err := regexp.MatchString(f.Match, line)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if !matches {
				continue
			}
			struck = &f
			return useUp(file, f)
		}
		return nil
	})
	return struck, err
}

func useUp(file string, f Fault) error {
	switch {
	case f.Times < 0:
		return nil
	case f.Times <= 1:
		return os.Remove(file)
	}
	f.Times--
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func (f *Fault) strike(c *call) error {
	switch f.Do {
	case "":
		return c.honest()
	case "fail", "fail unread":
		fmt.Fprint(c.stdout, f.Stdout)
		return failf("%s", f.Stderr)
	case "fail after":
		c.stdout = new(bytes.Buffer)
		return errors.Join(c.honest(), failf("%s", f.Stderr))
	case "print":
		_, err := fmt.Fprint(c.stdout, f.Stdout)
		return err
	case "hang":
		return hang()
	case "hang after":
		c.stdout = new(bytes.Buffer)
		c.honest()
		return hang()
	case "hang deaf":
		signal.Ignore(syscall.SIGTERM)
		return hang()
	case "hang family":
		child := exec.Command("/bin/sh", "-c", `trap "" TERM; sleep 3600`)
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			return err
		}
		if err := os.WriteFile(c.store.path("family"), []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
			return err
		}
		return hang()
	case "die half":
		return f.dieHalf(c)
	}
	return fmt.Errorf("a fault that does %q is not known", f.Do)
}

// hold waits for the test, which opens and closes the other end of a fifo.
func (s *store) hold() error {
	file := s.path("held", strconv.Itoa(os.Getpid()))
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		return err
	}
	fifo, err := os.Open(file)
	if err != nil {
		return err
	}
	defer fifo.Close()
	_, err = io.Copy(io.Discard, fifo)
	return err
}

// hang outlasts every test.
func hang() error {
	time.Sleep(time.Hour)
	return errors.New("hung for an hour")
}

func (f *Fault) dieHalf(c *call) error {
	if c.verb == "create" || c.verb == "patch" {
		all, err := c.documents()
		if err != nil {
			return err
		}
		var half bytes.Buffer
		for _, o := range all[:len(all)/2] {
			json.NewEncoder(&half).Encode(o)
		}
		c.stdin = half.Bytes()
		if half.Len() > 0 {
			c.honest()
		}
	} else {
		var whole bytes.Buffer
		out := c.stdout
		c.stdout = &whole
		c.honest()
		fmt.Fprint(out, strings.ToValidUTF8(whole.String()[:whole.Len()/2], ""))
	}
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// lost counts how often all running watches were ended by a test.
type lost struct {
	N       int
	Orderly bool // as when their time is over
}

func (s *store) lost() lost {
	var v lost
	text, err := os.ReadFile(s.path("lost"))
	if !errors.Is(err, fs.ErrNotExist) {
		json.Unmarshal(text, &v)
	}
	return v
}
