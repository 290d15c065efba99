package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// longestLogged bounds, in bytes, each text of a log line that others chose.
const longestLogged = 2048

// exchange is one request and its answer.
type exchange struct {
	w      http.ResponseWriter
	r      *http.Request
	id     string
	client playground.Client
	began  time.Time

	// silent: nothing is logged if all goes well, and then an id would lead nowhere.
	silent bool

	user     playground.User // whom it is about, once known
	workflow string          // which, if any
	status   int             // what was answered; 0: nothing yet
	err      error           // what went wrong
}

// answer takes one request through its route.
func (a *API) answer(rt *route, w http.ResponseWriter, r *http.Request) {
	x := &exchange{w: w, r: r, began: a.Now()}
	conn := a.connection(r)
	if err := conn.check(a, r.TLS); err != nil {
		a.cutOff(x, conn, err)
	}
	x.id, x.client = a.newID(), conn.client
	x.silent = rt.frequent && !debugging(a.Log)
	defer a.finish(rt, x)

	if x.err = a.admit(rt, x.client); x.err == nil {
		x.err = rt.serve(x)
	}
	if x.err == nil || x.status != 0 || r.Context().Err() != nil {
		return
	}
	if rt.slowRefusal {
		a.hold(r.Context())
	}
	x.refuse(playground.AsError(x.err))
}

// admit asks whether c may use the route at all.
func (a *API) admit(rt *route, c playground.Client) error {
	switch {
	case !c.Trusted() && !a.OldCerts:
		return playground.Errorf(playground.Forbidden, "this server takes no certificates without a user: "+
			"ask its maintainer for a new one (keytool client NAME --user ID)")
	case rt.access == marked && !c.Trusted():
		return playground.Errorf(playground.Forbidden, "this certificate is an old one, for create_db, heart_beat and db only: "+
			"ask the maintainer for a new one (keytool client NAME --user ID)")
	case rt.access == gateways && c.Power != playground.Gateway:
		return playground.Errorf(playground.Forbidden, "only a gateway's certificate may ask this (keytool client NAME --gateway)")
	}
	return nil
}

// actFor makes user the one that x is about, if x's client may act for them.
func (x *exchange) actFor(user playground.User) error {
	x.user = user
	if !x.client.MayActFor(user) {
		return playground.Errorf(playground.Forbidden, "this certificate may not act for user %v", user)
	}
	return nil
}

// finish logs the request, and turns a panic into an answer if there is none yet. Who
// left gets none: net/http would say 200, which who only sends no more may still read.
func (a *API) finish(rt *route, x *exchange) {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		x.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		if x.status != 0 {
			// Half an answer went out: the client must see that it broke off.
			a.log(rt, x)
			panic(http.ErrAbortHandler)
		}
		x.refuse(playground.AsError(x.err))
	}
	a.log(rt, x)
	if x.status == 0 {
		panic(http.ErrAbortHandler)
	}
}

// log writes the one line that each request gets.
func (a *API) log(rt *route, x *exchange) {
	if x.err == nil && x.silent {
		return
	}
	// A line that went well has eight fields at most: a map of that size is cheap,
	// and logrus copies it twice.
	fields := logrus.Fields{
		"request_id": x.id,
		"remote":     x.r.RemoteAddr,
		"serial":     x.client.Serial,
		"name":       bounded(x.client.Name),
		"seconds":    a.Now().Sub(x.began).Seconds(),
	}
	if x.user != "" {
		fields["user"] = x.user.String()
	}
	if x.workflow != "" {
		fields["workflow"] = bounded(x.workflow)
	}
	audit, result := rt.audit, "ok"
	if x.err != nil {
		e := playground.AsError(x.err)
		result = string(e.Code)
		if audit == "" {
			audit = "refusal"
		}
		fields["error"] = bounded(e.Error())
	}
	if x.status == 0 {
		result = "client_left"
	}
	if audit != "" {
		fields["audit"], fields["result"] = audit, result
	}
	if x.err != nil || audit == "" {
		fields["route"], fields["status"] = rt.path, x.status
	}
	log := withFields(a.Log, fields)
	switch {
	case x.status >= http.StatusInternalServerError && x.status != http.StatusServiceUnavailable:
		log.Error("request failed")
	case x.err != nil:
		log.Warn("request refused")
	case rt.frequent:
		log.Debug("request answered")
	default:
		log.Info("request answered")
	}
}

// cutOff audits a request whose certificate is no longer good, and ends the connection.
func (a *API) cutOff(x *exchange, conn *connection, err error) {
	fields := logrus.Fields{
		"audit":      "revoked",
		"result":     "cut_off",
		"request_id": a.newID(), // the client never hears of it
		"remote":     x.r.RemoteAddr,
		"serial":     conn.client.Serial,
		"name":       bounded(conn.client.Name),
		"seconds":    a.Now().Sub(x.began).Seconds(),
		"error":      bounded(err.Error()),
	}
	if conn.client.User != "" {
		fields["user"] = conn.client.User.String()
	}
	a.Log.WithFields(fields).Warn("connection closed: its certificate is no longer accepted")
	conn.close()
	// The server's way to end a connection without an answer.
	panic(http.ErrAbortHandler)
}

// replyText answers 200 with text that a browser must not take for a page: it may
// contain what the client sent.
func (x *exchange) replyText(contentType, text string) {
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	x.reply(http.StatusOK, contentType, []byte(text))
}

// replyJSON answers with what nobody should keep: data sources have passwords. Answers
// to a POST are not kept unless they ask for it (RFC 9110 section 9.3.3).
func (x *exchange) replyJSON(status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		// Our own types always encode.
		panic(fmt.Errorf("encode %T: %w", body, err))
	}
	if x.r.Method != http.MethodPost {
		x.w.Header().Set("Cache-Control", "no-store")
	}
	x.reply(status, "application/json", append(encoded, '\n'))
}

func (x *exchange) reply(status int, contentType string, body []byte) {
	x.w.Header().Set("Content-Type", contentType)
	if x.err != nil || !x.silent {
		x.w.Header().Set("X-Request-Id", x.id)
	}
	x.status = status
	x.w.WriteHeader(status)
	// A client that is gone needs no error.
	_, _ = x.w.Write(body)
}

func bounded(s string) string {
	if len(s) > longestLogged {
		return s[:longestLogged] + "..."
	}
	return s
}

// withFields is log.WithFields, which copies the fields, without the copy where
// nothing needs one.
func withFields(log logrus.FieldLogger, fields logrus.Fields) logrus.FieldLogger {
	if l, ok := log.(*logrus.Logger); ok {
		return &logrus.Entry{Logger: l, Data: fields}
	}
	return log.WithFields(fields)
}

// debugging asks before a line is made, because making it costs more than the answer.
func debugging(log logrus.FieldLogger) bool {
	switch l := log.(type) {
	case *logrus.Logger:
		return l.IsLevelEnabled(logrus.DebugLevel)
	case *logrus.Entry:
		return l.Logger.IsLevelEnabled(logrus.DebugLevel)
	}
	return true
}

var errNoClient = errors.New("no verified client certificate")
