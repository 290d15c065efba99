package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/kube/workflow"
	"sqlflow.org/sqlflow_playground/test/images"
)

// A shell runs sqlflow_playground workflow as a user does.
type shell struct {
	*scene
	program string
	source  string
}

func (s *scene) shell(t *testing.T, source string) shell {
	t.Helper()
	return shell{s, program(t), source}
}

// run gives what a command printed, and its exit code.
func (s shell) run(t *testing.T, stdin string, args ...string) (out, errs string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	args = append([]string{"workflow", "--engine=" + string(s.name), "--namespace=" + s.namespace}, args...)
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = []string{
		"KUBECONFIG=" + s.Kubeconfig(), "HOME=" + t.TempDir(),
		"PATH=" + filepath.Dir(s.KubectlPath()) + ":" + os.Getenv("PATH"),
		"SQLFLOW_DATASOURCE=" + s.source, "SQLFLOW_USER_ID=alice", "SQLFLOW_WORKFLOW_STEP_IMAGE=" + images.StepName,
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	out, errs = stdout.String(), stderr.String()
	if strings.Contains(out+errs, s.source) && !slices.Contains(args, "--secret") {
		t.Errorf("%s tells the data source:\n%s%s", strings.Join(args, " "), out, errs)
	}
	return out, errs, cmd.ProcessState.ExitCode()
}

// ok gives what a command printed, which must succeed.
func (s shell) ok(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errs, code := s.run(t, stdin, args...)
	if code != 0 {
		t.Fatalf("workflow %s ended with %d:\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// fails checks a command's exit code, and that it says why.
func (s shell) fails(t *testing.T, want int, why string, args ...string) {
	t.Helper()
	out, errs, code := s.run(t, "", args...)
	if code != want || !strings.Contains(errs, why) {
		t.Errorf("workflow %s ended with %d, want %d and %q:\n%s%s", strings.Join(args, " "), code, want, why, out, errs)
	}
}

func (s shell) status(t *testing.T, id string) workflow.Status {
	t.Helper()
	var status workflow.Status
	if err := json.Unmarshal([]byte(s.ok(t, "", "status", "--json", id)), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

// A user asks the playground for a database, and runs a program on it.
func ownDatabase(t *testing.T, s *scene) {
	servers := newSite(t).replicas(t)
	source := servers[0].database(t, "alice")
	if same := servers[1].database(t, "alice"); same != source {
		t.Errorf("the other replica gives %s, want %s", same, source)
	}
	sh := s.shell(t, source)
	printed := sh.ok(t, `CREATE DATABASE IF NOT EXISTS stars; CREATE TABLE stars.planets (name VARCHAR(20), moons INT);
INSERT INTO stars.planets VALUES ('Mars', 2), ('Neptune', 16);
SELECT CONCAT(name, ' has ', moons, ' moons') AS told FROM stars.planets ORDER BY moons`, "submit")
	id := strings.TrimSuffix(printed, "\n")
	if !strings.HasPrefix(id, "sqlflow-") || strings.ContainsAny(id, " \n") {
		t.Fatalf("submit printed %q, want the workflow's id alone", printed)
	}
	watched := sh.ok(t, "", "watch", id)
	for _, want := range []string{"s1-normal", "s4-normal", "Mars has 2 moons", "Neptune has 16 moons", "succeeded"} {
		if !strings.Contains(watched, want) {
			t.Errorf("watch did not tell %q:\n%s", want, watched)
		}
	}
	t.Logf("watch told:\n%s", watched)
	if got := sh.status(t, id); got.State != workflow.Succeeded || len(got.Steps) != 4 || got.Name != id {
		t.Errorf("the status is %+v", got)
	}
	if got := sh.ok(t, "", "logs", id, "s4-normal"); !strings.Contains(got, "Neptune has 16 moons") {
		t.Errorf("the log of the last step is %q", got)
	}
	if got := sh.ok(t, "", "list"); !strings.Contains(got, id) {
		t.Errorf("list does not tell %s:\n%s", id, got)
	}
	sh.ok(t, "", "delete", id)
	eventually(t, "it is gone", patience, func() error {
		if _, _, code := sh.run(t, "", "status", id); code == 0 {
			return errors.New("status still tells it")
		}
		return nil
	})
	sh.fails(t, 1, id, "status", id)
}

// What goes wrong is told in the exit code and on standard error.
func badEnds(t *testing.T, s *scene) {
	sh := s.shell(t, s.data.source)
	sh.fails(t, 1, "s2-normal", "submit", "--watch", "--parallel", "-e", "CREATE TABLE a (n INT); INSERT INTO nowhere VALUES (1); INSERT INTO a VALUES (1);")
	sh.fails(t, 1, "line 1, column 8", "submit", "-e", "SELECT 'no end")

	id := strings.TrimSpace(sh.ok(t, "", "submit", "-e", "SELECT SLEEP(900); CREATE TABLE after_it (n INT);"))
	eventually(t, "the first step runs", runLimit, s.running(t, "SELECT SLEEP(900)", "1"))
	if got := sh.status(t, id); got.State != workflow.Running || got.Step("s1-normal").State != workflow.Running {
		t.Errorf("the status is %+v, want running", got)
	}
	sh.ok(t, "", "stop", id)
	sh.fails(t, 1, id, "watch", id)
	sh.fails(t, 1, "ended", "stop", id)
	if got := s.tables(t); got != "a" {
		t.Errorf("the tables are %q, want a alone", got)
	}
	sh.fails(t, 1, "no-such", "watch", "no-such")
}

// What compile writes can be created by kubectl alone, the Secret first.
func byHand(t *testing.T, s *scene) {
	sh := s.shell(t, s.data.source)
	const sql = "CREATE TABLE by_hand (n INT);"
	s.kubectl(t, sh.ok(t, "", "compile", "--secret", "-e", sql), "create", "--filename=-")
	id := s.kubectl(t, sh.ok(t, "", "compile", "-e", sql), "create", "--filename=-", "--output=jsonpath={.metadata.name}")
	sh.ok(t, "", "watch", id)
	if got := s.tables(t); got != "by_hand" {
		t.Errorf("the tables are %q, want by_hand", got)
	}
}

// A program that is nasty through and through goes by standard input.
func nastyByCommand(t *testing.T, s *scene) {
	sh := s.shell(t, s.data.source)
	const text = "{{x}} {{=1+1}} $(params.x) $(date) $$ 'q' \"d\" `b` 中文 😀\n\\ end"
	printed := sh.ok(t, "SELECT 1;\nCREATE TABLE got AS SELECT "+literal(text)+" AS text; -- {{y}} $(z)\n", "run")
	if !strings.Contains(printed, "s2-normal") {
		t.Errorf("run printed\n%s", printed)
	}
	if got := s.data.one(t, "SELECT text FROM got"); got != text {
		t.Errorf("%q arrived as %q", text, got)
	}
}
