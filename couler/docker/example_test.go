package docker_test

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/docker"
)

// A program runs on the local Docker until it ends or somebody presses Ctrl-C,
// and the process ends as the failing step did.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	workflow, err := couler.Compile("SELECT 1;", couler.Session{DataSource: "mysql://root:root@tcp(10.0.0.9:3306)/"}, couler.Options{Image: "sqlflow/sqlflow:step"})
	if err != nil {
		os.Exit(2)
	}
	err = docker.Run(ctx, workflow, docker.Options{Parallel: 4, Out: os.Stdout, Err: os.Stderr})
	if failed, ok := errors.AsType[*docker.StepError](err); ok && failed.ExitCode != 0 {
		os.Exit(failed.ExitCode)
	}
}
