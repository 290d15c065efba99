package e2e_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
)

// The tests below hold for every engine; workflow_argo_test.go and
// workflow_tekton_test.go run them.
func programs() map[string]func(*testing.T, *scene) {
	return map[string]func(*testing.T, *scene){
		"three statements":    threeStatements,
		"parallel":            parallelStatements,
		"failing second step": failingStep,
		"stop in the middle":  stoppedProgram,
		"secret":              secretOfTheCluster,
		"nasty texts":         nastyTexts,
		"nasty environment":   nastyEnvironment,
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
	for _, step := range steps(3) {
		if log := r.log(t, step); strings.Contains(log, s.data.password) {
			t.Errorf("the log of %s tells the password: %s", step, log)
		}
	}
}

// Each of the two inserts takes ten seconds, and remembers when it ran.
func parallelStatements(t *testing.T, s *scene) {
	options := s.options()
	options.Parallel = true
	r := s.compile(t, `CREATE TABLE a (begun DATETIME(6), slept INT, ended DATETIME(6));
CREATE TABLE b (begun DATETIME(6), slept INT, ended DATETIME(6));
INSERT INTO a SELECT NOW(6), SLEEP(10), SYSDATE(6);
INSERT INTO b SELECT NOW(6), SLEEP(10), SYSDATE(6);
CREATE TABLE c AS SELECT a.begun < b.ended AND b.begun < a.ended AS overlapped FROM a, b;`, options)
	r.succeeded(t)
	if got := s.data.one(t, "SELECT overlapped FROM c"); got != "1" {
		t.Errorf("the two inserts ran one after the other")
	}
	if got := len(r.pods(t)); got != 5 {
		t.Errorf("%d steps ran, want 5", got)
	}
}

func failingStep(t *testing.T, s *scene) {
	r := s.compile(t, `CREATE TABLE before_it (n INT);
INSERT INTO nowhere VALUES (1);
CREATE TABLE after_it (n INT);`, s.options())
	if got := r.end(t); got != "Failed" {
		t.Errorf("the workflow ended %s, want Failed", got)
	}
	if got := s.tables(t); got != "before_it" {
		t.Errorf("the tables are %q: the step after the failing one ran, or the one before did not", got)
	}
	if log := r.log(t, "s2-normal"); !strings.Contains(log, "nowhere") || strings.Contains(log, s.data.password) {
		t.Errorf("the failing step said %q", log)
	}
	pods := r.pods(t)
	if _, ran := pods["s3-normal"]; ran {
		t.Error("the third step has a pod")
	}
	for _, c := range pods["s2-normal"].Status.ContainerStatuses {
		if c.Name == r.container && (c.State.Terminated == nil || c.State.Terminated.ExitCode != 1) {
			t.Errorf("the failing step's container ended %+v, want exit code 1", c.State.Terminated)
		}
	}
}

func stoppedProgram(t *testing.T, s *scene) {
	r := s.compile(t, `CREATE TABLE before_it (n INT);
INSERT INTO before_it SELECT SLEEP(900);
CREATE TABLE after_it (n INT);`, s.options())
	const asleep = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO before_it SELECT SLEEP%'"
	sleeping := func(want string) func() error {
		return func() error {
			if got := s.data.one(t, asleep); got != want {
				return fmt.Errorf("%s statements sleep", got)
			}
			return nil
		}
	}
	eventually(t, "the second step runs", runLimit, sleeping("1"))
	start := time.Now()
	r.kubectl(t, "", "patch", r.resource, r.name, "--type=merge", "--patch="+r.stop)
	if got := r.end(t); got != "Failed" && got != "Cancelled" {
		t.Errorf("the workflow ended %s, want Failed or Cancelled", got)
	}
	eventually(t, "the statement ends", time.Minute, sleeping("0"))
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it stopped after %s", took)
	}
	if got := s.tables(t); got != "before_it" {
		t.Errorf("the tables are %q, want before_it alone", got)
	}
	if got := s.data.one(t, "SELECT COUNT(*) FROM before_it"); got != "0" {
		t.Error("the second step came to its end")
	}
	eventually(t, "no pod runs", time.Minute, func() error {
		for step, p := range r.pods(t) {
			if p.Status.Phase == "Running" || p.Status.Phase == "Pending" {
				return errors.New(step + " is " + p.Status.Phase)
			}
		}
		return nil
	})
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
	manifest, err := w.Emit(s.emits)
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
