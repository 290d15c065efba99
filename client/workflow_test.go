package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"sqlflow.org/sqlflow_playground/client"
)

// A program is submitted again only after refusals that come before anything has begun.
func TestAProgramIsNotRunTwice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer string // with 503 and a Retry-After
		again  bool
	}{
		{`{"error":{"code":"still_creating"}}`, true},
		{`{"error":{"code":"too_many_databases"}}`, true},
		{`{"error":{"code":"cluster_unavailable"}}`, false},
		{`no server of ours`, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			came := 0
			s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				if came++; came > 1 {
					_, _ = io.WriteString(w, `{"workflow_id":"argo/it"}`)
					return
				}
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprint(w, test.answer)
			})
			id, err := newClient(t, s.options(t)).SubmitWorkflow(t.Context(), client.Program{UserID: "ann", SQL: "INSERT INTO t VALUES (1);"})
			_, refused := errors.AsType[*client.Error](err)
			if again := came == 2; again != test.again || again != (id == "argo/it") || again == refused {
				t.Errorf("%s: submitted %d times, got %q, %v", test.answer, came, id, err)
			}
		})
	}
}
