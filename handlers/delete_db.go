package handlers

import (
	"context"
	"net/http"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type deleter interface {
	// Delete releases user's database and its address. That there was none is no error.
	Delete(ctx context.Context, c playground.Client, user playground.User) error
}

// deleteDB answers POST /api/delete_db with the state that is left: none.
func (a *API) deleteDB(x *exchange) error {
	user, err := x.bodyUser()
	if err != nil {
		return err
	}
	if err := x.actFor(user); err != nil {
		return err
	}
	if err := a.Manager.Delete(x.r.Context(), x.client, user); err != nil {
		return err
	}
	x.replyJSON(http.StatusOK, newDatabaseBody(playground.Status{User: user, State: playground.StateNone}))
	return nil
}
