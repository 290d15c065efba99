package handlers

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// access says which certificates may use a route at all; for whom they may act
// there is the route's own question.
type access int

const (
	everybody access = iota // any certificate that the server accepts
	gateways                // only those that act for everybody
	marked                  // only those that our key tool made
)

// route is one row of the API's table.
type route struct {
	method, path string
	access       access
	serve        func(*exchange) error

	// audit names the line that the log gets for each request; without it
	// only refusals are audited.
	audit string
	// frequent requests that went well are logged at debug level.
	frequent bool
	// slowRefusal: errors are held back for a while, see Options.Hold.
	slowRefusal bool
	// workflows: the route is there only where workflows are, see Options.Workflows.
	workflows bool
}

// routes is the table of the API. openapi.yaml describes the same.
func (a *API) routes() []route {
	return []route{
		{method: "GET", path: "/api/heart_beat", access: everybody, serve: a.heartBeat, frequent: true, slowRefusal: true},
		{method: "POST", path: "/api/create_db", access: everybody, serve: a.createDB, audit: "create"},
		{method: "POST", path: "/api/delete_db", access: marked, serve: a.deleteDB, audit: "delete"},
		{method: "GET", path: "/api/db", access: everybody, serve: a.db},
		{method: "GET", path: "/api/db_events", access: marked, serve: a.dbEvents},
		{method: "GET", path: "/api/list_db", access: gateways, serve: a.listDB},
		{method: "POST", path: "/api/workflow", access: marked, serve: a.submitWorkflow, audit: "submit_workflow", workflows: true},
		{method: "GET", path: "/api/workflow", access: marked, serve: a.workflow, workflows: true},
		{method: "GET", path: "/api/workflow_log", access: marked, serve: a.workflowLog, workflows: true},
		{method: "POST", path: "/api/stop_workflow", access: marked, serve: a.stopWorkflow, audit: "stop_workflow", workflows: true},
		{method: "GET", path: "/api/openapi.yaml", access: everybody, serve: a.openAPI},
		{method: "GET", path: "/", access: everybody, serve: a.hello},
	}
}

// methods are what a row answers to: HEAD is GET without the body (RFC 9110).
func (rt route) methods() []string {
	if rt.method == http.MethodGet {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{rt.method}
}

// isAt compares paths as they are: no route has variables, so gorilla/mux need not run the
// two regular expressions that it makes of a path.
func (rt route) isAt(r *http.Request, _ *mux.RouteMatch) bool { return r.URL.Path == rt.path }

func (a *API) newRouter() *mux.Router {
	router := mux.NewRouter()
	allowed := map[string][]string{} // by path
	for _, rt := range a.routes() {
		if rt.workflows && a.Workflows == nil {
			continue
		}
		router.MatcherFunc(rt.isAt).Methods(rt.methods()...).Handler(a.handler(rt))
		allowed[rt.path] = append(allowed[rt.path], rt.methods()...)
	}
	router.NotFoundHandler = a.handler(route{path: "unknown", serve: func(*exchange) error {
		return playground.Errorf(NotFound, "there is nothing here; GET /api/openapi.yaml describes what there is")
	}})
	router.MethodNotAllowedHandler = a.handler(route{path: "unknown", serve: func(x *exchange) error {
		methods := strings.Join(slices.Sorted(slices.Values(allowed[x.r.URL.Path])), ", ")
		x.w.Header().Set("Allow", methods)
		return playground.Errorf(MethodNotAllowed, "this path answers to %s only", methods)
	}})
	return router
}

func (a *API) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.answer(&rt, w, r) })
}
