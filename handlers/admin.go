package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gorilla/mux"
)

// AdminOptions are what [Admin] shows.
type AdminOptions struct {
	// Checks are the server's dependencies by name. Each answers from memory: nil
	// when all is well, an error that says why not, or a [Warning].
	Checks map[string]func() error
	// Metrics serves /metrics.
	Metrics http.Handler
}

// Warning marks an error as one that an operator should see although the server
// can do its work. Warning(nil) is nil.
func Warning(err error) error {
	if err == nil {
		return nil
	}
	return &warning{err}
}

type warning struct{ error }

func (w *warning) Unwrap() error { return w.error }

// dependency is one entry of /readyz.
type dependency struct {
	OK      bool   `json:"ok"`
	Error   string `json:"error,omitempty"`
	Warning string `json:"warning,omitempty"`
}

// Admin is the handler of the admin address: /healthz says that the process lives,
// /readyz tells of each dependency and is 503 while one fails, and /metrics is for
// Prometheus. It is plain HTTP without certificates; bind it where only operators
// and the kubelet come.
func Admin(o AdminOptions) http.Handler {
	router := mux.NewRouter()
	read := []string{http.MethodGet, http.MethodHead}
	router.Path("/healthz").Methods(read...).HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", plainText)
		_, _ = w.Write([]byte("ok\n"))
	})
	router.Path("/readyz").Methods(read...).HandlerFunc(o.readyz)
	if o.Metrics != nil {
		router.Path("/metrics").Methods(read...).Handler(o.Metrics)
	}
	return router
}

func (o AdminOptions) readyz(w http.ResponseWriter, _ *http.Request) {
	body := struct {
		Ready  bool                  `json:"ready"`
		Checks map[string]dependency `json:"checks"`
	}{true, make(map[string]dependency, len(o.Checks))}
	for name, check := range o.Checks {
		found := look(check)
		body.Ready = body.Ready && found.OK
		body.Checks[name] = found
	}
	encoded, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		panic(fmt.Errorf("encode readiness: %w", err)) // our own types always encode
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !body.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(encoded, '\n'))
}

func look(check func() error) dependency {
	err := check()
	switch {
	case err == nil:
		return dependency{OK: true}
	case isWarning(err):
		return dependency{OK: true, Warning: bounded(err.Error())}
	default:
		return dependency{Error: bounded(err.Error())}
	}
}

func isWarning(err error) bool {
	_, ok := errors.AsType[*warning](err)
	return ok
}
