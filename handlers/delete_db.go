package handlers

import (
	"context"
	"net/http"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type deleter interface {
	// Delete releases user's database and its address, and with purge the data of its
	// volume. That there was none is no error.
	Delete(ctx context.Context, c playground.Client, user playground.User, purge bool) error
}

// deleteDB answers POST /api/delete_db with the state that is left: none.
func (a *API) deleteDB(x *exchange) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	user, err := parseUser(body)
	if err != nil {
		return err
	}
	purge, err := parseSwitch(body, "purge")
	if err != nil {
		return err
	}
	if err := x.actFor(user); err != nil {
		return err
	}
	if err := a.Manager.Delete(x.r.Context(), x.client, user, purge); err != nil {
		return err
	}
	x.replyJSON(http.StatusOK, newDatabaseBody(playground.Status{User: user, State: playground.StateNone}))
	return nil
}

// parseSwitch finds a member that is true or false in JSON that [parseUser] read; it is
// false if it is not there. Who asks twice, or in other words, did not mean this.
func parseSwitch(body []byte, name string) (bool, error) {
	value, times := member(body, name)
	switch {
	case times == 0 || times == 1 && string(value) == "false":
		return false, nil
	case times == 1 && string(value) == "true":
		return true, nil
	}
	return false, playground.Errorf(playground.BadRequest, "%s must be true or false, once", name)
}
