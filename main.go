// Command sqlflow_playground serves a playground of SQLFlow: it gives every notebook
// user a MySQL database on a Kubernetes cluster over mutual TLS, keeps the keys that
// this needs, and compiles SQL programs into workflows.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"sqlflow.org/sqlflow_playground/internal/command"
)

// version is set by the linker; see the Makefile.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := command.Run(ctx, command.World{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Environ: os.Environ(), Version: version,
	})
	stop()
	os.Exit(code)
}
