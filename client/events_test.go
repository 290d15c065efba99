package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/client"
)

func TestEventsAreRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"as sent", "retry: 2000\n\nid: queued\nevent: queued\ndata: {\"state\":\"creating\",\"ahead\":3}\n\n: keep-alive\n\nevent: ready\ndata: {\"state\":\"ready\"}\n\n", "queued creating 3, ready ready 0, "},
		{"carriage returns", "event: failed\r\ndata: {\"state\":\"failed\"}\r\n\r\n", "failed failed 0, "},
		{"no blank behind the colon", "event:failed\ndata:{\"state\":\"failed\"}\n\n", "failed failed 0, "},
		{"several lines of data", "event: none\ndata: {\"state\":\ndata: \"none\"}\n\n", "none none 0, "},
		{"an event without data is none", "event: ready\n\nevent: none\ndata: {}\n\n", "none  0, "},
		{"half an event at the end", "event: none\ndata: {}\n\nevent: ready\ndata: {}\n", "none  0, "},
		{"nothing", "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "GET" || r.URL.Path != "/api/db_events" || r.URL.Query().Get("user_id") != "an n&" {
					http.Error(w, "unexpected request", http.StatusTeapot)
					return
				}
				_, _ = io.WriteString(w, test.text)
			})
			var got strings.Builder
			err := newClient(t, s.options(t)).Events(t.Context(), "an n&", func(e client.Event) error {
				_, err := fmt.Fprintf(&got, "%s %s %d, ", e.Name, e.Database.State, e.Database.Ahead)
				return err
			})
			if err != nil || got.String() != test.want {
				t.Errorf("%s: got %q, %v; want %q", test.name, got.String(), err, test.want)
			}
		})
	}
}

func TestHowAStreamOfEventsEnds(t *testing.T) {
	t.Parallel()
	enough := errors.New("enough")
	hang := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "event: none\ndata: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	unreachable := func(err error) bool { return errors.Is(err, client.ErrUnreachable) }
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		tell    error
		cancel  time.Duration // after which the caller gives up
		want    func(error) bool
		after   time.Duration
	}{
		{name: "by the caller's function", handler: hang, tell: enough, want: func(err error) bool { return err == enough }},
		{name: "by the caller", handler: hang, cancel: 3 * time.Second, after: 3 * time.Second,
			want: func(err error) bool { return errors.Is(err, context.Canceled) && !unreachable(err) }},
		{name: "by silence", handler: hang, after: 30 * time.Second, want: unreachable},
		{name: "without an answer", after: time.Minute, want: unreachable,
			handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{name: "broken off", want: unreachable, handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "event: none\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "refused", want: func(err error) bool {
			e, ok := errors.AsType[*client.Error](err)
			return ok && e.Status == http.StatusForbidden
		}, handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }},
		{name: "no JSON", want: func(err error) bool { return err != nil && strings.Contains(err.Error(), `event "none"`) },
			handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "event: none\ndata: <p>\n\n") }},
		{name: "endless line", want: func(err error) bool { return err != nil && !unreachable(err) },
			handler: func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<20+1))
			}},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, newServer(t, test.handler).options(t))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.cancel > 0 {
				defer time.AfterFunc(test.cancel, cancel).Stop()
			}
			began := time.Now()
			err := c.Events(ctx, "ann", func(client.Event) error { return test.tell })
			if !test.want(err) || time.Since(began) != test.after {
				t.Errorf("%s: %v after %v, want %v", test.name, err, time.Since(began), test.after)
			}
		})
	}
}
