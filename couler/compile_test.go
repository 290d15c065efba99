package couler_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/couler/program"
)

func compile(t testing.TB, sql string, options couler.Options) *couler.Workflow {
	t.Helper()
	w, err := couler.Compile(sql, couler.Session{}, options)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAStepsImageIsTheOneThatMadeItsModel(t *testing.T) {
	t.Parallel()
	w := compile(t, `SELECT * FROM t TO PREDICT a.b.c USING m;
SELECT * FROM t TO TRAIN registry:5000/first/DNNClassifier LABEL c INTO m;
SELECT * FROM t TO PREDICT a.b.c USING m;
SELECT * FROM t TO TRAIN second:v2/DNNClassifier LABEL c INTO m;
SELECT * FROM t TO EXPLAIN m INTO a.e;
SELECT * FROM t TO EVALUATE m LABEL c INTO a.e;
SELECT * FROM t TO TRAIN DNNClassifier LABEL c INTO m;
SELECT * FROM t TO PREDICT a.b.c USING m;
SHOW TRAIN m;
SELECT * FROM t TO RUN a/b:c CMD "c" INTO x;
SELECT 1;`, couler.Options{Image: "default"})
	want := "default registry:5000/first registry:5000/first second:v2 second:v2 second:v2 default default default a/b:c default"
	var got []string
	for _, s := range w.Steps {
		got = append(got, s.Image)
	}
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestStepsAreNamedByTheirNumberAndKind(t *testing.T) {
	t.Parallel()
	w := compile(t, "SELECT 1;\n\nSHOW TRAIN m;\nSELECT * FROM t TO TRAIN DNNClassifier LABEL c INTO m;", couler.Options{})
	for i, want := range []couler.Step{
		{Name: "s1-normal", Kind: program.Normal, Statement: 1, Line: 1},
		{Name: "s2-show-train", Kind: program.ShowTrain, Statement: 2, Line: 3},
		{Name: "s3-train", Kind: program.Train, Statement: 3, Line: 4},
	} {
		got := w.Steps[i]
		if got.Name != want.Name || got.Kind != want.Kind || got.Statement != want.Statement || got.Line != want.Line {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestStepsRunInSequenceUnlessTheyMayRunAtOnce(t *testing.T) {
	t.Parallel()
	const sql = "CREATE TABLE a (x INT); CREATE TABLE b (x INT); INSERT INTO a SELECT * FROM b; SELECT 1;"
	for parallel, want := range map[bool]string{false: "[] [s1-normal] [s2-normal] [s3-normal]", true: "[] [] [s1-normal s2-normal] []"} {
		var got []string
		for _, s := range compile(t, sql, couler.Options{Parallel: parallel}).Steps {
			got = append(got, fmt.Sprint(s.After))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("parallel %v: got %v, want %s", parallel, got, want)
		}
	}
}

func TestAProgramThatIsWrongIsRefusedWithItsPlace(t *testing.T) {
	t.Parallel()
	for sql, line := range map[string]int{"": 1, "-- nothing\n;": 1, "SELECT 1;\nSELECT 'x": 2, "SELECT 1;\n\nTO TRAIN x LABEL c INTO m;": 3} {
		_, err := couler.Compile(sql, couler.Session{}, couler.Options{})
		if e, ok := errors.AsType[*program.Error](err); !ok || e.Line != line {
			t.Errorf("%q: got %v, want an error at line %d", sql, err, line)
		}
	}
}

func TestAStatementIsAsLargeAsTheKernelTakes(t *testing.T) {
	t.Parallel()
	// What is around the text is: step -e "SELECT '...'";
	for _, c := range []struct {
		fill string
		n    int
		ok   bool
	}{
		{"x", couler.MaxArgument - len(`step -e "SELECT ''"`), true},
		{"x", couler.MaxArgument - len(`step -e "SELECT ''"`) + 1, false},
		{"`", 70_000, false}, // twice as long for bash
		{"$", 90_000, true},  // four thirds in base64
		{"$", 99_000, false},
	} {
		_, err := couler.Compile("SELECT 1;\nSELECT '"+strings.Repeat(c.fill, c.n)+"'", couler.Session{}, couler.Options{})
		if p, isProblem := errors.AsType[*couler.Problem](err); c.ok != (err == nil) || err != nil && (!isProblem || p.Line != 2 || p.Step != "s2-normal" || !strings.Contains(p.Text, "131071")) {
			t.Errorf("%d times %s: got %v", c.n, c.fill, err)
		}
	}
}

func TestTheLargestCommandIsOneThatLinuxStarts(t *testing.T) {
	t.Parallel()
	folder := stepFolder(t)
	text := strings.Repeat("x", couler.MaxArgument-len(`step -e ""`))
	file := t.TempDir() + "/sql"
	w := &couler.Workflow{}
	if got := execute(t, folder, w.Argv(&couler.Step{SQL: text}), "SQL_FILE="+file); got.code != 0 || readFile(t, file) != text {
		t.Errorf("got %d", got.code)
	}
}

// What is smaller than the limit is in TestCommentsAreNotSentAndSoNotCounted.
func TestAWorkflowTooLargeForTheAPIServerIsRefusedAtItsLine(t *testing.T) {
	t.Parallel()
	large := compile(t, strings.Repeat("SELECT '"+strings.Repeat("x", 100_000)+"';\n", 20), couler.Options{})
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		_, err := large.Emit(engine)
		if p, ok := errors.AsType[*couler.Problem](err); !ok || p.Line != 16 || !strings.Contains(err.Error(), "line 16: step s16-normal: with this step the workflow is too large") {
			t.Errorf("%s: got %v", engine, err)
		}
	}
	if _, err := large.Emit(couler.Python); err != nil {
		t.Errorf("a Python program has no such limit: %v", err)
	}
}

func TestCredentialsAreInTheSecretAlone(t *testing.T) {
	t.Parallel()
	session := couler.Session{DataSource: "mysql://root:hunter2@tcp(h)/", Token: "hunter3", HDFSPass: "hunter4", HDFSUser: "hdfs"}
	w, err := couler.Compile("SELECT 1", session, couler.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := w.SecretManifest()
	if err != nil || strings.Count(string(secret), "hunter") != 3 {
		t.Errorf("the secret is\n%s\n%v", secret, err)
	}
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton, couler.Python} {
		text, err := w.Emit(engine)
		if err != nil || strings.Contains(string(text), "hunter") {
			t.Errorf("%s: %v\n%s", engine, err, text)
		}
	}
	js, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	ym, err := yaml.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(w), fmt.Sprintf("%v %+v %#v %q", session, session, session, session), fmt.Sprintf("%x %X %s %d", session.Token, session.Token, session.Token, session.Token),
		fmt.Sprintf("%v %#v %+v", w.Steps, w.Steps, w.Steps), string(js), string(ym),
	} {
		if strings.Contains(text, "hunter") || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", "hunter")) {
			t.Errorf("a credential is printed: %s", text)
		}
	}
	if session.Token.Reveal() != "hunter3" {
		t.Error("Reveal gives another text")
	}

	inline, err := couler.Compile("SELECT 1", session, couler.Options{InlineCredentials: true})
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := inline.SecretManifest(); err != nil || secret != nil {
		t.Errorf("inline: the secret is %s, %v", secret, err)
	}
	if text, err := inline.Emit(couler.Argo); err != nil || strings.Count(string(text), "hunter") != 3 {
		t.Errorf("inline: %v\n%s", err, text)
	}
}

func TestAValueThatEnginesRewriteNeedsASecret(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"$(HOSTNAME)", "$$", "a{{b", "}}", "\x1b", "\u2028"} {
		session := couler.Session{UserID: value}
		w, err := couler.Compile("SELECT 1", session, couler.Options{InlineCredentials: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
			if _, err := w.Emit(engine); err == nil || !strings.HasPrefix(err.Error(), "line 1: step s1-normal: environment variable SQLFLOW_USER_ID cannot stand in the YAML: ") {
				t.Errorf("%s, inline %q: got %v", engine, value, err)
			}
		}
		w.Secret = "s"
		text, err := w.Emit(couler.Argo)
		if err != nil || !strings.Contains(string(text), "secretKeyRef") {
			t.Errorf("%q: %v\n%s", value, err, text)
		}
	}
}

func TestStepsThatDisagreeHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := steps(couler.Step{SQL: "a", Env: []couler.EnvVar{{Name: "A", Hidden: "1"}}}, couler.Step{SQL: "b", Env: []couler.EnvVar{{Name: "A", Hidden: "2"}}}, couler.Step{SQL: "c", Env: []couler.EnvVar{{Name: "A", Hidden: "1"}}})
	secret, err := w.SecretManifest()
	if want := "stringData:\n  A: \"1\"\n  s2.A: \"2\"\n"; err != nil || !strings.HasSuffix(string(secret), want) {
		t.Errorf("got %s, %v; want %s", secret, err, want)
	}
	text, err := w.Emit(couler.Tekton)
	if err != nil || strings.Count(string(text), "key: A\n") != 2 || strings.Count(string(text), "key: s2.A\n") != 1 {
		t.Errorf("got %s, %v", text, err)
	}
}

// A database without a password is one whose password is known.
func TestAnEmptyValueOfASecretIsAValue(t *testing.T) {
	t.Parallel()
	options, err := couler.OptionsFromEnv([]string{`SQLFLOW_WORKFLOW_SECRET={"db":{"user":"root","password":""}}`})
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := couler.Compile("SELECT 1;", couler.Session{}, options)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := couler.Load(strings.NewReader("steps:\n- sql: SELECT 1;\n  env: {password: {secret: db}}\n"), couler.Session{}, options)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*couler.Workflow{compiled, loaded} {
		environ, err := w.Steps[0].Environ()
		if want := []string{"password=", "user=root"}; err != nil || !slices.Equal(environ, want) {
			t.Errorf("got %q, %v, want %q", environ, err, want)
		}
		for engine, want := range map[couler.Engine]string{couler.Argo: "name: password\n        valueFrom:\n          secretKeyRef:\n            name: db\n            key: password\n", couler.Python: "    \"password\": None,\n"} {
			if text, err := w.Emit(engine); err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%s: %v\n%s", engine, err, text)
			}
		}
		w.Secret = ""
		if text, err := w.Emit(couler.Python); err != nil || !strings.Contains(string(text), "    \"password\": \"\",\n") {
			t.Errorf("inline: %v\n%s", err, text)
		}
	}
}

func TestTheVariablesOfAStep(t *testing.T) {
	t.Parallel()
	environ := []string{"SQLFLOW_PARSER_SERVER_PORT=12300", "SQLFLOW_OSS_AK=ak", "SQLFLOW_log_level=info", "SQLFLOW_DATASOURCE=the server's", "SQLFLOW_WORKFLOW_TTL=60", "PATH=/bin",
		"SQLFLOW_X_PASSWORD=p", `SQLFLOW_WORKFLOW_SECRET={"s":{"oss_sk":"sk"}}`}
	options, err := couler.OptionsFromEnv(environ)
	if err != nil {
		t.Fatal(err)
	}
	session := couler.Session{Token: "t", DataSource: "d", UserID: "u", HDFSUser: "hu", HDFSPass: "hp", HiveLocation: "hl", HDFSNamenodeAddr: "hn", Submitter: "local"}
	for pass, want := range map[bool]string{
		false: "SQLFLOW_DATASOURCE!d SQLFLOW_HADOOP_PASS!hp SQLFLOW_HADOOP_USER=hu SQLFLOW_HDFS_NAMENODE_ADDR=hn SQLFLOW_HIVE_LOCATION=hl SQLFLOW_OSS_AK!ak SQLFLOW_USER_ID=u SQLFLOW_USER_TOKEN!t SQLFLOW_log_level=info SQLFLOW_submitter=local oss_sk!sk@s",
		true:  "SQLFLOW_DATASOURCE!d SQLFLOW_HADOOP_PASS!hp SQLFLOW_HADOOP_USER=hu SQLFLOW_HDFS_NAMENODE_ADDR=hn SQLFLOW_HIVE_LOCATION=hl SQLFLOW_OSS_AK!ak SQLFLOW_PARSER_SERVER_PORT=12300 SQLFLOW_USER_ID=u SQLFLOW_USER_TOKEN!t SQLFLOW_X_PASSWORD!p SQLFLOW_log_level=info SQLFLOW_submitter=local oss_sk!sk@s",
	} {
		options.PassEnv = pass
		w, err := couler.Compile("SELECT 1", session, options)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range w.Steps[0].Env {
			text := e.Name + "=" + e.Value
			if e.Hidden != "" {
				text = e.Name + "!" + e.Hidden.Reveal()
			}
			if e.From.Name != "" {
				text += "@" + e.From.Name
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("pass %v: got\n%s, want\n%s", pass, strings.Join(got, " "), want)
		}
	}
	if options.TTL != time.Minute {
		t.Errorf("the TTL is %v", options.TTL)
	}
}
