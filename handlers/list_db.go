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
}

// listDB answers GET /api/list_db, for gateways, ordered by user.
func (a *API) listDB(x *exchange) error {
	all := a.Manager.Databases()
	body := struct {
		Databases []databaseBody `json:"databases"`
	}{make([]databaseBody, 0, len(all))}
	for _, status := range all {
		body.Databases = append(body.Databases, newDatabaseBody(status))
	}
	slices.SortFunc(body.Databases, func(a, b databaseBody) int { return cmp.Compare(a.UserID, b.UserID) })
	x.replyJSON(http.StatusOK, body)
	return nil
}
