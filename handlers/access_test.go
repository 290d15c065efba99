package handlers_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	allowed, denied := newGateway(t), newGateway(t, func(o *handlers.Options) { o.OldCerts = false })
	requests := []struct{ name, method, path, body string }{
		{"hello", "GET", "/", ""},
		{"create", "POST", "/api/create_db", `{"user_id":"ann"}`},
		{"beat", "GET", "/api/heart_beat?user_id=ann", ""},
		{"db", "GET", "/api/db?user_id=ann", ""},
		{"events", "GET", "/api/db_events?user_id=ann", ""},
		{"delete", "POST", "/api/delete_db", `{"user_id":"ann"}`},
		{"list", "GET", "/api/list_db", ""},
		{"openapi", "GET", "/api/openapi.yaml", ""},
		{"unknown", "GET", "/nowhere", ""},
	}
	for _, test := range []struct {
		server *gateway
		client string
		want   string // which of the requests do not get 403
	}{
		{allowed, "ann", "hello create beat db events delete openapi unknown"},
		{allowed, "bob", "hello openapi unknown"},
		{allowed, "", "hello openapi unknown"}, // acts for nobody
		{allowed, gatewayName, "hello create beat db events delete list openapi unknown"},
		{allowed, oldName, "hello create beat db openapi unknown"},
		{denied, "ann", "hello create beat db events delete openapi unknown"},
		{denied, gatewayName, "hello create beat db events delete list openapi unknown"},
		{denied, oldName, ""},
	} {
		c := test.server.http(t, test.client, false)
		var got []string
		for _, r := range requests {
			answer := test.server.do(t, c, r.method, r.path, r.body)
			if answer.status != http.StatusForbidden {
				got = append(got, r.name)
				continue
			}
			e := decodeError(t, answer)
			if e.Code != "forbidden" {
				t.Errorf("%q, %s: %+v", test.client, r.name, e)
			}
			if test.client == oldName && !strings.Contains(e.Message, "keytool client") {
				t.Errorf("%q, %s: %q does not say what to do", test.client, r.name, e.Message)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q (old certificates denied: %t) may %v, want %v", test.client, test.server == denied, got, test.want)
		}
	}
}

func TestOldCertificatesActForAnybody(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	old := g.client(t, oldName)
	for _, user := range []string{"ann", "bob"} {
		if _, err := old.CreateDB(t.Context(), user); err != nil {
			t.Error(err)
		}
		if _, err := old.HeartBeat(t.Context(), user); err != nil {
			t.Error(err)
		}
	}
}

// The certificates of a client that goes on asking over open connections.
func TestARunningClientFeelsEveryChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*testing.T, *gateway, tlstest.Pair)
		cutOff bool
	}{
		{"nothing", func(*testing.T, *gateway, tlstest.Pair) {}, false},
		{"another was revoked", func(t *testing.T, g *gateway, _ tlstest.Pair) {
			tlstest.Replace(t, g.file("crl.pem"), g.ca.RevocationList(t, g.ca.Issue(t, tlstest.Leaf{}).Cert))
		}, false},
		{"new server certificate", func(t *testing.T, g *gateway, _ tlstest.Pair) { g.installServer(t, g.ca) }, false},
		{"revoked", func(t *testing.T, g *gateway, ann tlstest.Pair) {
			tlstest.Replace(t, g.file("crl.pem"), g.ca.RevocationList(t, ann.Cert))
		}, true},
		{"expired", func(_ *testing.T, g *gateway, _ tlstest.Pair) { g.clock.advance(2 * time.Hour) }, true},
		{"another authority", func(t *testing.T, g *gateway, _ tlstest.Pair) {
			g.installServer(t, tlstest.NewAuthority(t, "new CA"))
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, http2 := range []bool{false, true} {
				g := newGateway(t)
				ann := g.ca.Issue(t, tlstest.Leaf{Name: "ann", NotAfter: time.Now().Add(time.Hour)})
				transport := &http.Transport{TLSClientConfig: ann.Client(t), ForceAttemptHTTP2: http2}
				t.Cleanup(transport.CloseIdleConnections)
				c := &http.Client{Transport: transport, Timeout: 30 * time.Second}
				if got := g.do(t, c, "GET", "/api/heart_beat?user_id=ann", ""); got.status != http.StatusOK {
					t.Fatalf("before: %+v", got)
				}
				test.change(t, g, ann)
				if err := g.tls.Reload(); err != nil {
					t.Fatal(err)
				}
				response, err := c.Get(g.url + "/api/heart_beat?user_id=ann")
				if err == nil {
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
				}
				if (err != nil) != test.cutOff {
					t.Errorf("HTTP/2 %t, after: %v; want to be cut off: %t", http2, err, test.cutOff)
				}
			}
		})
	}
}

func TestACutOffIsAudited(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	pair := g.ca.Issue(t, tlstest.Leaf{Name: "ann"})
	c := g.http(t, "ann", false)
	c.Transport.(*http.Transport).TLSClientConfig = pair.Client(t)
	g.do(t, c, "GET", "/", "")
	tlstest.Replace(t, g.file("crl.pem"), g.ca.RevocationList(t, pair.Cert))
	if err := g.tls.Reload(); err != nil {
		t.Fatal(err)
	}
	if response, err := c.Get(g.url + "/"); err == nil {
		_ = response.Body.Close()
		t.Fatal("got an answer")
	}
	entry := g.log.find(t, "the cut off", func(e *logrus.Entry) bool { return e.Data["result"] == "cut_off" })
	if entry.Data["audit"] != "revoked" || entry.Data["serial"] != pair.Cert.SerialNumber.Text(16) || entry.Data["name"] != "ann" ||
		entry.Data["user"] != `"ann"` || entry.Data["request_id"] == nil || entry.Data["seconds"] == nil {
		t.Errorf("got %v", entry.Data)
	}
}

// Aborting the handler ends one stream of an HTTP/2 connection; all of it must go.
func TestACutOffClosesTheConnection(t *testing.T) {
	t.Parallel()
	log, _ := logtest.NewNullLogger()
	api, err := handlers.New(handlers.Options{
		Manager: newMemory(), Identify: identify, Log: log,
		Check: func(*tls.ConnectionState) error { return errors.New("revoked") },
	})
	if err != nil {
		t.Fatal(err)
	}
	far, near := net.Pipe()
	defer far.Close()
	if err := far.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	ann := tlstest.NewAuthority(t, "ca").Issue(t, tlstest.Leaf{Name: "ann"}).Cert
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("recovered %v", p)
			}
		}()
		api.ServeHTTP(httptest.NewRecorder(), as(api.ConnContext(t.Context(), near), ann, "GET", "/"))
	}()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other end reads %v, want EOF", err)
	}
}

func TestARefusedCertificateIsUnreachableToTheClient(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	stranger := tlstest.NewAuthority(t, "stranger").Issue(t, tlstest.Leaf{Name: "ann"})
	_, err := g.clientOf(t, stranger).HeartBeat(t.Context(), "ann")
	if !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// A handler that is served without TLS, by mistake, must not answer anybody.
func TestWithoutAVerifiedCertificateThereIsNoAnswer(t *testing.T) {
	t.Parallel()
	log, _ := logtest.NewNullLogger()
	api := newAPI(t, log, handlers.Options{})
	unverified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{tlstest.NewAuthority(t, "x").Cert}}
	for name, state := range map[string]*tls.ConnectionState{"plain": nil, "no certificate": {}, "unverified": unverified} {
		r := httptest.NewRequest("GET", "/", nil)
		r.TLS = state
		w := httptest.NewRecorder()
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("%s: recovered %v", name, p)
				}
			}()
			api.ServeHTTP(w, r)
		}()
		if w.Body.Len() != 0 {
			t.Errorf("%s: answered %q", name, w.Body)
		}
	}
}

// newAPI makes an API for clients that are told by their certificate's common name.
func newAPI(t testing.TB, log logrus.FieldLogger, o handlers.Options) *handlers.API {
	t.Helper()
	o.Identify, o.Log, o.OldCerts = identify, log, true
	if o.Manager == nil {
		o.Manager = newMemory()
	}
	o.Check = func(*tls.ConnectionState) error { return nil }
	api, err := handlers.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// as is a request by the holder of cert.
func as(ctx context.Context, cert *x509.Certificate, method, target string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, target, nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	return r
}

func TestARefusedHeartBeatIsAnsweredLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _ := logtest.NewNullLogger()
		api := newAPI(t, log, handlers.Options{})
		ann := tlstest.NewAuthority(t, "ca").Issue(t, tlstest.Leaf{Name: "ann"}).Cert
		for target, want := range map[string]time.Duration{
			"/api/heart_beat?user_id=ann": 0,
			"/api/heart_beat?user_id=bob": 2 * time.Second,
			"/api/heart_beat":             2 * time.Second,
			"/api/db?user_id=bob":         0,
		} {
			began := time.Now()
			api.ServeHTTP(httptest.NewRecorder(), as(t.Context(), ann, "GET", target))
			if took := time.Since(began); took != want {
				t.Errorf("%s was answered after %v, want %v", target, took, want)
			}
		}
	})
}

func TestOnlySoManyHeartBeatsAreHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _ := logtest.NewNullLogger()
		api := newAPI(t, log, handlers.Options{Hold: 5 * time.Second, MaxHeld: 2})
		ann := tlstest.NewAuthority(t, "ca").Issue(t, tlstest.Leaf{Name: "ann"}).Cert
		var mu sync.Mutex
		took := map[time.Duration]int{}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				began := time.Now()
				w := httptest.NewRecorder()
				api.ServeHTTP(w, as(t.Context(), ann, "GET", "/api/heart_beat?user_id=bob"))
				if w.Code != http.StatusForbidden {
					t.Errorf("got %d", w.Code)
				}
				mu.Lock()
				defer mu.Unlock()
				took[time.Since(began)]++
			})
		}
		all.Wait()
		if took[0] != 3 || took[5*time.Second] != 2 {
			t.Errorf("answered after %v, want 3 at once and 2 after 5s", took)
		}
	})
}

func TestAClientThatLeavesIsNotHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _ := logtest.NewNullLogger()
		api := newAPI(t, log, handlers.Options{})
		ann := tlstest.NewAuthority(t, "ca").Issue(t, tlstest.Leaf{Name: "ann"}).Cert
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		api.ServeHTTP(httptest.NewRecorder(), as(ctx, ann, "GET", "/api/heart_beat?user_id=bob"))
		if took := time.Since(began); took != time.Second {
			t.Errorf("it was held %v", took)
		}
	})
}

func TestEachRequestHasOneLine(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	ann := g.http(t, "ann", false)
	for _, test := range []struct {
		method, path, body string
		level              logrus.Level
		want               logrus.Fields
	}{
		{"POST", "/api/create_db", `{"user_id":"ann"}`, logrus.InfoLevel,
			logrus.Fields{"audit": "create", "result": "ok", "name": "ann", "user": `"ann"`}},
		{"POST", "/api/create_db", `{"user_id":"bob\nlevel=fatal"}`, logrus.WarnLevel,
			logrus.Fields{"audit": "create", "result": "forbidden", "user": `"bob\nlevel=fatal"`, "status": 403}},
		{"POST", "/api/delete_db", `{"user_id":"ann"}`, logrus.InfoLevel, logrus.Fields{"audit": "delete", "result": "ok"}},
		{"GET", "/api/heart_beat?user_id=ann", "", logrus.DebugLevel, logrus.Fields{"audit": nil, "user": `"ann"`, "route": "/api/heart_beat", "status": 200}},
		{"GET", "/api/heart_beat?user_id=bob", "", logrus.WarnLevel, logrus.Fields{"audit": "refusal", "result": "forbidden", "user": `"bob"`}},
		{"GET", "/api/db?user_id=ann", "", logrus.InfoLevel, logrus.Fields{"audit": nil}},
		{"GET", "/api/list_db", "", logrus.WarnLevel, logrus.Fields{"audit": "refusal", "result": "forbidden"}},
		{"GET", "/nowhere?secret", "", logrus.WarnLevel, logrus.Fields{"audit": "refusal", "result": "not_found", "route": "unknown"}},
	} {
		id := g.do(t, ann, test.method, test.path, test.body).header.Get("X-Request-Id")
		line := g.line(t, id)
		if line.Level != test.level {
			t.Errorf("%s %s: level %v, want %v", test.method, test.path, line.Level, test.level)
		}
		for field, want := range test.want {
			if line.Data[field] != want {
				t.Errorf("%s %s: %s is %v, want %v", test.method, test.path, field, line.Data[field], want)
			}
		}
		if line.Data["serial"] == "" || line.Data["seconds"] == nil {
			t.Errorf("%s %s: %v", test.method, test.path, line.Data)
		}
	}
}

func TestHeartBeatsAreSilentUnlessDebugging(t *testing.T) {
	t.Parallel()
	ann := tlstest.NewAuthority(t, "ca").Issue(t, tlstest.Leaf{Name: "ann"}).Cert
	for level, want := range map[logrus.Level]bool{logrus.InfoLevel: false, logrus.DebugLevel: true} {
		var text bytes.Buffer
		log := logrus.New()
		log.SetOutput(&text)
		log.SetLevel(level)
		for _, l := range []logrus.FieldLogger{log, log.WithField("part", "api")} {
			text.Reset()
			w := httptest.NewRecorder()
			newAPI(t, l, handlers.Options{}).ServeHTTP(w, as(t.Context(), ann, "GET", "/api/heart_beat?user_id=ann"))
			if got := text.Len() > 0; got != want || w.Body.String() != "hello ann" {
				t.Errorf("at level %v: %q", level, text.String())
			}
			if id := w.Header().Get("X-Request-Id"); (id != "") != want {
				t.Errorf("at level %v: X-Request-Id is %q", level, id)
			}
		}
	}
}

// A client that sends no more, but may still listen, must not take nothing for a 200.
func TestAClientThatLeavesGetsNoAnswer(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.fail("ann", errHang)
	for name, sent := range map[string]string{
		"in the body":    "POST /api/create_db HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n{",
		"while it waits": "POST /api/create_db HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{\"user_id\": \"ann\"}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), g.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, sent); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
				t.Errorf("got %q, %v; want the end of the connection", answer, err)
			}
		})
	}
}

func TestAClientThatLeavesIsLogged(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.fail("ann", errHang)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-g.entered
		cancel()
	}()
	if _, err := g.client(t, "ann").CreateDB(ctx, "ann"); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	line := g.log.find(t, "the create", func(e *logrus.Entry) bool { return e.Data["audit"] == "create" })
	if line.Data["result"] != "client_left" || line.Data["user"] != playground.User("ann").String() {
		t.Errorf("got %v", line.Data)
	}
}
