package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// fetched follows a program as SQLFlow's own clients do: it asks, a second or
// so apart, with what the answer before said, until the end of the file.
func fetched(t *testing.T, s *scene) {
	r := s.compile(t, "CREATE TABLE planets (name VARCHAR(20));\nSELECT 'Mars' AS name;", s.options())
	messages, err := s.fetch(t, r)
	if err != nil {
		t.Fatal(err)
	}
	for i, sql := range []string{"CREATE TABLE planets (name VARCHAR(20));", "SELECT 'Mars' AS name;"} {
		prefix := fmt.Sprintf("SQLFlow Step: [%d/2] ", i+1)
		of := slices.DeleteFunc(slices.Clone(messages), func(m string) bool { return !strings.HasPrefix(m, prefix) })
		if len(of) < 3 || !strings.HasPrefix(of[0], prefix+"Execute Code: ") || !strings.Contains(of[0], sql) ||
			!strings.HasPrefix(of[1], prefix+"Log: ") || of[len(of)-1] != prefix+"Status: Succeeded" {
			t.Errorf("of step %d was told:\n%s", i+1, strings.Join(of, "\n"))
		}
	}

	failing := s.compile(t, "SELECT 1;\nSELECT * FROM nowhere;\nSELECT 2;", s.options())
	messages, err = s.fetch(t, failing)
	if err == nil || !strings.HasPrefix(err.Error(), "SQLFlow Step: [2/3] Failed, Log: ") {
		t.Errorf("the failing program ended with %v, after\n%s", err, strings.Join(messages, "\n"))
	}
}

func (s *scene) fetch(t *testing.T, r run) (messages []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	request := workflow.FetchRequest{Job: workflow.Job{ID: r.Name, Namespace: s.namespace}}
	for {
		answer, err := s.workflows.Fetch(ctx, request)
		for _, response := range answer.Responses {
			if response.Message != "" {
				messages = append(messages, response.Message)
			}
		}
		if err != nil || answer.EOF {
			return messages, err
		}
		request = answer.UpdatedFetchSince
		select {
		case <-ctx.Done():
			t.Fatalf("no end after %s:\n%s", runLimit, strings.Join(messages, "\n"))
		case <-ticker.C:
		}
	}
}
