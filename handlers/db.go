package handlers

import (
	"net/http"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type teller interface {
	// Database tells what is known about user's database, from memory.
	Database(user playground.User) playground.Status
}

// databaseBody is the JSON of one database. Times are RFC 3339 in UTC; what is not
// known is left out.
type databaseBody struct {
	UserID        string           `json:"user_id"`
	State         playground.State `json:"state"`
	Reason        string           `json:"reason,omitempty"`
	DataSource    string           `json:"data_source,omitempty"`
	Created       time.Time        `json:"created,omitzero"`
	DataSince     time.Time        `json:"data_since,omitzero"`
	LastHeartBeat time.Time        `json:"last_heart_beat,omitzero"`
	Expires       time.Time        `json:"expires,omitzero"`
	Ahead         int              `json:"ahead,omitempty"`
}

func newDatabaseBody(s playground.Status) databaseBody {
	second := func(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
	return databaseBody{
		UserID:        string(s.User),
		State:         s.State,
		Reason:        s.Reason,
		DataSource:    s.DataSource,
		Created:       second(s.Created),
		DataSince:     second(s.DataSince),
		LastHeartBeat: second(s.LastHeartBeat),
		Expires:       second(s.Expires),
		Ahead:         s.Ahead,
	}
}

// db answers GET /api/db?user_id=id.
func (a *API) db(x *exchange) error {
	user, err := x.queryUser()
	if err != nil {
		return err
	}
	if err := x.actFor(user); err != nil {
		return err
	}
	x.replyJSON(http.StatusOK, newDatabaseBody(a.Manager.Database(user)))
	return nil
}
