package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// silence is how long a stream that says nothing is believed: the server sends
	// something every eight seconds.
	silence = 30 * time.Second
	// maxEvent bounds one line of a stream, in bytes.
	maxEvent = 1 << 20
)

// Event is news of a database.
type Event struct {
	// Name is queued, scheduled, pulling, started or creating while it is being
	// created, and else the database's state: none, ready or failed.
	Name string
	// Database is what the server knows of it now.
	Database Database
}

// Events calls tell with the state of user's database, and again whenever that changes,
// until the stream ends: after ready or failed, when nothing was created for a minute,
// or when the server stops. It then returns nil; whoever has not heard ready or failed
// may ask again.
//
// Else the error is tell's, which ends the stream too; the context's; an [*Error]; or
// one that is [ErrUnreachable], also when the server went silent.
func (c *Client) Events(ctx context.Context, user string, tell func(Event) error) error {
	const name = "db_events"
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(c.timeout, func() { cancel(errSilent) })
	defer quiet.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url("/api/db_events", url.Values{"user_id": {user}}), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("User-Agent", userAgent)
	response, err := c.streaming.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		return broken(ctx, decode(name, response, err, nil))
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	var next reading
	for lines.Scan() {
		quiet.Reset(silence)
		e, whole, err := next.line(strings.TrimSuffix(lines.Text(), "\r"))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if whole {
			if err := tell(e); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		err = fmt.Errorf("%s: the stream broke off: %w", name, err)
		if !errors.Is(err, context.Canceled) && !errors.Is(err, bufio.ErrTooLong) {
			err = &unreachable{err}
		}
		return broken(ctx, err)
	}
	return nil
}

var errSilent = errors.New("the server has said nothing for too long")

// broken tells a silence of the server from an end that the caller asked for.
func broken(ctx context.Context, err error) error {
	if context.Cause(ctx) == errSilent {
		return &unreachable{fmt.Errorf("db_events: %w", errSilent)}
	}
	return err
}

// reading is an event that has not come whole yet.
type reading struct {
	name string
	data []string
}

// line takes a line of a stream (WHATWG HTML, section 9.2.6); an empty one makes the
// event whole. Comments, and fields that a program has no use for, are skipped.
func (r *reading) line(text string) (e Event, whole bool, err error) {
	field, value, _ := strings.Cut(text, ":")
	value = strings.TrimPrefix(value, " ")
	switch {
	case text != "" && field == "event":
		r.name = value
	case text != "" && field == "data":
		r.data = append(r.data, value)
	case text == "" && len(r.data) > 0:
		e.Name = r.name
		err = json.Unmarshal([]byte(strings.Join(r.data, "\n")), &e.Database)
		if err != nil {
			err = fmt.Errorf("the event %.80q is not one of a playground server: %w", r.name, err)
		}
		*r = reading{}
		return e, true, err
	case text == "":
		*r = reading{}
	}
	return Event{}, false, nil
}
