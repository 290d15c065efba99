package couler_test

import (
	"fmt"
	"strings"

	"sqlflow.org/sqlflow_playground/couler"
)

func ExampleCompile() {
	const program = `
SELECT * FROM iris.train TO TRAIN registry.example.com/models/DNNClassifier LABEL class INTO db.model;
SELECT * FROM iris.test TO PREDICT iris.result.class USING db.model;`
	workflow, err := couler.Compile(program, couler.Session{UserID: "alice"}, couler.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range workflow.Steps {
		fmt.Println(step.Name, "in", step.Image, "after", step.After)
	}
	// Output:
	// s1-train in registry.example.com/models after []
	// s2-predict in registry.example.com/models after [s1-train]
}

func ExampleWorkflow_Emit() {
	session := couler.Session{DataSource: "mysql://root:root@tcp(10.0.0.9:3306)/", UserID: "alice"}
	workflow, err := couler.Compile("SELECT '{{a}}';", session, couler.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	yaml, err := workflow.Emit(couler.Argo)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(yaml))
	// Output:
	// apiVersion: argoproj.io/v1alpha1
	// kind: Workflow
	// metadata:
	//   generateName: sqlflow-
	//   labels:
	//     app.kubernetes.io/managed-by: sqlflow_playground
	// spec:
	//   entrypoint: workflow
	//   templates:
	//   - name: workflow
	//     steps:
	//     - - name: s1-normal
	//         template: s1-normal
	//   - name: s1-normal
	//     container:
	//       image: sqlflow/sqlflow
	//       command:
	//       - bash
	//       - "-c"
	//       # SELECT '{{a}}';
	//       - "sql=`printf %s U0VMRUNUICd7e2F9fSc7 | base64 -d && echo .` && step -e \"${sql%.}\""
	//       env:
	//       - name: SQLFLOW_DATASOURCE
	//         valueFrom:
	//           secretKeyRef:
	//             name: sqlflow-session
	//             key: SQLFLOW_DATASOURCE
	//       - name: SQLFLOW_USER_ID
	//         value: alice
}

// A workflow may also be written in Go. What is wrong with it is told when it
// is emitted.
func ExampleWorkflow() {
	workflow := &couler.Workflow{
		Name: "nightly-",
		Steps: []couler.Step{
			{Name: "load", Image: "sqlflow/sqlflow", SQL: "INSERT INTO iris.train SELECT * FROM iris.raw;"},
			{Name: "check", Image: "python:3.12", Python: "print('rows are there')", After: []string{"loud"}},
		},
	}
	_, err := workflow.Emit(couler.Tekton)
	fmt.Println(err)
	// Output:
	// step check: it waits for the step "loud", which is not there
}

func ExampleLoad() {
	const file = `
image: sqlflow/sqlflow
steps:
- name: load
  sql: INSERT INTO iris.train SELECT * FROM iris.raw;
- name: check
  python: |
    import os
    print("for", os.environ["SQLFLOW_USER_ID"])
`
	workflow, err := couler.Load(strings.NewReader(file), couler.Session{UserID: "alice"}, couler.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(workflow.Steps[1].Name, workflow.Steps[1].After)
	// Output:
	// check [load]
}

func ExampleSessionFromEnv() {
	session := couler.SessionFromEnv([]string{"SQLFLOW_USER_ID=alice", "SQLFLOW_WF_NAMESPACE=ml", "SQLFLOW_DATASOURCE=mysql://root:root@tcp(10.0.0.9:3306)/"})
	workflow, err := couler.Compile("SHOW TRAIN db.model;", session, couler.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("in", workflow.Namespace)
	for _, variable := range workflow.Steps[0].Env {
		fmt.Println(variable.Name, variable.Value, variable.Hidden)
	}
	// Output:
	// in ml
	// SQLFLOW_DATASOURCE  [redacted]
	// SQLFLOW_USER_ID alice
}

func ExampleOptionsFromEnv() {
	options, err := couler.OptionsFromEnv([]string{"SQLFLOW_WORKFLOW_TTL=3600", "SQLFLOW_WORKFLOW_STEP_IMAGE=sqlflow/sqlflow:step"})
	fmt.Println(options.TTL, options.Image, err)
	_, err = couler.OptionsFromEnv([]string{"SQLFLOW_WORKFLOW_TTL=an hour"})
	fmt.Println(err)
	// Output:
	// 1h0m0s sqlflow/sqlflow:step <nil>
	// SQLFLOW_WORKFLOW_TTL: "an hour" should be a whole number of seconds
}

func ExampleCredential() {
	session := couler.Session{DataSource: "mysql://root:root@tcp(10.0.0.9:3306)/", UserID: "alice"}
	fmt.Println("for", session.UserID, "on", session.DataSource)
	// Output:
	// for alice on [redacted]
}

func ExampleWorkflow_SecretManifest() {
	session := couler.Session{DataSource: "mysql://root:root@tcp(10.0.0.9:3306)/"}
	workflow, err := couler.Compile("SELECT 1;", session, couler.Options{Credentials: "alice-4711"})
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, err := workflow.SecretManifest()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(secret))
	// Output:
	// apiVersion: v1
	// kind: Secret
	// metadata:
	//   name: alice-4711
	//   labels:
	//     app.kubernetes.io/managed-by: sqlflow_playground
	// type: Opaque
	// stringData:
	//   SQLFLOW_DATASOURCE: "mysql://root:root@tcp(10.0.0.9:3306)/"
}
