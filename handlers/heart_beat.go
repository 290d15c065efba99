package handlers

import (
	"net/url"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type beater interface {
	// Beat renews every database that raw, the undecoded value in the URL, could
	// mean among those that c may act for, and returns the user to greet.
	Beat(c playground.Client, raw string) (playground.User, error)
}

// heartBeat answers GET /api/heart_beat?user_id=id.
func (a *API) heartBeat(x *exchange) error {
	raw, ok := rawUser(x.r.URL.RawQuery)
	if !ok {
		return playground.Errorf(playground.BadRequest, "user_id is missing")
	}
	user, err := a.Manager.Beat(x.client, raw)
	if err != nil {
		// For the log alone: whom the beat may have been for.
		if id, err := url.QueryUnescape(raw); err == nil {
			x.user = playground.User(id)
		}
		return err
	}
	x.user = user
	x.replyText(plainText, "hello "+string(user))
	return nil
}
