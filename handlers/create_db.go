package handlers

import (
	"context"
	"net/http"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type creator interface {
	// Create returns user's database once it answers; see playground.Manager.
	Create(ctx context.Context, c playground.Client, user playground.User) (playground.Status, error)
}

// createDB answers POST /api/create_db. The field is all that the notebook plugin
// reads.
func (a *API) createDB(x *exchange) error {
	user, err := x.bodyUser()
	if err != nil {
		return err
	}
	if err := x.actFor(user); err != nil {
		return err
	}
	status, err := a.Manager.Create(x.r.Context(), x.client, user)
	if err != nil {
		return err
	}
	x.replyJSON(http.StatusOK, struct {
		DataSource string `json:"data_source"`
	}{status.DataSource})
	return nil
}
