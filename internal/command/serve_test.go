package command

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/tlsserver"
)

func TestReadyzTellsOfCertificates(t *testing.T) {
	t.Parallel()
	expired, unusable := errors.New("the server certificate expired: renew it"), errors.New("server.crt is cut off")
	for _, test := range []struct {
		name   string
		status tlsserver.Status
		code   int
		want   string
	}{
		{"all is well", tlsserver.Status{}, http.StatusOK, `"ok": true`},
		{"files that are not usable", tlsserver.Status{Problem: unusable}, http.StatusOK, `"warning": "server.crt is cut off"`},
		{"an end that is near, and an old list", tlsserver.Status{Warnings: []string{"it expires", "it is overdue"}}, http.StatusOK, `"warning": "it expires; it is overdue"`},
		{"expired", tlsserver.Status{Expired: expired}, http.StatusServiceUnavailable, `"error": "the server certificate expired: renew it"`},
		{"expired, and what should replace it is not usable", tlsserver.Status{Expired: expired, Problem: unusable, Warnings: []string{"it is overdue"}},
			http.StatusServiceUnavailable, `"error": "the server certificate expired: renew it; server.crt is cut off; it is overdue"`},
	} {
		admin := handlers.Admin(handlers.AdminOptions{Checks: map[string]func() error{
			"certificates": func() error { return certificates(test.status) },
		}})
		answer := httptest.NewRecorder()
		admin.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		if body := answer.Body.String(); answer.Code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %d with %s", test.name, answer.Code, body, test.code, test.want)
		}
	}
}
