// Package couler turns a SQL program into a workflow, and a workflow into what
// an engine runs: Argo YAML, Tekton YAML, a Python program, or (package
// couler/docker) containers on the local Docker.
//
//	workflow, err := couler.Compile("SELECT 1; SELECT 2;", session, options)
//	yaml, err := workflow.Emit(couler.Argo)
//
// Five names are enough to use it:
//
//   - Compile makes a Workflow of a SQL program, Load of a small YAML file of
//     steps (docs/workflow.md); a Go program may also fill in a Workflow.
//   - Session holds who runs the program against which data source, Options
//     how its steps are to run.
//   - Workflow and Step are plain values, the only input of all four engines
//     and of the code that follows a running workflow.
//   - Emit writes a Workflow for an Engine.
//   - Credential is text that is never printed.
//
// Loops and conditions are left out on purpose: what a workflow does is known
// before it starts.
//
// What the engines are given stands in templates (package templates). YAML is read
// back and compared with the workflow before it is given away.
//
// # Text reaches the step as it was written
//
// Argo evaluates {{...}}, Tekton replaces $(...), the kubelet expands $(VAR)
// and shortens $$, in commands and in environment values alike. Text that
// holds any of this, or what JSON cannot carry, is base64 in the command
// (package couler/quote) with a readable comment beside it; in an environment
// variable it travels in the workflow's Secret, whose values nobody rewrites.
// So an image of a SQL step needs bash and, for such text, base64.
//
// There is one thing this package cannot keep from happening: SQLFlow's step
// program itself replaces the two characters \n, \t and \r in the SQL it is
// given by a line feed, a tab and a carriage return (SQLFlow, go/step/step.go).
//
// # Credentials
//
// The data source, the token and the HDFS password are Credentials. They never
// stand in a YAML unless it is asked for by an empty Workflow.Secret: the YAML
// names a Secret, and SecretManifest makes it.
package couler
