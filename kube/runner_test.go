package kube_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

func runner(b *bed, change ...func(*kube.RunnerOptions)) *kube.Runner {
	o := b.options
	for _, f := range change {
		f(&o)
	}
	return kube.NewRunner(o)
}

func plant(b *bed, f fakekubectl.Fault) { b.fake.Plant(f) }

const aPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`

func TestReasonsOfFailures(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, b *bed) {
		r := runner(b)
		run := func(stdin string, args ...string) error {
			_, err := r.Run(t.Context(), []byte(stdin), args...)
			return err
		}
		must(t, run(aPod, "create", "-f", "-"))
		pods := "/api/v1/namespaces/" + b.namespace + "/pods"
		for _, test := range []struct {
			want kube.Reason
			err  error
		}{
			{kube.AlreadyExists, run(aPod, "create", "-f", "-", "--output=name", "--validate=false")},
			{kube.NotFound, run("", "get", "--raw", pods+"/nobody")},
			{kube.NotFound, run(strings.ReplaceAll(aPod, `"p"`, `"nobody"`), "patch", "-f", "-", "--type=merge", "--patch={}")},
			{kube.Conflict, run(aPod, "patch", "-f", "-", "--type=merge", `--patch={"metadata":{"resourceVersion":"1","labels":{"a":"b"}}}`)},
			{kube.Conflict, run(`{"apiVersion":"v1","kind":"DeleteOptions","preconditions":{"uid":"other"}}`, "delete", "--raw", pods+"/p", "-f", "-")},
			{kube.Invalid, run(strings.ReplaceAll(aPod, `"p"`, `"P_"`), "create", "-f", "-", "--output=name", "--validate=false")},
		} {
			if kube.ReasonOf(test.err) != test.want {
				t.Errorf("got %q, want %q: %v", kube.ReasonOf(test.err), test.want, test.err)
			}
		}
	})
}

func TestProgramAndClusterThatAreNotThere(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	for want, r := range map[kube.Reason]*kube.Runner{
		kube.Missing: runner(b, func(o *kube.RunnerOptions) { o.Path = "/nowhere/kubectl" }),
		kube.Unreachable: runner(b, func(o *kube.RunnerOptions) {
			o.Environ = func() []string { return []string{"KUBECONFIG=/nowhere"} }
		}),
	} {
		if _, err := r.Run(t.Context(), nil, "get", "--raw", "/version"); kube.ReasonOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestErrorIsOneLineToPaste(t *testing.T) {
	t.Parallel()
	err := &kube.Error{
		Program: "kubectl", Args: []string{"--namespace=a", "patch", "--patch={\"it's\": 1}\n"},
		Stderr: "Error from server (Conflict): one\nand\x1b[31m two\r\n", Reason: kube.Conflict, Err: errors.New("exit status 1"),
	}
	want := `kubectl --namespace=a patch '--patch={"it'\''s": 1}�': exit status 1: Error from server (Conflict): one; and�[31m two`
	if got := err.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	err.Stderr = strings.Repeat("ü", 1<<20)
	if got := err.Error(); len(got) > 3000 || strings.Contains(got, "\n") {
		t.Errorf("%d bytes long", len(got))
	}
}

func TestStandardInputStaysOutOfErrors(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	plant(b, fakekubectl.Fault{Match: "create", Do: "fail", Stderr: "no"})
	_, err := runner(b).Run(t.Context(), []byte("top secret"), "create", "-f", "-")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestArgumentsReachNoShell(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	file := filepath.Join(t.TempDir(), "made")
	for _, nasty := range []string{"$(touch " + file + ")", "`touch " + file + "`", "; touch " + file, "'; touch " + file + "; '", "-o=x\ny"} {
		runner(b).Run(t.Context(), nil, "get", "pods/"+nasty)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a shell read the arguments")
	}
}

func TestEnvironmentIsChosen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "kubectl")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\nexec env\n"), 0o700))
	r := kube.NewRunner(kube.RunnerOptions{Path: program, Environ: func() []string {
		return []string{"PATH=/bin:/usr/bin", "HOME=/h", "KUBECONFIG=/k", "https_proxy=p", "KUBERNETES_SERVICE_HOST=s", "DB_PASSWORD=x", "LANG=de_DE", "LD_PRELOAD=x"}
	}})
	out, err := r.Run(t.Context(), nil, "version")
	must(t, err)
	for _, want := range []string{"HOME=/h", "KUBECONFIG=/k", "https_proxy=p", "KUBERNETES_SERVICE_HOST=s", "LC_ALL=C"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, secret := range []string{"DB_PASSWORD", "LANG", "LD_PRELOAD"} {
		if strings.Contains(string(out), secret+"=") {
			t.Errorf("%s came through", secret)
		}
	}
}

func TestHangingKubectlIsEnded(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"hang", "hang deaf", "hang family"} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			plant(b, fakekubectl.Fault{Match: "version", Do: do, Times: 2})
			r := runner(b, func(o *kube.RunnerOptions) { o.Timeout = 400 * time.Millisecond })
			begun := time.Now()
			_, err := r.Run(t.Context(), nil, "get", "--raw", "/version")
			if kube.ReasonOf(err) != kube.Timeout || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			if err := r.Stream(ctx, func([]byte) error { return nil }, "get", "--raw", "/version"); kube.ReasonOf(err) != kube.Timeout {
				t.Errorf("got %v", err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if text, err := os.ReadFile(filepath.Join(filepath.Dir(b.fake.Kubeconfig()), "family")); err == nil {
				pid, _ := strconv.Atoi(string(text))
				isGone(t, pid)
			}
		})
	}
}

// isGone waits for a process that we are not the parent of.
func isGone(t *testing.T, pid int) {
	t.Helper()
	for range 500 {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || bytes.Contains(status, []byte("State:\tZ")) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("the process %d is left", pid)
}

func TestSoManyRunAtOnce(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	plant(b, fakekubectl.Fault{Match: "slow", Do: "hang", Times: 2})
	var mu sync.Mutex
	results := make(map[string]int)
	r := runner(b, func(o *kube.RunnerOptions) {
		o.Most, o.Timeout = 2, time.Minute
		o.Observe = func(verb, result string, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			results[verb+" "+result]++
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() { r.Run(ctx, nil, "get", "slow") })
	}
	b.fake.Eventually("both run", func() bool { return b.fake.Planted() == 0 })
	waiting, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := r.Run(waiting, nil, "get", "--raw", "/version"); err == nil || !strings.Contains(err.Error(), "waiting for its turn") {
		t.Errorf("got %v", err)
	}
	streamed := false
	must(t, r.Stream(t.Context(), func([]byte) error { streamed = true; return nil }, "get", "--raw", "/version"))
	if !streamed {
		t.Error("a stream had to wait")
	}
	cancel()
	all.Wait()
	_, err := r.Run(t.Context(), nil, "get", "--raw", "/version")
	must(t, err)
	mu.Lock()
	defer mu.Unlock()
	if results["get Canceled"] != 2 || results["get Timeout"] != 1 || results["get ok"] != 1 || results["watch ok"] != 1 {
		t.Errorf("observed %v", results)
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "kubectl")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\ncase $1 in out) exec cat /dev/zero;; err) head -c 9000000 /dev/zero | tr '\\0' x >&2; exit 1;; esac\n"), 0o700))
	r := kube.NewRunner(kube.RunnerOptions{Path: program})
	if out, err := r.Run(t.Context(), nil, "out"); err == nil || len(out) > 65<<20 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	var e *kube.Error
	if _, err := r.Run(t.Context(), nil, "err"); !errors.As(err, &e) || len(e.Stderr) > 1<<20 {
		t.Errorf("got %v", err)
	}
	if err := r.Stream(t.Context(), func([]byte) error { return nil }, "out"); err == nil {
		t.Error("a line without end was taken")
	}
}

func TestReaderAndLineMayEndTheRun(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	enough := errors.New("enough")
	plant(b, fakekubectl.Fault{Match: "pods", Do: "hang family", Times: 1})
	if err := runner(b).Read(t.Context(), func(io.Reader) error { return enough }, "get", "pods"); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if err := runner(b).Stream(t.Context(), func([]byte) error { return enough }, "get", "--raw", "/version"); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

// What a reader makes of half an answer is no reason when kubectl gives one itself.
func TestWhatKubectlSaysCountsMoreThanWhatWasRead(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	b.fake.Down()
	var observed string
	r := runner(b, func(o *kube.RunnerOptions) { o.Observe = func(_, result string, _ time.Duration) { observed = result } })
	err := r.Read(t.Context(), func(pipe io.Reader) error {
		var list struct{}
		return json.NewDecoder(pipe).Decode(&list)
	}, "get", "--raw", "/api/v1/pods")
	if kube.ReasonOf(err) != kube.Unreachable || observed != string(kube.Unreachable) {
		t.Errorf("got %v, and observed %q", err, observed)
	}
}

func TestGlobalFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "kubectl")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\"\n"), 0o700))
	r := kube.NewRunner(kube.RunnerOptions{Path: program, Kubeconfig: "/k", Context: "c", Namespace: "n"})
	out, err := r.Run(t.Context(), nil, "get", "pods")
	must(t, err)
	if got := string(out); got != "--kubeconfig=/k --context=c --namespace=n get pods\n" {
		t.Errorf("ran kubectl %s", got)
	}
}

func TestCurrentNamespaceAndVersion(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	name, err := runner(b).CurrentNamespace(t.Context())
	if name != fakekubectl.Namespace || err != nil {
		t.Errorf("the namespace is %q, %v", name, err)
	}
	name, err = runner(b, func(o *kube.RunnerOptions) { o.Namespace = "mine" }).CurrentNamespace(t.Context())
	if name != "mine" || err != nil {
		t.Errorf("the namespace is %q, %v", name, err)
	}
	if _, err := runner(b, func(o *kube.RunnerOptions) { o.Path = "/nowhere" }).CurrentNamespace(t.Context()); kube.ReasonOf(err) != kube.Missing {
		t.Errorf("got %v", err)
	}
	if v, err := runner(b).ClientVersion(t.Context()); !strings.HasPrefix(v, "v1.") || err != nil {
		t.Errorf("version %q, %v", v, err)
	}
	plant(b, fakekubectl.Fault{Match: "version", Do: "print", Stdout: "hello"})
	if v, err := runner(b).ClientVersion(t.Context()); err == nil {
		t.Errorf("garbage is version %q", v)
	}
}
