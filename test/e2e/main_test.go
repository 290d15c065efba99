// Package e2e tests sqlflow_playground as a whole on a real Kubernetes cluster.
//
// All its tests share one cluster, booted when the first of them asks for it
// and taken down after the last. A cluster that is up already is used and left
// up; PLAYGROUND_TEST_KEEP=1 leaves up a new one as well, for the next run.
package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// keepVariable names the environment variable that leaves the cluster up.
const keepVariable = "PLAYGROUND_TEST_KEEP"

// patience is how long a busy machine may take for what takes seconds on a quiet one.
const patience = 4 * time.Minute

// shared is what the tests of this package have in common.
var shared resources

func TestMain(m *testing.M) {
	// How many run beside one another is decided by the lanes: see beside.
	if err := flag.Set("test.parallel", "100"); err != nil {
		panic(err)
	}
	flag.Parse()
	code := m.Run()
	if err := errors.Join(shared.release(), shared.results.write(code == 0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// resources are opened when they are first asked for, and released in reverse.
type resources struct {
	mu       sync.Mutex
	open     map[string]any
	releases []func(context.Context) error
	results  table
	lanes    lanes
}

// logf tells progress that no single test can be blamed for.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// once gives what open opened under a name, which happens once; a failure is
// remembered too, so that not every test waits for the same one.
func once[T any](t *testing.T, name string, open func() (T, func(context.Context) error, error)) T {
	t.Helper()
	type result struct {
		value T
		err   error
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	got, ok := shared.open[name].(result)
	if !ok {
		value, release, err := open()
		if release != nil {
			shared.releases = append(shared.releases, release)
		}
		if shared.open == nil {
			shared.open = map[string]any{}
		}
		got = result{value, err}
		shared.open[name] = got
	}
	if got.err != nil {
		t.Fatalf("%s: %v", name, got.err)
	}
	return got.value
}

func (r *resources) release() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var errs []error
	for i := len(r.releases) - 1; i >= 0; i-- {
		errs = append(errs, r.releases[i](ctx))
	}
	return errors.Join(errs...)
}

// cluster gives the cluster of all tests. A short run, unless it is CI's, skips
// the test.
func cluster(t *testing.T) *bed.Bed {
	t.Helper()
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("needs a cluster, which a short run does not boot")
	}
	begun := time.Now()
	t.Cleanup(func() { logf("%s took %s", t.Name(), brief(time.Since(begun))) })
	return once(t, "boot the cluster", func() (*bed.Bed, func(context.Context) error, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // cold, its programs are built
		defer cancel()
		o := bed.Options{Logf: logf}
		if b, err := bed.Open(o); err == nil && well(ctx, b) {
			return b, nil, nil
		}
		b, err := bed.Up(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		if os.Getenv(keepVariable) != "" {
			return b, nil, nil
		}
		return b, b.Down, nil
	})
}

// well says whether a cluster works, or does so soon: one of its components may
// just be starting again.
func well(ctx context.Context, b *bed.Bed) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for b.Healthy(ctx) != nil {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}
