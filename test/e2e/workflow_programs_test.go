package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// The tests below hold for every engine; workflow_argo_test.go and
// workflow_tekton_test.go run them.
func programs() map[string]func(*testing.T, *scene) {
	return map[string]func(*testing.T, *scene){
		"three statements":    threeStatements,
		"parallel":            parallelStatements,
		"failing second step": failingStep,
		"stop in the middle":  stopped,
		"end in the middle":   terminated,
		"delete":              deleted,
		"fetch":               fetched,
		"secret":              secretOfTheCluster,
		"nasty texts":         nastyTexts,
		"nasty environment":   nastyEnvironment,
		"file of steps":       fileOfSteps,
		"retries and exit":    retriesAndExit,
		"broken logs":         brokenLogs,
		"too long":            tooLong,
		"all too long":        allTooLong,
		"largest statements":  largestStatements,
		"own database":        ownDatabase,
		"over HTTP":           overHTTP,
		"bad ends":            badEnds,
		"nasty by command":    nastyByCommand,
		"by hand":             byHand,
	}
}

func threeStatements(t *testing.T, s *scene) {
	r := s.compile(t, `CREATE TABLE planets (name VARCHAR(20), moons INT);
INSERT INTO planets VALUES ('Mars', 2), ('Neptune', 16);
SELECT CONCAT(name, ' has ', moons, ' moons') AS told FROM planets ORDER BY moons;`, s.options())
	r.succeeded(t)
	if got := s.data.one(t, "SELECT GROUP_CONCAT(name ORDER BY moons) FROM planets"); got != "Mars,Neptune" {
		t.Errorf("the table holds %q", got)
	}
	if got := r.log(t, "s3-normal"); !strings.Contains(got, "Mars has 2 moons") || !strings.Contains(got, "Neptune has 16 moons") {
		t.Errorf("the third step said %q", got)
	}
	for _, step := range []string{"s1-normal", "s2-normal", "s3-normal"} {
		if log := r.log(t, step); strings.Contains(log, s.data.password) {
			t.Errorf("the log of %s tells the password: %s", step, log)
		}
	}
}

// Both inserts read a table that the test holds locked until both wait for it.
func parallelStatements(t *testing.T, s *scene) {
	gate, err := s.data.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	if _, err := gate.ExecContext(t.Context(), "CREATE TABLE gate AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	if _, err := gate.ExecContext(t.Context(), "LOCK TABLES gate WRITE"); err != nil {
		t.Fatal(err)
	}
	options := s.options()
	options.Parallel = true
	r := s.compile(t, `CREATE TABLE a (n INT);
CREATE TABLE b (n INT);
INSERT INTO a SELECT n FROM gate;
INSERT INTO b SELECT n FROM gate;
CREATE TABLE c AS SELECT a.n + b.n AS sum FROM a, b;`, options)
	eventually(t, "both inserts run", runLimit, s.running(t, "INSERT INTO _ SELECT n FROM gate", "2"))
	if n := r.pods(t); n != 4 {
		t.Errorf("%d steps were started, want all but the last", n)
	}
	if _, err := gate.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	r.succeeded(t)
	if got := s.data.one(t, "SELECT sum FROM c"); got != "14" {
		t.Errorf("the last step found %s, want 14", got)
	}
}

// running checks how many statements like a pattern run in the database.
func (s *scene) running(t *testing.T, pattern, want string) func() error {
	return func() error {
		if got := s.data.one(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE ?", pattern+"%"); got != want {
			return fmt.Errorf("%s of %s run", got, want)
		}
		return nil
	}
}

func failingStep(t *testing.T, s *scene) {
	r := s.compile(t, `CREATE TABLE before_it (n INT);
INSERT INTO nowhere VALUES (1);
CREATE TABLE after_it (n INT);`, s.options())
	status := r.end(t)
	if status.State != workflow.Failed {
		t.Errorf("the workflow is %s, want failed", status.State)
	}
	for i, want := range []workflow.State{workflow.Succeeded, workflow.Failed, workflow.Skipped} {
		if got := status.Steps[i]; got.State != want {
			t.Errorf("%s is %s, want %s", got.Name, got.State, want)
		}
	}
	if failed := status.Steps[1]; code(failed) != "1" {
		t.Errorf("the exit code of the failing step is %s, want 1", code(failed))
	}
	if got := s.tables(t); got != "before_it" {
		t.Errorf("the tables are %q: the step after the failing one ran, or the one before did not", got)
	}
	if log := r.log(t, "s2-normal"); !strings.Contains(log, "nowhere") || strings.Contains(log, s.data.password) {
		t.Errorf("the failing step said %q", log)
	}
	if n := r.pods(t); n != 2 {
		t.Errorf("%d steps have pods, want 2", n)
	}
}

func stopped(t *testing.T, s *scene)    { stoppedProgram(t, s, false) }
func terminated(t *testing.T, s *scene) { stoppedProgram(t, s, true) }

func stoppedProgram(t *testing.T, s *scene, now bool) {
	r := s.compile(t, `CREATE TABLE before_it (n INT);
INSERT INTO before_it SELECT SLEEP(900);
CREATE TABLE after_it (n INT);`, s.options())
	const second = "INSERT INTO before_it SELECT SLEEP"
	eventually(t, "the second step runs", runLimit, s.running(t, second, "1"))
	start := time.Now()
	if err := s.workflows.Stop(t.Context(), r.Name, now); err != nil {
		t.Fatal(err)
	}
	status := r.end(t)
	if status.State != workflow.Failed || !status.Stopping {
		t.Errorf("the workflow is %s (asked to stop: %t), want failed", status.State, status.Stopping)
	}
	for i, want := range []workflow.State{workflow.Succeeded, workflow.Failed, workflow.Skipped} {
		if got := status.Steps[i]; got.State != want {
			t.Errorf("%s is %s, want %s", got.Name, got.State, want)
		}
	}
	if err := s.workflows.Stop(t.Context(), r.Name, now); !errors.Is(err, workflow.ErrFinished) {
		t.Errorf("stopping it again: %v, want ErrFinished", err)
	}
	eventually(t, "the statement ends", patience, s.running(t, second, "0"))
	if took := time.Since(start); took > patience {
		t.Errorf("it stopped after %s", took)
	}
	if got := s.tables(t); got != "before_it" {
		t.Errorf("the tables are %q, want before_it alone", got)
	}
	s.noPodRuns(t)
}

func (s *scene) noPodRuns(t *testing.T) {
	t.Helper()
	eventually(t, "no pod runs", patience, func() error {
		if n := s.pods(t, "--field-selector=status.phase!=Succeeded,status.phase!=Failed"); n != 0 {
			return fmt.Errorf("%d pods do", n)
		}
		return nil
	})
}

// A workflow takes its Secret and its pods with it, running or not.
func deleted(t *testing.T, s *scene) {
	r := s.compile(t, "SELECT SLEEP(900);", s.options())
	eventually(t, "the step runs", runLimit, s.running(t, "SELECT SLEEP(900)", "1"))
	if n := s.secrets(t); n != 1 {
		t.Errorf("the workflow has %d secrets, want 1", n)
	}
	if err := s.workflows.Delete(t.Context(), r.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is gone", patience, func() error {
		if _, err := s.workflows.Status(t.Context(), r.Name); !errors.Is(err, workflow.ErrNotFound) {
			return fmt.Errorf("the workflow: %v", err)
		}
		if pods, secrets := s.pods(t), s.secrets(t); pods+secrets > 0 {
			return fmt.Errorf("there are %d pods and %d secrets", pods, secrets)
		}
		return nil
	})
}

func (s *scene) secrets(t *testing.T) int {
	t.Helper()
	return len(strings.Fields(s.kubectl(t, "", "get", "secrets", "--output=name")))
}

// A Secret that the cluster has (SQLFLOW_WORKFLOW_SECRET) becomes variables of
// the steps, and its value is in no YAML.
func secretOfTheCluster(t *testing.T, s *scene) {
	const value = `s3cr3t "$(HOME)" {{x}} 'end`
	s.kubectl(t, "", "create", "secret", "generic", "oss", "--from-literal=oss_sk="+value)
	options := s.options()
	options.SecretName = "oss"
	options.SecretValues = map[string]couler.Credential{"oss_sk": value}
	w, err := couler.Load(strings.NewReader(`
name: secret-
steps:
- name: digest
  python: |
    import hashlib, os
    print(hashlib.sha256(os.environ["oss_sk"].encode()).hexdigest())
    print(hashlib.sha256(os.environ["SQLFLOW_DATASOURCE"].encode()).hexdigest())
`), s.session(), options)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := w.Emit(s.name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(manifest), "s3cr3t") {
		t.Error("the YAML holds the value of the secret")
	}
	r := s.submit(t, w)
	r.succeeded(t)
	if got, want := r.log(t, "digest"), digest(value)+"\n"+digest(s.data.source)+"\n"; got != want {
		t.Errorf("the step saw values of other digests:\n%swant\n%s", got, want)
	}
}

// tables names the tables of the scene's database.
func (s *scene) tables(t *testing.T) string {
	t.Helper()
	return s.data.one(t, "SELECT GROUP_CONCAT(table_name ORDER BY table_name) FROM information_schema.tables WHERE table_schema = DATABASE()")
}
