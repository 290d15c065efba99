package docker_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/docker"
)

func TestStepsRunInTheirOrderWithTheirOutput(t *testing.T) {
	t.Parallel()
	w, err := couler.Compile("CREATE TABLE t (a INT); INSERT INTO t VALUES (1); SELECT 'x' FROM t", couler.Session{UserID: "alice", DataSource: "mysql://root:$p@tcp(h)/"}, couler.Options{Image: image, Name: "three-"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(t, t.Context(), w, docker.Options{}, nil)
	if err != nil {
		t.Fatal(err, out.err.String())
	}
	var want strings.Builder
	for i, s := range w.Steps {
		fmt.Fprintf(&want, "s%d-normal | %s\n", i+1, base64.StdEncoding.EncodeToString([]byte(s.SQL)))
	}
	if out.out.String() != want.String() {
		t.Errorf("got:\n%s\nwant:\n%s", out.out.String(), want.String())
	}
	for _, line := range []string{"s1-normal: started\n", "s3-normal: succeeded after "} {
		if !strings.Contains(out.err.String(), line) {
			t.Errorf("%q is not told:\n%s", line, out.err.String())
		}
	}
}

func TestTextAndVariablesReachTheStepByteForByte(t *testing.T) {
	t.Parallel()
	text := "'it''s' \"b\" `c` $(date) $$ {{x}} \\ \\n 中文 \r\n\x1b \xff\xfe\n\n"
	value := strings.ToValidUTF8(text, "")
	s := couler.Step{Name: "all", SQL: text, Env: []couler.EnvVar{
		{Name: "DO", Value: `for v in A B C; do printf '%s' "${!v}" | base64 | tr -d '\n'; echo; done`},
	}}
	s.Env = append([]couler.EnvVar{{Name: "A", Value: value}, {Name: "B", Hidden: couler.Credential(value)},
		{Name: "C", Hidden: "known", From: couler.SecretKey{Name: "in-the-cluster", Key: "c"}}}, s.Env...)
	out, err := run(t, t.Context(), workflow(t, s), docker.Options{}, nil)
	if err != nil {
		t.Fatal(err, out.err.String())
	}
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	if got := strings.Split(out.out.String(), "\n")[0]; got != "all | "+encoded {
		t.Errorf("the SQL was %q", got)
	}
	b64 := base64.StdEncoding.EncodeToString([]byte(value))
	want := b64 + "\n" + b64 + "\n" + base64.StdEncoding.EncodeToString([]byte("known")) + "\n"
	if got := printed(out, "all"); got != want {
		t.Errorf("the variables were %q, want %q", got, want)
	}
}

func TestAFailingStepStopsTheWorkflowWithItsExitCode(t *testing.T) {
	t.Parallel()
	w := workflow(t, do("one", ""), do("two", "echo oh >&2; exit 7", "one"), do("three", "", "two"))
	w.Steps[1].Line = 5
	w.OnExit = &couler.Step{Name: "last", Image: image, SQL: "SELECT 1;", Env: []couler.EnvVar{{Name: "DO", Value: "echo it $SQLFLOW_WORKFLOW_STATUS"}}}
	out, err := run(t, t.Context(), w, docker.Options{Parallel: 3}, nil)
	failed, ok := errors.AsType[*docker.StepError](err)
	if !ok || failed.Step != "two" || failed.ExitCode != 7 || failed.Err != nil || err.Error() != "step two (line 5) failed with exit code 7" {
		t.Fatalf("got %#v: %v", err, err)
	}
	if strings.Contains(out.out.String(), "three") {
		t.Errorf("step three ran:\n%s", out.out.String())
	}
	if !strings.Contains(out.err.String(), "two | oh\n") {
		t.Errorf("what step two said is not shown:\n%s", out.err.String())
	}
	if got := printed(out, "last"); got != "it Failed\n" {
		t.Errorf("the exit step said %q", got)
	}
}

func TestTheExitStepAlsoEndsAGoodWorkflow(t *testing.T) {
	t.Parallel()
	w := workflow(t, do("one", ""))
	w.OnExit = &couler.Step{Name: "last", Image: image, SQL: "SELECT 1;", Env: []couler.EnvVar{{Name: "DO", Value: "echo it $SQLFLOW_WORKFLOW_STATUS; exit 4"}}}
	out, err := run(t, t.Context(), w, docker.Options{}, nil)
	if failed, ok := errors.AsType[*docker.StepError](err); !ok || failed.Step != "last" || failed.ExitCode != 4 {
		t.Errorf("got %v", err)
	}
	if got := printed(out, "last"); got != "it Succeeded\n" {
		t.Errorf("the exit step said %q", got)
	}
}

// Two steps that wait for each other's file end only when they run at once.
const meet = `touch /shared/$ME; for i in {1..300}; do [[ -e /shared/$OTHER ]] && exit 0; sleep 0.1; done; exit 5`

func meeting(t *testing.T) *couler.Workflow {
	a, b := do("a", meet), do("b", meet)
	a.Env = append(a.Env, couler.EnvVar{Name: "ME", Value: "a"}, couler.EnvVar{Name: "OTHER", Value: "b"})
	b.Env = append(b.Env, couler.EnvVar{Name: "ME", Value: "b"}, couler.EnvVar{Name: "OTHER", Value: "a"})
	w := workflow(t, a, b, do("c", "[[ -e /shared/a && -e /shared/b ]]", "a", "b"))
	w.Volumes = []couler.Volume{{Name: "shared", Claim: "claim"}}
	for i := range w.Steps {
		w.Steps[i].Mounts = []couler.Mount{{Volume: "shared", Path: "/shared"}}
	}
	return w
}

func TestIndependentStepsRunAtOnce(t *testing.T) {
	t.Parallel()
	out, err := run(t, t.Context(), meeting(t), docker.Options{Parallel: 2, Volumes: map[string]string{"shared": t.TempDir()}}, nil)
	if err != nil {
		t.Fatal(err, out.err.String())
	}
}

func TestAVolumeOfTheClusterNeedsAStandIn(t *testing.T) {
	t.Parallel()
	out, err := run(t, t.Context(), meeting(t), docker.Options{}, nil)
	if err == nil || !strings.Contains(err.Error(), "step a: the volume shared is in the cluster; say what stands for it here") || out.err.Len() > 0 {
		t.Errorf("got %v, %s", err, out.err.String())
	}
}

func TestEachStepHasAnEmptyVolumeOfItsOwn(t *testing.T) {
	t.Parallel()
	script := "[[ -e /scratch/x ]] && exit 6; touch /scratch/x"
	w := workflow(t, do("one", script), do("two", script, "one"))
	w.Volumes = []couler.Volume{{Name: "scratch"}}
	for i := range w.Steps {
		w.Steps[i].Mounts = []couler.Mount{{Volume: "scratch", Path: "/scratch"}}
	}
	if out, err := run(t, t.Context(), w, docker.Options{}, nil); err != nil {
		t.Error(err, out.err.String())
	}
	volumes, err := daemon.VolumeList(t.Context(), client.VolumeListOptions{})
	if err != nil || len(volumes.Items) > 0 {
		t.Errorf("volumes remain: %v, %v", volumes.Items, err)
	}
}

func TestTheEndOfTheContextStopsEverything(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	interrupted := errors.New("interrupted")
	endless := "trap 'echo stopping; exit 0' TERM; echo up; while :; do sleep 0.1; done"
	w := workflow(t, do("a", endless), do("b", endless), do("c", "", "a"))
	// bash of the image runs step itself, so that the signal comes to it.
	w.OnExit = &couler.Step{Name: "last", Image: image, SQL: "SELECT 1;"}
	up := 0
	out, err := run(t, ctx, w, docker.Options{Parallel: 2}, func(text string) {
		if strings.HasSuffix(text, " | up\n") {
			if up++; up == 2 {
				cancel(interrupted)
			}
		}
	})
	if !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
	for _, step := range []string{"a", "b"} {
		if got := printed(out, step); got != "up\nstopping\n" {
			t.Errorf("step %s said %q", step, got)
		}
	}
	if strings.Contains(out.err.String(), "last") || strings.Contains(out.err.String(), "c: started") {
		t.Errorf("steps were started after the end:\n%s", out.err.String())
	}
}

func TestAStepThatTakesTooLongIsKilled(t *testing.T) {
	t.Parallel()
	w := workflow(t, do("slow", "trap '' TERM; while :; do sleep 0.1; done"))
	w.Steps[0].Timeout = time.Second
	_, err := run(t, t.Context(), w, docker.Options{Grace: time.Second}, nil)
	failed, ok := errors.AsType[*docker.StepError](err)
	if !ok || failed.ExitCode != docker.TimedOut || err.Error() != "step slow: it took longer than 1s" {
		t.Errorf("got %v", err)
	}
}

func TestAWorkflowThatTakesTooLongIsStopped(t *testing.T) {
	t.Parallel()
	w := workflow(t, do("slow", "sleep 60"), do("later", "", "slow"))
	w.Timeout = time.Second
	_, err := run(t, t.Context(), w, docker.Options{Grace: time.Second}, nil)
	failed, ok := errors.AsType[*docker.StepError](err)
	if !ok || failed.Step != "slow" || failed.ExitCode != docker.TimedOut || !strings.Contains(err.Error(), "the workflow took longer than 1s") {
		t.Errorf("got %v", err)
	}
}

func TestAStepIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := workflow(t, do("flaky", "echo x >>/shared/tries; [[ $(wc -l </shared/tries) == 3 ]] || exit 9"))
	w.Steps[0].Env[0].Value = "echo x >>/shared/tries; n=0; while read -r; do ((++n)); done </shared/tries; [[ $n == 3 ]] || exit 9"
	w.Volumes = []couler.Volume{{Name: "shared", Claim: "claim"}}
	w.Steps[0].Mounts = []couler.Mount{{Volume: "shared", Path: "/shared"}}
	for _, c := range []struct{ retries, code int }{{1, 9}, {2, 0}} {
		w.Steps[0].Retries = c.retries
		_, err := run(t, t.Context(), w, docker.Options{Volumes: map[string]string{"shared": t.TempDir()}}, nil)
		failed, ok := errors.AsType[*docker.StepError](err)
		if c.code == 0 && err != nil || c.code > 0 && (!ok || failed.ExitCode != c.code) {
			t.Errorf("with %d retries: %v", c.retries, err)
		}
	}
}

func TestPythonStepsAndCommandsRunInTheImage(t *testing.T) {
	t.Parallel()
	python, err := os.Readlink("/usr/bin/python3")
	if err != nil {
		t.Skip("this system has no Python in /usr whose files could be lent to the image")
	}
	w := workflow(t,
		couler.Step{Name: "body", Python: "import sys\nprint('''a\n  $b''', {} or sys.version_info[0])\nif True:\n    return\nprint('not reached')"},
		couler.Step{Name: "exits", Python: "import sys\nsys.exit(0)", After: []string{"body"}},
		couler.Step{Name: "command", Command: []string{"printf", "%s|", "$HOME", "a b", "{{x}}", "$(y)"}, After: []string{"exits"}},
		couler.Step{Name: "fails", Python: "raise SystemExit(42)", After: []string{"command"}})
	volumes := map[string]string{}
	for _, folder := range []string{"usr", "lib", "lib64"} {
		if real, err := filepath.EvalSymlinks("/" + folder); err == nil {
			w.Volumes = append(w.Volumes, couler.Volume{Name: folder, Claim: folder})
			volumes[folder] = real
			for i := range w.Steps {
				w.Steps[i].Mounts = append(w.Steps[i].Mounts, couler.Mount{Volume: folder, Path: "/" + folder, ReadOnly: true})
			}
		}
	}
	out, err := run(t, t.Context(), w, docker.Options{Volumes: volumes}, nil)
	if failed, ok := errors.AsType[*docker.StepError](err); !ok || failed.Step != "fails" || failed.ExitCode != 42 {
		t.Errorf("%s: got %v\n%s", python, err, out.err.String())
	}
	if want := "body | a\nbody |   $b 3\ncommand | $HOME|a b|{{x}}|$(y)|\n"; out.out.String() != want {
		t.Errorf("got %q, want %q", out.out.String(), want)
	}
}

func TestTheNetworkIsTheOneThatIsAskedFor(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from the host") })}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	w := workflow(t, do("get", "wget -q -O - http://"+listener.Addr().String()))
	out, err := run(t, t.Context(), w, docker.Options{Network: "host"}, nil)
	if err != nil || printed(out, "get") != "hello from the host\n" {
		t.Errorf("on the host's network: %v, %q", err, out.out.String())
	}
	if _, err = run(t, t.Context(), w, docker.Options{Network: "none"}, nil); err == nil {
		t.Error("without a network it got through")
	}
}

func TestResourcesAreLimits(t *testing.T) {
	t.Parallel()
	s := do("limited", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || :")
	s.Resources = map[string]string{"cpu": "500", "memory": "64Mi", "nvidia.com/gpu": "1"}
	out, err := run(t, t.Context(), workflow(t, s), docker.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(printed(out, "limited"), fmt.Sprint(64<<20)) {
		t.Errorf("the limit was %q, want 64 MiB", printed(out, "limited"))
	}
	if !strings.Contains(out.err.String(), "limited: Docker is not asked for nvidia.com/gpu\n") {
		t.Errorf("what is left out is not told:\n%s", out.err.String())
	}
}

func TestAnImageThatCannotBePulledStartsNothing(t *testing.T) {
	t.Parallel()
	w := workflow(t, do("one", ""), do("two", "", "one"))
	w.Steps[1].Image = "127.0.0.1:1/no/such:image"
	out, err := run(t, t.Context(), w, docker.Options{}, nil)
	if err == nil || !strings.Contains(err.Error(), "step two: cannot pull the image 127.0.0.1:1/no/such:image") {
		t.Errorf("got %v", err)
	}
	if !strings.HasPrefix(out.err.String(), "pulling 127.0.0.1:1/no/such:image\n") || strings.Contains(out.err.String(), "started") {
		t.Errorf("got:\n%s", out.err.String())
	}
}

func TestAStepWhoseProgramIsMissingFails(t *testing.T) {
	t.Parallel()
	w := workflow(t, couler.Step{Name: "none", Command: []string{"/no/such/program"}})
	_, err := run(t, t.Context(), w, docker.Options{}, nil)
	if failed, ok := errors.AsType[*docker.StepError](err); !ok || failed.Err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("got %v", err)
	}
}

func TestWhatOnlyTheClusterKnowsIsToldBeforeDockerIsAsked(t *testing.T) {
	t.Parallel()
	w := workflow(t, do("one", ""))
	w.Steps[0].Env = []couler.EnvVar{{Name: "PASS", From: couler.SecretKey{Name: "db", Key: "pass"}}}
	err := docker.Run(t.Context(), w, docker.Options{})
	if err == nil || err.Error() != "step one: the value of PASS is the key pass of the secret db, which only the cluster knows" {
		t.Errorf("got %v", err)
	}
}

func TestNoDockerIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Unix sockets")
	}
	c, err := client.New(client.WithHost("unix://" + filepath.Join(t.TempDir(), "none")))
	if err != nil {
		t.Fatal(err)
	}
	err = docker.Run(t.Context(), workflow(t, do("one", "")), docker.Options{Client: c})
	if err == nil || !strings.HasPrefix(err.Error(), "the Docker Engine does not answer: ") {
		t.Errorf("got %v", err)
	}
}
