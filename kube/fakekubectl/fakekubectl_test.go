package fakekubectl_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

func TestMain(m *testing.M) {
	if fakekubectl.Called() {
		os.Exit(fakekubectl.Main())
	}
	os.Exit(m.Run())
}

func command(f *fakekubectl.Folder, args ...string) *exec.Cmd {
	c := exec.Command(f.Kubectl, args...)
	c.Env = f.Environ()
	return c
}

// run gives both outputs as one text.
func run(t *testing.T, f *fakekubectl.Folder, stdin string, args ...string) string {
	t.Helper()
	c := command(f, args...)
	c.Stdin = strings.NewReader(stdin)
	out, _ := c.CombinedOutput()
	return strings.TrimSpace(string(out))
}

const (
	pods = "/api/v1/namespaces/playground/pods"
	aPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"b"}}}`
)

// watch starts a watch and returns its lines.
func watch(t *testing.T, f *fakekubectl.Folder, query string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := command(f, "get", "--raw", pods+"?watch=1&"+query)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, bufio.NewScanner(out)
}

func TestWatchTellsWhatIsAndWhatComes(t *testing.T) {
	t.Parallel()
	f := fakekubectl.New(t)
	run(t, f, aPod, "create", "-f", "-")
	run(t, f, strings.Replace(aPod, `"b"`, `"c"`, 1), "create", "-f", "-")
	_, lines := watch(t, f, "resourceVersion=1&labelSelector=a%3Db")
	next := func(kind, has string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), `{"type":"`+kind) || !strings.Contains(lines.Text(), has) {
			t.Fatalf("got %s, want %s with %s", lines.Text(), kind, has)
		}
	}
	next("ADDED", `"Pending"`)
	next("MODIFIED", `"Running"`)
	f.Delete("pods", "p")
	next("MODIFIED", "deletionTimestamp")
	next("DELETED", `"p"`)
}

func TestManualPods(t *testing.T) {
	t.Parallel()
	f := fakekubectl.New(t)
	f.Set(func(s *fakekubectl.Settings) { s.Manual = true })
	run(t, f, aPod, "create", "-f", "-")
	has := func(want string) {
		t.Helper()
		if got := fmt.Sprint(f.Object("pods", "p")); !strings.Contains(got, want) {
			t.Errorf("it is %s, want ... %s ...", got, want)
		}
	}
	has("phase:Pending")
	run(t, f, "", "fake", "ready", "p")
	has("phase:Running")
	f.Delete("pods", "p")
	has("deletionTimestamp")
	if got := run(t, f, aPod, "create", "-f", "-"); !strings.Contains(got, "object is being deleted") {
		t.Errorf("got %s", got)
	}
	run(t, f, "", "fake", "gone", "p")
	if f.Object("pods", "p") != nil {
		t.Error("it is still there")
	}
}

func TestWatchesEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end  func(*fakekubectl.Folder)
		good bool
	}{
		"orderly": {func(f *fakekubectl.Folder) { f.LoseWatches(true) }, true},
		"broken":  {func(f *fakekubectl.Folder) { f.LoseWatches(false) }, false},
		"down":    {func(f *fakekubectl.Folder) { f.Down() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fakekubectl.New(t)
			f.Put(aPod)
			c, lines := watch(t, f, "resourceVersion=1")
			lines.Scan()
			test.end(f)
			for lines.Scan() {
				continue
			}
			if err := c.Wait(); (err == nil) != test.good {
				t.Errorf("it ended with %v", err)
			}
		})
	}
	f := fakekubectl.New(t)
	_, lines := watch(t, f, "resourceVersion=1&timeoutSeconds=1")
	if !lines.Scan() || !strings.Contains(lines.Text(), "BOOKMARK") || lines.Scan() {
		t.Errorf("when its time is over it says %s", lines.Text())
	}
	f.Compact()
	_, lines = watch(t, f, "resourceVersion=1")
	if !lines.Scan() || !strings.Contains(lines.Text(), `"code":410`) {
		t.Errorf("when it is too old it says %s", lines.Text())
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		do     string
		says   string
		done   int // pods, of two, in the end
		killed bool
	}{
		{"fail", "out err", 0, false},
		{"fail unread", "out err", 0, false},
		{"fail after", "err", 2, false},
		{"print", "out", 0, false},
		{"hang", "", 0, true},
		{"hang after", "", 2, true},
		{"die half", "", 1, false},
	} {
		t.Run(test.do, func(t *testing.T) {
			t.Parallel()
			f := fakekubectl.New(t)
			f.Plant(fakekubectl.Fault{Match: "^create", Do: test.do, Stdout: "out\n", Stderr: "err"})
			c := command(f, "create", "-f", "-", "-o", "name")
			var out bytes.Buffer
			c.Stdin = strings.NewReader(aPod + strings.Replace(aPod, `"p"`, `"q"`, 1))
			c.Stdout, c.Stderr = &out, &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if test.killed {
				f.Eventually("it was done", func() bool { return f.Planted() == 0 && len(f.Names("pods")) == test.done })
				c.Process.Kill()
			}
			c.Wait()
			said := strings.Join(strings.Fields(out.String()), " ")
			if test.do == "die half" {
				said = strings.TrimPrefix(said, "pod/p")
			}
			if said != test.says || len(f.Names("pods")) != test.done {
				t.Errorf("it said %q, there is %v", said, f.Names("pods"))
			}
			if got := run(t, f, strings.Replace(aPod, `"p"`, `"r"`, 1), "create", "-f", "-", "-o", "name"); got != "pod/r" {
				t.Errorf("afterwards it said %s", got)
			}
		})
	}
}

func TestFaultsComeInOrderAndAsOftenAsPlanted(t *testing.T) {
	t.Parallel()
	f := fakekubectl.New(t)
	f.Plant(fakekubectl.Fault{Match: "pods", Do: "fail", Stderr: "first", Times: 2})
	f.Plant(fakekubectl.Fault{Match: "pods", Do: "fail", Stderr: "second", Times: -1})
	for _, want := range []string{"first", "first", "second", "second"} {
		if got := run(t, f, "", "get", "pods", "--output=name"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f.Mend()
	if got := run(t, f, "", "get", "pods", "--output=name"); got != "" {
		t.Errorf("got %s", got)
	}
}

func TestPermissionsAndQuota(t *testing.T) {
	t.Parallel()
	f := fakekubectl.New(t)
	f.Set(func(s *fakekubectl.Settings) { s.Denied, s.Quota = []string{"list services", "delete pods"}, 1 })
	if got := run(t, f, "", "get", "--raw", "/api/v1/namespaces/playground/services"); !strings.Contains(got, `services is forbidden: User "playground" cannot list`) {
		t.Errorf("got %s", got)
	}
	run(t, f, aPod, "create", "-f", "-")
	if got := run(t, f, strings.Replace(aPod, `"p"`, `"q"`, 1), "create", "-f", "-"); !strings.Contains(got, `pods "q" is forbidden: exceeded quota`) {
		t.Errorf("got %s", got)
	}
}

func TestManyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	f := fakekubectl.New(t)
	const many = 12
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			if got := run(t, f, strings.Replace(aPod, `"p"`, fmt.Sprintf(`"p%d"`, i), 1), "create", "-f", "-", "-o", "name"); got != fmt.Sprintf("pod/p%d", i) {
				t.Errorf("got %s", got)
			}
		})
	}
	all.Wait()
	if n := len(f.Names("pods")); n != many {
		t.Errorf("there are %d pods", n)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(f.Kubeconfig()), "events"))
	if err != nil || bytes.Count(text, []byte("\n")) != 2*many {
		t.Errorf("%d events, %v", bytes.Count(text, []byte("\n")), err)
	}
}

func TestUnknownCommandsAreRefused(t *testing.T) {
	t.Parallel()
	f := fakekubectl.New(t)
	for _, line := range []string{"", "apply -f -", "get --raw /apis", "delete pods p", "patch pod p -p {}", "-x"} {
		c := command(f, strings.Fields(line)...)
		c.Stdin = strings.NewReader(aPod)
		if out, err := c.CombinedOutput(); err == nil {
			t.Errorf("kubectl %s: %s", line, out)
		}
	}
}
