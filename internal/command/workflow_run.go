package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/docker"
)

func newWorkflowRun(f *workflowFlags) *cobra.Command {
	var network, python string
	var volumes map[string]string
	c := f.takesProgram(&cobra.Command{
		Use:   "run [FILE]",
		Short: "Run a program to its end: on the local Docker, by python3, or on a cluster",
		Long: `Run runs a program and shows what its steps print.

docker   starts each step as a container of its own, and pulls what is missing
python   runs the program that "compile --engine python" writes; SQL is run by the
         program "step", which must be in PATH
argo, tekton   are "submit --watch"

With docker and python it exits with the failed step's code.`,
		Example: `  sqlflow_playground workflow run train.sql
  sqlflow_playground workflow run --parallel 4 train.sql
  sqlflow_playground workflow run --engine python -e 'SELECT 1;'`,
		RunE: func(c *cobra.Command, args []string) error {
			engine, err := f.parse(c, couler.Docker)
			if err != nil {
				return err
			}
			w, src, err := f.compile(c, args, engine)
			if err != nil {
				return err
			}
			switch engine {
			case couler.Docker:
				return stepError(docker.Run(c.Context(), w, docker.Options{
					Parallel: f.workers(), Network: network, Volumes: volumes, Out: c.OutOrStdout(), Err: c.ErrOrStderr(),
				}))
			case couler.Python:
				return f.runPython(c, w, src, python)
			}
			return f.submit(c, engine, w, src, true)
		},
	})
	c.Flags().StringVar(&network, "network", "", "docker: network of the containers (default: Docker's own)")
	c.Flags().StringToStringVar(&volumes, "volume", nil, "docker: what stands for a volume of a workflow file, NAME=/PATH or NAME=DOCKER_VOLUME")
	c.Flags().StringVar(&python, "python", "python3", "python: the interpreter")
	return c
}

// stepError exits with the code of the step that failed.
func stepError(err error) error {
	var step *docker.StepError
	if errors.As(err, &step) {
		return &exitError{cmp.Or(step.ExitCode, exitRefused), err}
	}
	return err
}

// programFile is no module's name: Python looks for modules beside the program first.
const programFile = "workflow-program.py"

// runPython writes the program into a file of its own and runs that. Credentials reach it
// through the environment.
func (f *workflowFlags) runPython(c *cobra.Command, w *couler.Workflow, src source, python string) error {
	text, err := w.Emit(couler.Python)
	if err != nil {
		return named(src, err)
	}
	dir, err := os.MkdirTemp("", "sqlflow-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, programFile)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	environ := f.world.Environ
	for _, s := range w.AllSteps() {
		for _, e := range s.Env {
			if w.Secret != "" && (e.Hidden != "" || e.Empty) { // without a Secret it is in the program
				environ = append(environ[:len(environ):len(environ)], e.Name+"="+e.Hidden.Reveal())
			}
		}
	}
	cmd := exec.CommandContext(c.Context(), python, path)
	cmd.Env = environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f.world.In, c.OutOrStdout(), c.ErrOrStderr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // so that Python ends its step
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case c.Context().Err() != nil:
		return fmt.Errorf("the program was ended: %w", context.Cause(c.Context()))
	case errors.As(err, &ended):
		return &exitError{max(ended.ExitCode(), exitRefused), fmt.Errorf("the workflow failed: %w", err)}
	case err != nil:
		return fmt.Errorf("run %s: %w; --python names another interpreter", python, err)
	}
	return nil
}
