package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type follower interface {
	// Follow tells about user's database, and gives a channel that is closed when
	// there is news of it; then ask again.
	Follow(user playground.User) (playground.Status, <-chan struct{})
}

const (
	// keepAlive is shorter than what proxies think of as silence. The place in the
	// queue is looked up as often, because it changes without news of the database.
	keepAlive = 8 * time.Second
	// nothingLimit is how long a stream goes on while nothing is created.
	nothingLimit = time.Minute
	// eventWrite is how long one event may take to be sent.
	eventWrite = 10 * time.Second
	// reconnect is how soon a browser comes again after the end of a stream.
	reconnect = 2 * time.Second
)

// The event's names that end a stream are states; those before it are stages, and
// "creating" while no stage is known.
func eventName(s playground.Status) string {
	if s.State == playground.StateCreating && s.Stage != "" {
		return string(s.Stage)
	}
	return string(s.State)
}

// dbEvents answers GET /api/db_events?user_id=id with server-sent events (WHATWG HTML,
// section 9.2): what GET /api/db tells, each time that it changes.
func (a *API) dbEvents(x *exchange) error {
	user, err := x.queryUser()
	if err != nil {
		return err
	}
	if err := x.actFor(user); err != nil {
		return err
	}
	status, news := a.Manager.Follow(user)
	if last := x.r.Header.Get("Last-Event-ID"); ends(status) && last == eventName(status) {
		// An EventSource that knows the end already comes again by itself, for ever,
		// unless it is answered like this (section 9.2.5).
		x.w.Header().Set("X-Request-Id", x.id)
		x.status = http.StatusNoContent
		x.w.WriteHeader(x.status)
		return nil
	}
	select {
	case a.streams <- struct{}{}:
	default:
		return playground.Errorf(TooManyStreams, "%d streams of events are open, more are not served; GET /api/db tells the same", cap(a.streams))
	}
	defer func() { <-a.streams }()
	s := a.newStream(x)
	if x.r.Method == http.MethodHead {
		return nil
	}
	defer s.end()
	return a.follow(x, s, user, status, news)
}

// ends reports whether nothing more comes after s by itself.
func ends(s playground.Status) bool {
	return s.State == playground.StateReady || s.State == playground.StateFailed
}

// follow sends events until the end, or until the client leaves or the server stops.
func (a *API) follow(x *exchange, s *stream, user playground.User, status playground.Status, news <-chan struct{}) error {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	nothing := time.NewTimer(nothingLimit)
	defer nothing.Stop()
	for {
		if status.State != playground.StateNone {
			nothing.Reset(nothingLimit)
		}
		if err := s.tell(status); err != nil || ends(status) {
			return nil // who cannot be written to has left
		}
		select {
		case <-news:
		case <-ticker.C:
			if s.write([]byte(": keep-alive\n\n")) != nil {
				return nil
			}
		case <-nothing.C:
			return nil
		case <-a.stopping:
			return nil
		case <-x.r.Context().Done():
			return nil
		}
		a.stillGood(x)
		status, news = a.Manager.Follow(user)
	}
}

// EndStreams ends all streams of events, and those that begin later, so that the
// server can stop. It is for http.Server.RegisterOnShutdown; browsers come again by
// themselves and find the next server.
func (a *API) EndStreams() { a.stopOnce.Do(func() { close(a.stopping) }) }

// stream is an answer that goes on.
type stream struct {
	x    *exchange
	to   *http.ResponseController
	last []byte // the event that was sent last
}

// newStream begins the answer.
func (a *API) newStream(x *exchange) *stream {
	s := &stream{x: x, to: http.NewResponseController(x.w)}
	header := x.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would wait for more
	header.Set("X-Request-Id", x.id)
	x.status = http.StatusOK
	if x.r.Method != http.MethodHead {
		_ = s.write(fmt.Appendf(nil, "retry: %d\n\n", reconnect.Milliseconds()))
	}
	return s
}

// tell sends status unless it is what was sent last. Its JSON is a single line.
func (s *stream) tell(status playground.Status) error {
	name := eventName(status)
	body, err := json.Marshal(newDatabaseBody(status))
	if err != nil {
		panic(fmt.Errorf("encode %T: %w", status, err)) // our own types always encode
	}
	event := fmt.Appendf(nil, "id: %s\nevent: %s\ndata: %s\n\n", name, name, body)
	if bytes.Equal(event, s.last) {
		return nil
	}
	s.last = event
	return s.write(event)
}

// write moves the server's own limit, which is for answers of one piece. A writer that
// has no deadline needs none moved, so that error says nothing.
func (s *stream) write(text []byte) error {
	_ = s.to.SetWriteDeadline(time.Now().Add(eventWrite))
	if _, err := s.x.w.Write(text); err != nil {
		return err
	}
	return s.to.Flush()
}

// end leaves time for what net/http itself still has to write.
func (s *stream) end() { _ = s.to.SetWriteDeadline(time.Now().Add(eventWrite)) }

// stillGood cuts off a client whose certificate is no longer accepted.
func (a *API) stillGood(x *exchange) {
	conn := a.connection(x.r)
	if err := conn.check(a, x.r.TLS); err != nil {
		a.cutOff(x, conn, err)
	}
}
