package command_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/command"
)

// Also what a step has started ends with the command: it would make the file, and until
// then holds the output, which ends with the last process that has it.
func TestNothingOfAPythonProgramOutlivesTheCommand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil && os.Getenv("CI") == "" {
		t.Skip("needs python3")
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	file := filepath.Join(t.TempDir(), "file")
	program := filepath.Join(t.TempDir(), "steps.yaml")
	text := fmt.Sprintf("image: none\nsteps:\n- command: [sh, -c, '(echo begun; sleep 3; echo done > %s) & wait']\n", file)
	if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	var errs strings.Builder
	code := make(chan int)
	go func() {
		defer in.Close()
		code <- command.Run(ctx, command.World{
			Args: []string{"workflow", "run", "--engine=python", program}, In: strings.NewReader(""), Out: in, Err: &errs, Environ: os.Environ(),
		})
	}()
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "begun\n" {
		t.Errorf("it said %q, %v", line, err)
	}
	end()
	if got := <-code; got != 1 || !strings.Contains(errs.String(), "the program was ended") {
		t.Errorf("it ended with %d: %s", got, errs.String())
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the step went on: %v", err)
	}
}

func TestWhatAPythonProgramIsGiven(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil && os.Getenv("CI") == "" {
		t.Skip("needs python3")
	}
	const known = `SQLFLOW_WORKFLOW_SECRET={"db": {"password": "hunter2"}}`
	for _, c := range []struct {
		name, text string
		environ    string
		code       int
		out, errs  string // errs only for a failure
	}{
		// The program's folder comes first where Python looks for modules, also for those
		// that the program imports itself.
		{"the name of a module", "name: signal-\nimage: none\nsteps:\n- python: |\n    import signal\n    print(int(signal.SIGTERM))\n", "A=", 0, "15\n", ""},
		{"a secret's value", "image: none\nenv: {A: {secret: db, key: password}}\nsteps:\n- {command: [printenv, A]}\n", known, 0, "hunter2\n", ""},
		{"a secret's empty value", "image: none\nenv: {A: {secret: db, key: user}}\nsteps:\n- command: [sh, -c, 'echo \"[$A${user-unset}${password-unset}]\"']\n",
			`SQLFLOW_WORKFLOW_SECRET={"db": {"user": "", "password": ""}}`, 0, "[]\n", ""},
		{"a value in the program is for its step alone",
			"image: none\nsecret: \"\"\nsteps:\n- {command: [printenv, A], env: {A: {secret: db, key: password}}}\n- {command: [printenv, A], env: {A: {secret: other}}}\n",
			known, 2, "", "set these variables first: A\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "steps.yaml")
			if err := os.WriteFile(program, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs strings.Builder
			code := command.Run(t.Context(), command.World{
				Args: []string{"workflow", "run", "--engine=python", program}, In: strings.NewReader(""), Out: &out, Err: &errs, Environ: append(os.Environ(), c.environ),
			})
			if code != c.code || out.String() != c.out || !strings.HasPrefix(errs.String(), c.errs) {
				t.Errorf("it ended with %d, said %q and %s", code, out.String(), errs.String())
			}
		})
	}
}
