package couler_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
)

func TestOptionsHaveSQLFlowsDefaults(t *testing.T) {
	t.Parallel()
	o, err := couler.OptionsFromEnv(nil)
	if err != nil || o.TTL != 24*time.Hour || o.ExitWait != 0 || o.LogFile != "" {
		t.Errorf("got %+v, %v", o, err)
	}
	if image := compile(t, "SELECT 1", o).Steps[0].Image; image != "sqlflow/sqlflow" {
		t.Errorf("the image is %s", image)
	}
}

func TestOptionsAreReadFromSQLFlowsVariables(t *testing.T) {
	t.Parallel()
	o, err := couler.OptionsFromEnv([]string{"SQLFLOW_WORKFLOW_TTL=600", "SQLFLOW_WORKFLOW_STEP_IMAGE=a/b:c", `SQLFLOW_WORKFLOW_SECRET={"name": {"key": "value", "n": 1}}`,
		`SQLFLOW_WORKFLOW_RESOURCES={"memory": "32Mi", "cpu": 0.5}`, "SQLFLOW_WORKFLOW_STEP_LOG_FILE=/d/f.log", "SQLFLOW_WORKFLOW_EXIT_TIME_WAIT=3", "SQLFLOW_USER_ID=alice", "HOME=/root"})
	want := couler.Options{Image: "a/b:c", TTL: 10 * time.Minute, Resources: map[string]string{"memory": "32Mi", "cpu": "0.5"}, SecretName: "name",
		SecretValues: map[string]couler.Credential{"key": "value", "n": "1"}, LogFile: "/d/f.log", ExitWait: 3 * time.Second, Environ: map[string]couler.Credential{"SQLFLOW_USER_ID": "alice"}}
	if err != nil || !reflect.DeepEqual(o, want) {
		t.Errorf("got %+v, %v, want %+v", o, err, want)
	}
}

func TestABadVariableIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	for variable, values := range map[string][]string{
		"SQLFLOW_WORKFLOW_TTL":            {"x", "1.5", "-1", "99999999999999999999", "1h"},
		"SQLFLOW_WORKFLOW_EXIT_TIME_WAIT": {"x", "-1", "$(reboot)"},
		"SQLFLOW_WORKFLOW_RESOURCES":      {"x", "[]", `{"cpu": {}}`, `{"cpu": "many"}`, `{"cpu": true}`, `{"cpu": "1"} x`, `{"{{": "1"}`},
		"SQLFLOW_WORKFLOW_SECRET":         {"hunter2", `{}`, `{"a": {}, "b": {}}`, `{"a": "hunter2"}`, `{"A_": {"k": "hunter2"}}`, `{"a": {"k-": "hunter2"}}`, `{"a": {"k": ["hunter2"]}}`},
		"SQLFLOW_WORKFLOW_STEP_LOG_FILE":  {"relative", "/folder/", "/a$b", "/a\nb"},
		"SQLFLOW_WORKFLOW_CLUSTER_CONFIG": {"/etc/config.py"},
	} {
		for _, value := range values {
			_, err := couler.OptionsFromEnv([]string{variable + "=" + value})
			if err == nil || !strings.HasPrefix(err.Error(), variable+": ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s=%s: got %v", variable, value, err)
			}
		}
	}
	_, err := couler.OptionsFromEnv([]string{"SQLFLOW_WORKFLOW_TTL=x", "SQLFLOW_WORKFLOW_EXIT_TIME_WAIT=y"})
	if err == nil || !strings.Contains(err.Error(), "TTL") || !strings.Contains(err.Error(), "EXIT_TIME_WAIT") {
		t.Errorf("not every problem is told: %v", err)
	}
}

func TestASessionIsReadFromTheEnvironment(t *testing.T) {
	t.Parallel()
	got := couler.SessionFromEnv([]string{"SQLFLOW_USER_TOKEN=t", "SQLFLOW_DATASOURCE=a=b", "SQLFLOW_USER_ID=u", "SQLFLOW_HIVE_LOCATION=hl", "SQLFLOW_HDFS_NAMENODE_ADDR=hn",
		"JUPYTER_HADOOP_USER=hu", "JUPYTER_HADOOP_PASS=hp", "SQLFLOW_SUBMITTER=s", "SQLFLOW_SERVICE_ACCOUNT=sa", "SQLFLOW_WF_NAMESPACE=ns"})
	want := couler.Session{Token: "t", DataSource: "a=b", UserID: "u", HiveLocation: "hl", HDFSNamenodeAddr: "hn", HDFSUser: "hu", HDFSPass: "hp", Submitter: "s", ServiceAccount: "sa", Namespace: "ns"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEnginesAreNamed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"argo", "tekton", "python", "docker"} {
		if e, err := couler.ParseEngine(name); err != nil || string(e) != name {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
	if _, err := couler.ParseEngine("Argo"); err == nil || err.Error() != `no engine "Argo": it is one of argo, tekton, python, docker` {
		t.Errorf("got %v", err)
	}
	if _, err := compile(t, "SELECT 1", couler.Options{}).Emit(couler.Docker); err == nil {
		t.Error("something is written for Docker")
	}
}
