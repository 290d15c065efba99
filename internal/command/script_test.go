package command_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sqlflow.org/sqlflow_playground/internal/command"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

// TestMain makes this test binary also the program that the scripts run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sqlflow_playground": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			code := command.Run(ctx, command.World{
				Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(), Version: "v0.0.0-test",
			})
			stop()
			os.Exit(code)
		},
		"kubectl": func() { os.Exit(fakekubectl.Main()) },
	})
}

// TestScripts runs the command lines in testdata/script, one behaviour a file.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Abs("../../scripts")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("SCRIPTS", scripts)
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "tornado" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			err := exec.Command("/usr/bin/python3", "-c", "import tornado").Run()
			if err != nil && os.Getenv("CI") != "" {
				return false, fmt.Errorf("python3-tornado is needed in CI: %w", err)
			}
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport":  freePort,
			"listening": listening,
			"refused":   refused,
		},
	})
}

// freePort sets the variables named to ports of the loopback interface that are free now.
func freePort(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
		defer l.Close()
	}
}

// listening waits until something accepts connections at the port, within the script's deadline.
func listening(ts *testscript.TestScript, _ bool, args []string) {
	port, err := strconv.Atoi(args[0])
	ts.Check(err)
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for range 3000 {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		pause()
	}
	ts.Fatalf("nothing listens at %s", address)
}

// refused waits until the server gives the client of the env file no answer any more: it
// reads its revocation list when that changes, a moment after the key tool wrote it.
func refused(ts *testscript.TestScript, _ bool, args []string) {
	for range 1000 {
		if err := ts.Exec("sqlflow_playground", "client", "db", "--env_file", args[0]); err != nil {
			if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 3 {
				ts.Fatalf("the client ended with %v, want exit status 3", err)
			}
			return
		}
		pause()
	}
	ts.Fatalf("the client is still served")
}
