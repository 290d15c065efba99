package command_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// elsewhere are the README's commands that another test runs, by how they begin.
func elsewhere() map[string]string {
	return map[string]string{
		"kubectl ": "test/e2e applies role, Secret and Deployment to a real cluster; the network policy was tried by hand",
		"sqlflow_playground workflow run --engine argo":   "test/e2e, on a real Argo",
		"sqlflow_playground workflow run --engine tekton": "test/e2e, on a real Tekton",
		"sqlflow_playground workflow run --network host":  "couler/docker, on a real Docker Engine",
	}
}

// readmeCommands are the lines behind "$ " in the README's console blocks.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			if !ok {
				t.Fatalf("a console block has the line %q; each begins with $", line)
			}
			commands = append(commands, command)
		}
	}
	return commands
}

// TestReadmeCommands runs the README from top to bottom as one shell session, but for
// what needs a cluster or a Docker, which the tests named in elsewhere run.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	docs, err := filepath.Abs("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(docs, filepath.Join(dir, "docs")); err != nil {
		t.Fatal(err)
	}
	// The program that the python engine runs statements by.
	if err := os.WriteFile(filepath.Join(dir, "step"), []byte("#!/bin/sh\necho \"$2\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	port := unusedPort(t)
	script := []string{"set -e", "trap 'kill $server' EXIT"}
	for _, command := range readmeCommands(t) {
		switch {
		case strings.HasPrefix(command, "make "):
			target := strings.Fields(command)[1]
			if !slices.Contains(strings.Split(string(makefile), "\n"), ".PHONY: "+target) {
				t.Errorf("%s: there is no such target", command)
			}
		case runElsewhere(command):
		case strings.HasPrefix(command, "sqlflow_playground --port"):
			script = append(script, command+" --backend=embedded --host=127.0.0.1 --admin_addr= 2>server.log & server=$!",
				"for i in 1 2 3 4 5 6 7 8 9; do sqlflow_playground client heart_beat --env_file key_store/clients/ann/sqlflow_playground.env && break; sleep 1; done",
				"cp key_store/clients/ann.tar.gz .")
		default:
			script = append(script, command)
		}
	}
	text := strings.NewReplacer("playground.example.com", "localhost", "50052", port).Replace(strings.Join(script, "\n"))
	sh := exec.Command("sh", "-x")
	sh.Dir, sh.Stdin = dir, strings.NewReader(text)
	sh.Env = append(os.Environ(), "HOME="+dir, "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"mysql://root:root@tcp(127.0.0.1:", "hello ann", "kind: PipelineRun", "[5/5] s5-normal"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the session printed no %q:\n%s", want, out)
		}
	}
}

func runElsewhere(command string) bool {
	for prefix := range elsewhere() {
		if strings.HasPrefix(command, prefix) {
			return true
		}
	}
	return false
}

func unusedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestTheDrawnGraphIsWhatTheProgramDraws: docs/iris.svg is made by the command beside it.
func TestTheDrawnGraphIsWhatTheProgramDraws(t *testing.T) {
	t.Parallel()
	got, err := exec.Command("sqlflow_playground", "workflow", "graph", "--parallel", "--format", "svg", "../../docs/iris.sql").Output()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../../docs/iris.svg", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("../../docs/iris.svg")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/iris.svg is not what is drawn now; run go test ./internal/command -run Drawn -update")
	}
}

// TestReadmeNamesEveryFlag of the server.
func TestReadmeNamesEveryFlag(t *testing.T) {
	t.Parallel()
	help, err := exec.Command("sqlflow_playground", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^ +(?:-\w, )?(--\w+)`).FindAllStringSubmatch(string(help), -1)
	if len(flags) < 25 {
		t.Fatalf("--help names %d flags only:\n%s", len(flags), help)
	}
	for _, flag := range flags {
		if flag[1] != "--help" && flag[1] != "--version" && !strings.Contains(string(readme), "`"+flag[1]+"`") {
			t.Errorf("the README does not name %s", flag[1])
		}
	}
}
