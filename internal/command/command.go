// Package command turns the command line into calls of the other packages: args,
// environment, streams and signals come in as a [World], an exit code goes out.
// There is one file per command; serve.go is where the server is put together.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// World is what a command sees of the outside.
type World struct {
	Args    []string // without the program's name
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Environ []string // "KEY=VALUE" lines
	Version string   // of this build; the module's own where the linker set none
}

// Getenv returns the value of an environment variable, or "".
func (w World) Getenv(name string) string {
	for i := len(w.Environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(w.Environ[i], "="); ok && k == name {
			return v
		}
	}
	return ""
}

// The exit codes of every command.
const (
	exitOK          = 0
	exitRefused     = 1 // it was tried and failed, or was refused
	exitUsage       = 2 // the command line is wrong
	exitUnreachable = 3 // the server could not be reached
)

// exitError is an error that chooses its exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as the command line's fault.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// Run runs the command line until it is done or ctx ends, and returns the exit code:
// 0 done, 1 refused or failed, 2 wrong usage, 3 server unreachable; a workflow that
// ran here exits with the code of its failed step.
func Run(ctx context.Context, w World) int {
	root := newRoot(w)
	root.SetArgs(w.Args)
	root.SetIn(w.In)
	root.SetOut(w.Out)
	root.SetErr(w.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitRefused
	var chosen *exitError
	if errors.As(err, &chosen) {
		code = chosen.code
	}
	if message := err.Error(); message != "" {
		fmt.Fprintf(w.Err, "sqlflow_playground: %s\n", message)
	}
	return code
}

func newRoot(w World) *cobra.Command {
	root := newServe(w)
	root.Version = buildVersion(w.Version)
	root.SetVersionTemplate("sqlflow_playground {{.Version}}\n")
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%v; see `%s --help`", err, c.CommandPath())
	})
	// Cobra finds these last and does not say that they are the command line's fault.
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := errors.Join(c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
			return usage("%v; see `%s --help`", err, c.CommandPath())
		}
		return nil
	}
	root.AddCommand(newDemo(w), newKeytool(w), newClient(w), newWorkflow(w))
	return root
}

// buildVersion describes the build: version, commit, Go version.
func buildVersion(version string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	if version == "" || version == "unknown" {
		version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(version, s.Value[:min(7, len(s.Value))]) {
			version += " (" + s.Value[:min(12, len(s.Value))] + ")"
		}
	}
	return version + " " + info.GoVersion
}

// fromEnvironment gives each flag that was not named on the command line the value
// of SQLFLOW_PLAYGROUND_<FLAG>, if that is set. --help and --version are no settings.
func fromEnvironment(flags *pflag.FlagSet, w World) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "version" {
			return
		}
		name := variable(f.Name)
		value := w.Getenv(name)
		// Kubernetes sets SQLFLOW_PLAYGROUND_PORT=tcp://IP:PORT in every pod beside a
		// Service of that name; that is no port for us.
		if f.Changed || value == "" || failed != nil || f.Name == "port" && strings.HasPrefix(value, "tcp://") {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = usage("environment variable %s: %v", name, err)
		}
	})
	return failed
}

// variable is the environment variable that stands for a flag.
func variable(flag string) string { return "SQLFLOW_PLAYGROUND_" + strings.ToUpper(flag) }

// arguments refuses a command line with the wrong number of positional arguments as a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usage("%v; see `%s --help`", err, c.CommandPath())
		}
		return nil
	}
}
