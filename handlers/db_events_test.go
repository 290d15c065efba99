package handlers_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

func creating(stage playground.Stage) playground.Status {
	return playground.Status{User: "ann", State: playground.StateCreating, Stage: stage}
}

// watch follows ann's database and gives each event; the channel is closed at the end.
func watch(t *testing.T, c *client.Client, user string) (<-chan client.Event, <-chan error) {
	t.Helper()
	events, ended := make(chan client.Event), make(chan error, 1)
	go func() {
		err := c.Events(t.Context(), user, func(e client.Event) error {
			events <- e
			return nil
		})
		close(events)
		ended <- err
	}()
	return events, ended
}

func TestEventsOfACreation(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	ready := playground.Status{User: "ann", State: playground.StateReady, DataSource: "mysql://ann"}
	failed := playground.Status{User: "ann", State: playground.StateFailed, Reason: "ErrImagePull"}
	for _, test := range []struct {
		last playground.Status
		name string
	}{{ready, "ready"}, {failed, "failed"}} {
		g.set("ann", playground.Status{User: "ann", State: playground.StateNone})
		events, ended := watch(t, g.client(t, "ann"), "ann")
		for _, step := range []struct {
			next playground.Status // set once the event before it came
			name string
		}{
			{playground.Status{}, "none"},
			{playground.Status{User: "ann", State: playground.StateCreating, Stage: playground.Queued, Ahead: 3}, "queued"},
			{creating(""), "creating"},
			{creating(playground.Scheduled), "scheduled"},
			{creating(playground.Pulling), "pulling"},
			{creating(playground.Started), "started"},
			{test.last, test.name},
		} {
			if step.next.User != "" {
				g.set("ann", step.next)
			}
			e, ok := <-events
			if !ok || e.Name != step.name || e.Database.UserID != "ann" || e.Database.Ahead != step.next.Ahead ||
				e.Database.DataSource != step.next.DataSource || e.Database.Reason != step.next.Reason {
				t.Fatalf("got %+v, %t, want %s of %+v", e, ok, step.name, step.next)
			}
		}
		if e, more := <-events; more {
			t.Errorf("and then %+v", e)
		}
		if err := <-ended; err != nil {
			t.Errorf("the stream ended with %v", err)
		}
	}
}

func TestNewsOfOthersAreNoEvents(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.set("ann", creating(playground.Pulling))
	events, ended := watch(t, g.client(t, "ann"), "ann")
	if e := <-events; e.Name != "pulling" {
		t.Fatalf("got %+v", e)
	}
	g.set("bob", playground.Status{User: "bob", State: playground.StateReady})
	g.set("ann", playground.Status{User: "ann", State: playground.StateReady})
	if e := <-events; e.Name != "ready" {
		t.Errorf("got %+v", e)
	}
	for e := range events {
		t.Errorf("and then %+v", e)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestEventsOnTheWire(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.set("ann", playground.Status{User: "ann", State: playground.StateFailed, Reason: "line\nfeed"})
	const want = "retry: 2000\n\nid: failed\nevent: failed\n" + `data: {"user_id":"ann","state":"failed","reason":"line\nfeed"}` + "\n\n"
	for _, http2 := range []bool{false, true} {
		c := g.http(t, "ann", http2)
		got := g.do(t, c, "GET", "/api/db_events?user_id=ann", "")
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/event-stream" || got.header.Get("Cache-Control") != "no-store" || got.body != want {
			t.Errorf("HTTP/2 %t: %+v", http2, got)
		}
		if head := g.do(t, c, "HEAD", "/api/db_events?user_id=ann", ""); head.status != http.StatusOK || head.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HTTP/2 %t: HEAD %+v", http2, head)
		}
		// The connection is as good as before.
		if got := g.do(t, c, "GET", "/", ""); got.status != http.StatusOK {
			t.Errorf("HTTP/2 %t: after it %+v", http2, got)
		}
		if line := g.line(t, got.header.Get("X-Request-Id")); line.Level != logrus.InfoLevel || line.Data["user"] != `"ann"` {
			t.Errorf("logged %v", line.Data)
		}
	}
}

// A browser comes again when a stream ends; after the last event it must stop.
func TestABrowserThatKnowsTheEndComesNoMore(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.http(t, "ann", false)
	for _, test := range []struct {
		state playground.State
		last  string
		want  int
	}{
		{playground.StateReady, "ready", http.StatusNoContent},
		{playground.StateFailed, "failed", http.StatusNoContent},
		{playground.StateReady, "failed", http.StatusOK},
		{playground.StateReady, "pulling", http.StatusOK},
		{playground.StateReady, "", http.StatusOK},
	} {
		g.set("ann", playground.Status{User: "ann", State: test.state})
		r, err := http.NewRequestWithContext(t.Context(), "GET", g.url+"/api/db_events?user_id=ann", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Last-Event-ID", test.last)
		response, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s after %q: %d, want %d", test.state, test.last, response.StatusCode, test.want)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGateway(t, func(o *handlers.Options) { o.MaxStreams = 1 })
	ann := g.client(t, "ann")
	g.set("ann", creating(playground.Pulling))
	events, ended := watch(t, ann, "ann")
	<-events
	e := refusal(t, ann.Events(t.Context(), "ann", func(client.Event) error { return nil }))
	if e.Status != http.StatusTooManyRequests || e.Code != "too_many_streams" || e.RetryAfter != 10*time.Second {
		t.Errorf("got %+v", e)
	}
	g.set("ann", playground.Status{User: "ann", State: playground.StateReady})
	<-events
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	// The place is free once the first has left, which may be after its last event.
	for {
		err := ann.Events(t.Context(), "ann", func(client.Event) error { return nil })
		if full, ok := errors.AsType[*client.Error](err); ok && full.Code == "too_many_streams" {
			continue
		}
		if err != nil {
			t.Error(err)
		}
		return
	}
}

func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.set("ann", creating(playground.Pulling))
	events, ended := watch(t, g.client(t, "ann"), "ann")
	<-events
	g.api.EndStreams()
	g.api.EndStreams()
	if err := <-ended; err != nil {
		t.Errorf("got %v, want a regular end", err)
	}
}

// What the certificate may do is asked again while a stream goes on.
func TestAStreamOfARevokedClientIsCutOff(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.set("ann", creating(playground.Pulling))
	pair := g.ca.Issue(t, tlstest.Leaf{Name: "ann"})
	events, ended := watch(t, g.clientOf(t, pair), "ann")
	<-events
	tlstest.Replace(t, g.file("crl.pem"), g.ca.RevocationList(t, pair.Cert))
	if err := g.tls.Reload(); err != nil {
		t.Fatal(err)
	}
	g.set("ann", playground.Status{User: "ann", State: playground.StateReady, DataSource: "mysql://secret"})
	for e := range events {
		t.Errorf("it got %+v", e)
	}
	if err := <-ended; !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	g.log.find(t, "the cut off", func(e *logrus.Entry) bool { return e.Data["result"] == "cut_off" })
}

// writer keeps what is written, and the deadlines that it got.
type writer struct {
	mu     sync.Mutex
	header http.Header
	text   strings.Builder
	writes []time.Duration // from each write to the deadline that it has
	until  time.Time
}

func (w *writer) Header() http.Header { return w.header }
func (w *writer) WriteHeader(int)     {}
func (w *writer) Flush()              {}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, time.Until(w.until))
	return w.text.Write(p)
}

func (w *writer) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = t
	return nil
}

func (w *writer) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.text.Reset()
	return w.text.String()
}

func TestAStreamIsKeptAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _ := logtest.NewNullLogger()
		m := newMemory()
		m.set("ann", playground.Status{User: "ann", State: playground.StateCreating, Stage: playground.Queued, Ahead: 2})
		api := newAPI(t, log, handlers.Options{Manager: m})
		ann := tlstest.NewAuthority(t, "ca").Issue(t, tlstest.Leaf{Name: "ann"}).Cert
		ctx, leave := context.WithCancel(t.Context())
		w := &writer{header: http.Header{}}
		done := make(chan struct{})
		go func() { api.ServeHTTP(w, as(ctx, ann, "GET", "/api/db_events?user_id=ann")); close(done) }()
		synctest.Wait()
		if got := w.take(); !strings.Contains(got, `"ahead":2`) {
			t.Errorf("at first: %q", got)
		}
		for range 3 {
			<-time.After(8 * time.Second)
			synctest.Wait()
			if got := w.take(); got != ": keep-alive\n\n" {
				t.Errorf("after 8s: %q", got)
			}
		}
		// The queue moves without news.
		m.mu.Lock()
		m.databases["ann"] = playground.Status{User: "ann", State: playground.StateCreating, Stage: playground.Queued, Ahead: 1}
		m.mu.Unlock()
		<-time.After(8 * time.Second)
		synctest.Wait()
		if got := w.take(); !strings.HasPrefix(got, ": keep-alive\n\n") || !strings.Contains(got, `"ahead":1`) {
			t.Errorf("after the queue moved: %q", got)
		}
		leave()
		<-done
		for i, left := range w.writes {
			if left != 10*time.Second {
				t.Errorf("write %d had %v left", i, left)
			}
		}
	})
}

func TestAStreamEndsWhenNothingIsCreated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _ := logtest.NewNullLogger()
		m := newMemory()
		api := newAPI(t, log, handlers.Options{Manager: m})
		ann := tlstest.NewAuthority(t, "ca").Issue(t, tlstest.Leaf{Name: "ann"}).Cert
		began := time.Now()
		m.set("ann", creating(playground.Pulling))
		gone := time.AfterFunc(3*time.Minute, func() { m.set("ann", playground.Status{User: "ann", State: playground.StateNone}) })
		defer gone.Stop()
		api.ServeHTTP(httptest.NewRecorder(), as(t.Context(), ann, "GET", "/api/db_events?user_id=ann"))
		if took := time.Since(began); took < 4*time.Minute-8*time.Second || took > 4*time.Minute {
			t.Errorf("it ended after %v", took)
		}
	})
}

// The server's own time limits for reading and writing end no stream.
func TestAStreamOutlivesTheServersLimits(t *testing.T) {
	t.Parallel()
	for _, protocols := range [][]string{{"http/1.1"}, {"h2", "http/1.1"}} {
		synctest.Test(t, func(t *testing.T) {
			log, _ := logtest.NewNullLogger()
			m := newMemory()
			m.set("ann", creating(playground.Pulling))
			api := newAPI(t, log, handlers.Options{Manager: m})
			ca := tlstest.NewAuthority(t, "ca")
			pair := ca.Issue(t, tlstest.Leaf{Name: "server", Server: true})
			own, err := tls.X509KeyPair(pair.PEM, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			clients := x509.NewCertPool()
			clients.AddCert(ca.Cert)
			config := &tls.Config{
				Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, NextProtos: protocols,
			}
			memory := tlstest.NewMemory()
			server := &http.Server{
				Handler: api, ConnContext: api.ConnContext, TLSConfig: config,
				ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second, IdleTimeout: time.Minute,
			}
			done := make(chan struct{})
			go func() { _ = server.ServeTLS(memory, "", ""); close(done) }()
			defer func() { _ = server.Close(); <-done }()
			pair = ca.Issue(t, tlstest.Leaf{Name: "ann"})
			c, err := client.New(client.Options{URL: "https://localhost:1", CA: ca.PEM, Cert: pair.PEM, Key: pair.Key, Dial: memory.Dial})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ready := time.AfterFunc(5*time.Minute, func() { m.set("ann", playground.Status{User: "ann", State: playground.StateReady}) })
			defer ready.Stop()
			var names []string
			err = c.Events(t.Context(), "ann", func(e client.Event) error { names = append(names, e.Name); return nil })
			if err != nil || !slices.Equal(names, []string{"pulling", "ready"}) {
				t.Errorf("%v: %v, %v", protocols, names, err)
			}
		})
	}
}
