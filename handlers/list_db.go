package handlers

import (
	"cmp"
	"net/http"
	"slices"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type lister interface {
	// Databases tells about every user that is known, from memory.
	Databases() []playground.Status
	// Pool tells about the databases that are made ahead, from memory.
	Pool() playground.PoolStatus
}

// poolBody is the JSON of the pool.
type poolBody struct {
	Want   int `json:"want"`
	Ready  int `json:"ready"`
	Coming int `json:"coming"`
}

// listedBody is a database as gateways see it.
type listedBody struct {
	databaseBody
	// Client is the common name of the gateway that asked for it.
	Client string `json:"client,omitempty"`
}

// listDB answers GET /api/list_db, for gateways, ordered by user.
func (a *API) listDB(x *exchange) error {
	all := a.Manager.Databases()
	pool := a.Manager.Pool()
	body := struct {
		Databases []listedBody `json:"databases"`
		Pool      poolBody     `json:"pool"`
	}{make([]listedBody, 0, len(all)), poolBody{pool.Want, pool.Ready, pool.Coming}}
	for _, status := range all {
		body.Databases = append(body.Databases, listedBody{newDatabaseBody(status), status.Client})
	}
	slices.SortFunc(body.Databases, func(a, b listedBody) int { return cmp.Compare(a.UserID, b.UserID) })
	x.replyJSON(http.StatusOK, body)
	return nil
}
