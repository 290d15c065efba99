package e2e_test

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// What needs many databases, but not that pods truly run.
func TestOnFakeNodes(t *testing.T) {
	beside(t, 2*time.Minute)
	b, flags := fakeNodes(t)
	t.Run("nasty ids", func(t *testing.T) { nastyIDs(t, newSiteOn(t, b), flags) })
	t.Run("races", func(t *testing.T) { manyRaces(t, newSiteOn(t, b)) })
}

// fakeNodes boots, for one test, a real control plane with nodes that only pretend,
// where thousands of pods become ready by themselves. The flags are for the servers on
// it.
func fakeNodes(t *testing.T) (b *bed.Bed, flags []string) {
	t.Helper()
	maria := sharedDatabase(t, cluster(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // cold, its programs are built
	defer cancel()
	b, err := bed.Up(ctx, bed.Options{Nodes: bed.Fake, FakeNodes: 20, Logf: logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if os.Getenv(keepVariable) != "" {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	// What pretends to be a database answers queries all the same: its pod has the
	// node's address, and there a real MariaDB is listening for all of them.
	forward(t, net.JoinHostPort(b.NodeIP(), "3306"), maria)
	return b, []string{"--db_address=pod", "--log_level=warning", "--template_dir=" + fakeTemplates(t)}
}

// fakeTemplates are for pods that have the address of their node.
func fakeTemplates(t *testing.T) string {
	t.Helper()
	return changedTemplates(t,
		"spec:\n  # A", "spec:\n  hostNetwork: true\n  # A",
		"      ports:\n        - name: mysql\n          containerPort: 3306\n          protocol: TCP\n", "",
		"cpu: 50m", "cpu: 1m", "memory: 256Mi", "memory: 1Mi")
}

// forward passes connections on.
func forward(t *testing.T, from, to string) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.DialTimeout("tcp", to, 10*time.Second)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
}
