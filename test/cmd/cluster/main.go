// Cluster boots the Kubernetes cluster of the end-to-end tests on this machine,
// says how it is, and takes it down:
//
//	go run ./cmd/cluster up     [--nodes=real|fake] [--fake_nodes=10]
//	go run ./cmd/cluster status [--nodes=real|fake]
//	go run ./cmd/cluster down   [--nodes=real|fake]
//
// It exits 0 when what was asked is so: status exits 1 when the cluster is not
// up and well, up and down when they failed. Both may be said twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"sqlflow.org/sqlflow_playground/test/bed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) == 0 {
		return errors.New("say up, down or status")
	}
	flags := flag.NewFlagSet("cluster "+args[0], flag.ContinueOnError)
	flags.SetOutput(errs)
	nodes := flags.String("nodes", string(bed.Real), "`kind` of nodes, real or fake")
	fake := flags.Int("fake_nodes", 0, "how `many` fake nodes (default 10)")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	options := bed.Options{
		Nodes: bed.Nodes(*nodes), FakeNodes: *fake,
		Logf: func(format string, args ...any) { fmt.Fprintf(errs, format+"\n", args...) },
	}
	switch args[0] {
	case "up":
		b, err := bed.Up(ctx, options)
		if err != nil {
			return err
		}
		describe(out, b)
		return nil
	case "down":
		err := bed.Down(ctx, options)
		if errors.Is(err, bed.ErrNotUp) {
			fmt.Fprintln(errs, "no cluster is up")
			return nil
		}
		return err
	case "status":
		return status(ctx, out, options)
	default:
		return fmt.Errorf("unknown command %q: say up, down or status", args[0])
	}
}

func status(ctx context.Context, out io.Writer, options bed.Options) error {
	b, err := bed.Open(options)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range b.Components() {
		state := "stopped"
		if b.Running(c) {
			state = "running"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", c, state, b.LogFile(c))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	describe(out, b)
	return b.Healthy(ctx)
}

// describe prints what is needed to work with the cluster by hand.
func describe(out io.Writer, b *bed.Bed) {
	fmt.Fprintf(out, "export KUBECONFIG=%s\nalias kubectl=%s\n", b.Kubeconfig(), b.KubectlPath())
}
