// Engines runs Argo and Tekton on the cluster that is up on this machine (go
// run ./cmd/cluster up), until it is interrupted:
//
//	go run ./cmd/engines [--namespace=default] [argo] [tekton]
//
// Steps may run as the service account "default" of the namespace, which is
// made when it is not there. It exits 1 when an engine could not be installed
// or did not end well.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/engines"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	namespace := flag.String("namespace", "default", "`name` of the namespace that workflows run in")
	flag.Parse()
	names := flag.Args()
	if len(names) == 0 {
		names = []string{"argo", "tekton"}
	}
	logf := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	b, err := bed.Open(bed.Options{Logf: logf})
	if err != nil {
		return err
	}
	install := map[string]func(context.Context, *bed.Bed, func(string, ...any)) (*engines.Engine, error){
		"argo": engines.InstallArgo, "tekton": engines.InstallTekton,
	}
	for _, name := range names {
		if install[name] == nil {
			return fmt.Errorf("unknown engine %q: say argo or tekton", name)
		}
		engine, err := install[name](ctx, b, logf)
		if err != nil {
			return err
		}
		defer func() {
			// The interrupt has ended ctx.
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			err = errors.Join(err, engine.Stop(end))
		}()
		logf("%s: %s", name, engine.LogFile())
	}
	if err := engines.AllowSteps(ctx, b, *namespace, "default"); err != nil {
		return err
	}
	logf("interrupt to end")
	<-ctx.Done()
	return nil
}
