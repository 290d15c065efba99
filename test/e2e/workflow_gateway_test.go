package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/test/images"
)

// gateways serve a playground whose clients may run programs on the scene's
// engine, in the scene's namespace.
func (s *scene) gateways(t *testing.T) [2]*server {
	t.Helper()
	site := newSite(t)
	// The operator says in the environment which image steps run in.
	wrapper := filepath.Join(t.TempDir(), "sqlflow_playground")
	script := fmt.Sprintf("#!/bin/sh\nexport SQLFLOW_WORKFLOW_STEP_IMAGE=%s\nexec %s \"$@\"\n", images.StepName, site.program)
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	site.program = wrapper
	return site.replicas(t, "--workflow_engines="+string(s.name), "--workflow_namespace="+s.namespace)
}

// as gives a client of the server with the certificate of one of the key store's.
func (s *server) as(t *testing.T, name string) *client.Client {
	t.Helper()
	folder := filepath.Join(s.keys, "clients", name)
	c, err := client.New(client.Options{
		URL: s.url(""), CAFile: filepath.Join(folder, "ca.crt"),
		CertFile: filepath.Join(folder, "client.crt"), KeyFile: filepath.Join(folder, "client.key"),
		MaxWait: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Over HTTP a program runs on the user's own database, which need not be named,
// and nobody else learns of it. What one replica started the other one tells and stops.
func overHTTP(t *testing.T, s *scene) {
	servers := s.gateways(t)
	server := servers[0]
	server.keytool(t, "client", "alice")
	server.keytool(t, "client", "bob")
	alice, bob, elsewhere := server.as(t, "alice"), server.as(t, "bob"), servers[1].as(t, "alice")

	id, err := alice.SubmitWorkflow(t.Context(), client.Program{UserID: "alice", Engine: string(s.name), SQL: `CREATE DATABASE stars;
CREATE TABLE stars.planets AS SELECT 'Mars {{x}} $(y)' AS name;
SELECT name FROM stars.planets;`})
	if err != nil {
		t.Fatal(err)
	}
	var refused *client.Error
	if _, err := bob.Workflow(t.Context(), id, ""); !errors.As(err, &refused) || refused.Status == http.StatusOK {
		t.Errorf("bob asks about alice's workflow: %v", err)
	}
	if err := bob.StopWorkflow(t.Context(), id); err == nil {
		t.Error("bob stopped alice's workflow")
	}
	if _, err := bob.SubmitWorkflow(t.Context(), client.Program{UserID: "alice", SQL: "SELECT 1;"}); err == nil {
		t.Error("bob ran a program as alice")
	}
	if _, err := alice.SubmitWorkflow(t.Context(), client.Program{UserID: "alice", SQL: "SELECT * FROM a TO RUN evil/image CMD \"x\";"}); err == nil || !strings.Contains(err.Error(), "evil/image") {
		t.Errorf("an image that is not allowed: %v", err)
	}

	now, told := follow(t, elsewhere, id)
	if now.State != "succeeded" || now.Error != "" || now.UserID != "alice" || len(now.Steps) != 3 {
		t.Errorf("alice's workflow is %+v", now)
	}
	for _, want := range []string{"SQLFlow Step: [1/3] Execute Code: ", "SQLFlow Step: [3/3] Status: Succeeded"} {
		if !strings.Contains(told, want) {
			t.Errorf("it was not told %q:\n%s", want, told)
		}
	}
	if log, err := alice.WorkflowLog(t.Context(), id, "s3-normal"); err != nil || !strings.Contains(log, "Mars {{x}} $(y)") {
		t.Errorf("the log of the last step is %q (%v)", log, err)
	}

	id, err = alice.SubmitWorkflow(t.Context(), client.Program{UserID: "alice", SQL: "SELECT SLEEP(900); SELECT 1;"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first step runs", runLimit, func() error {
		if now, err := alice.Workflow(t.Context(), id, ""); err != nil || len(now.Steps) == 0 || now.Steps[0].State != "running" {
			return fmt.Errorf("it is %s (%v)", now.State, err)
		}
		return nil
	})
	if err := elsewhere.StopWorkflow(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	// All is told once the stopped step is, a moment before the workflow has ended.
	if now, told := follow(t, alice, id); now.Error == "" || !now.Stopping {
		t.Errorf("of the workflow that was stopped is told no error: %+v\n%s", now, told)
	}
	eventually(t, "it ends", patience, func() error {
		now, err := alice.Workflow(t.Context(), id, "")
		if err != nil || now.State != "failed" {
			return fmt.Errorf("it is %s (%v)", now.State, err)
		}
		return nil
	})
}

// follow asks about a workflow until all is told.
func follow(t *testing.T, as *client.Client, id string) (last client.Workflow, told string) {
	t.Helper()
	var all strings.Builder
	eventually(t, id+" ends", runLimit, func() error {
		var err error
		if last, err = as.Workflow(t.Context(), id, last.Cursor); err != nil {
			return err
		}
		for _, message := range last.Messages {
			all.WriteString(message.Message + "\n")
		}
		if !last.EOF {
			return errors.New("it is " + last.State)
		}
		return nil
	})
	return last, all.String()
}
