package handlers_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"sqlflow.org/sqlflow_playground/handlers"
)

func TestReadinessNamesEachDependency(t *testing.T) {
	t.Parallel()
	stale := errors.New("no word from the cluster for 2m0s")
	blind := errors.New("databases cannot be reached from here")
	for _, test := range []struct {
		name   string
		checks map[string]func() error
		status int
		body   string
	}{
		{"nothing to check", nil, 200, `{
  "ready": true,
  "checks": {}
}
`},
		{"all well", map[string]func() error{"cluster": func() error { return nil }}, 200, `{
  "ready": true,
  "checks": {
    "cluster": {
      "ok": true
    }
  }
}
`},
		{"a warning", map[string]func() error{"databases": func() error { return handlers.Warning(blind) }}, 200, `{
  "ready": true,
  "checks": {
    "databases": {
      "ok": true,
      "warning": "databases cannot be reached from here"
    }
  }
}
`},
		{"one fails", map[string]func() error{
			"certificates": func() error { return handlers.Warning(nil) },
			"cluster":      func() error { return stale },
			"databases":    func() error { return handlers.Warning(blind) },
		}, 503, `{
  "ready": false,
  "checks": {
    "certificates": {
      "ok": true
    },
    "cluster": {
      "ok": false,
      "error": "no word from the cluster for 2m0s"
    },
    "databases": {
      "ok": true,
      "warning": "databases cannot be reached from here"
    }
  }
}
`},
	} {
		w := httptest.NewRecorder()
		handlers.Admin(handlers.AdminOptions{Checks: test.checks}).ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s: %d\n%s\nwant %d\n%s", test.name, w.Code, w.Body, test.status, test.body)
		}
	}
}

func TestAdminRoutes(t *testing.T) {
	t.Parallel()
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") })
	admin := handlers.Admin(handlers.AdminOptions{Metrics: metrics})
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, "ok\n"}, // net/http drops the body
		{"GET", "/metrics", 200, "metrics"},
		{"POST", "/readyz", 405, ""},
		{"GET", "/api/list_db", 404, "404 page not found\n"},
	} {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.status || w.Body.String() != test.body {
			t.Errorf("%s %s: %d %q", test.method, test.path, w.Code, w.Body)
		}
	}
}
