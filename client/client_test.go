package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers in memory, over mutual TLS, until the test ends.
type server struct {
	*tlstest.Memory
	ca *tlstest.Authority
}

func newServer(t *testing.T, handler http.HandlerFunc) *server {
	t.Helper()
	ca := tlstest.NewAuthority(t, "CA")
	return newServerOf(t, ca, ca.Issue(t, tlstest.Leaf{Name: "server", Server: true}), handler)
}

func newServerOf(t *testing.T, ca *tlstest.Authority, pair tlstest.Pair, handler http.HandlerFunc) *server {
	t.Helper()
	s := &server{Memory: tlstest.NewMemory(), ca: ca}
	cert, err := tls.X509KeyPair(pair.PEM, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(ca.Cert)
	h := &http.Server{
		Handler: handler,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	done := make(chan error, 1)
	go func() { done <- h.ServeTLS(s, "", "") }()
	t.Cleanup(func() {
		_ = h.Close()
		<-done
	})
	return s
}

func (s *server) options(t *testing.T) client.Options {
	t.Helper()
	pair := s.ca.Issue(t, tlstest.Leaf{Name: "ann"})
	return client.Options{URL: "https://localhost:50052", CA: s.ca.PEM, Cert: pair.PEM, Key: pair.Key, Dial: s.Dial}
}

func newClient(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// refuseTimes refuses the first answers of create_db, each asking for a wait.
func refuseTimes(status int, retryAfter ...string) (http.HandlerFunc, *[]time.Time) {
	var came []time.Time
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/api/create_db" || string(body) != `{"user_id":"ann"}` {
			http.Error(w, "unexpected request", http.StatusTeapot)
			return
		}
		came = append(came, time.Now())
		if n := len(came); n <= len(retryAfter) {
			if retryAfter[n-1] != "" {
				w.Header().Set("Retry-After", retryAfter[n-1])
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"code":"still_creating","message":"refusal %d","request_id":"id-%d"}}`, n, n)
			return
		}
		_, _ = io.WriteString(w, `{"data_source":"mysql://it"}`)
	}, &came
}

func TestACreateIsRepeatedAsTheServerAsks(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			handler, came := refuseTimes(status, "7", "1", "0", "soon")
			s := newServer(t, handler)
			o := s.options(t)
			var told []string
			o.OnWait = func(reason string, wait time.Duration) { told = append(told, fmt.Sprint(reason, " ", wait)) }
			began := time.Now()
			source, err := newClient(t, o).CreateDB(t.Context(), "ann")
			if err != nil || source != "mysql://it" {
				t.Fatalf("got %q, %v", source, err)
			}
			var at []time.Duration
			for _, when := range *came {
				at = append(at, when.Sub(began))
			}
			s1 := time.Second
			if want := []time.Duration{0, 7 * s1, 8 * s1, 9 * s1, 10 * s1}; !slices.Equal(at, want) {
				t.Errorf("asked at %v, want %v", at, want)
			}
			if want := []string{"refusal 1 7s", "refusal 2 1s", "refusal 3 1s", "refusal 4 1s"}; !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	}
}

func TestWhatIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		status     int
		retryAfter string
	}{
		{"refused for good", http.StatusForbidden, "1"},
		{"cannot start", http.StatusBadGateway, "1"},
		{"a fault", http.StatusInternalServerError, "1"},
		{"not asked to", http.StatusServiceUnavailable, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			handler, came := refuseTimes(test.status, test.retryAfter)
			_, err := newClient(t, newServer(t, handler).options(t)).CreateDB(t.Context(), "ann")
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Status != test.status || e.Code != "still_creating" || e.Message != "refusal 1" || e.RequestID != "id-1" {
				t.Errorf("%s: got %v", test.name, err)
			}
			if len(*came) != 1 {
				t.Errorf("%s: asked %d times", test.name, len(*came))
			}
		})
	}
}

func TestOnlyCreatesAreRepeated(t *testing.T) {
	t.Parallel()
	asked := 0
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c := newClient(t, s.options(t))
	_, beat := c.HeartBeat(t.Context(), "ann")
	_, db := c.DB(t.Context(), "ann")
	_, list := c.ListDB(t.Context())
	for _, err := range []error{beat, db, list, c.DeleteDB(t.Context(), "ann", false)} {
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != 503 || e.RetryAfter != time.Second {
			t.Errorf("got %v", err)
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times, want 4", asked)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	forever := slices.Repeat([]string{"10"}, 100)
	synctest.Test(t, func(t *testing.T) {
		handler, came := refuseTimes(503, forever...)
		o := newServer(t, handler).options(t)
		o.MaxWait = 35 * time.Second
		began := time.Now()
		_, err := newClient(t, o).CreateDB(t.Context(), "ann")
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Message != "refusal 4" || time.Since(began) != 30*time.Second {
			t.Errorf("MaxWait: got %v after %v and %d attempts", err, time.Since(began), len(*came))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		handler, _ := refuseTimes(503, forever...)
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		began := time.Now()
		_, err := newClient(t, newServer(t, handler).options(t)).CreateDB(ctx, "ann")
		e, ok := errors.AsType[*client.Error](err)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, client.ErrUnreachable) || !ok || e.Message != "refusal 3" {
			t.Errorf("context: got %v", err)
		}
		if took := time.Since(began); took != 25*time.Second {
			t.Errorf("context: it took %v", took)
		}
	})
}

func TestAnAttemptIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
			// A server notices that its client left once it read all of the request.
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		began := time.Now()
		_, err := newClient(t, s.options(t)).CreateDB(t.Context(), "ann")
		if took := time.Since(began); !errors.Is(err, client.ErrUnreachable) || took != time.Minute {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	o := s.options(t)
	o.Dial = nil
	// TCP port 1 of the loopback has no server.
	o.URL = "https://127.0.0.1:1"
	c := newClient(t, o)
	_, create := c.CreateDB(t.Context(), "ann")
	_, beat := c.HeartBeat(t.Context(), "ann")
	for _, err := range []error{create, beat, c.DeleteDB(t.Context(), "ann", false)} {
		if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAnswersOfSomethingElse(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"<html>":                      `HTTP status 404: "<html>"`,
		"":                            "HTTP status 404",
		"\xff\xfe":                    "HTTP status 404",
		`{"error":"nope"}`:            `HTTP status 404: "{\"error\":\"nope\"}"`,
		"first line\nsecond line":     `HTTP status 404: "first line"`,
		"\x1b[31m red":                `HTTP status 404: "\x1b[31m red"`,
		strings.Repeat("x", 3000):     `HTTP status 404: "` + strings.Repeat("x", 200) + `"`,
		`{"error":{"message":"m"}}`:   `HTTP status 404: "{\"error\":{\"message\":\"m\"}}"`,
		`{"error":{"code":"c"}} more`: `HTTP status 404: "{\"error\":{\"code\":\"c\"}} more"`,
	} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, body)
		})
		_, err := newClient(t, s.options(t)).DB(t.Context(), "ann")
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Error() != want || e.Code != "" {
			t.Errorf("%q: got %v, want %s", body, err, want)
		}
	}
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	if source, err := newClient(t, s.options(t)).CreateDB(t.Context(), "ann"); err == nil {
		t.Errorf("an answer without a data source gave %q", source)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://localhost/api/elsewhere", http.StatusTemporaryRedirect)
	})
	_, err := newClient(t, s.options(t)).HeartBeat(t.Context(), "ann")
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Status != http.StatusTemporaryRedirect {
		t.Errorf("got %v", err)
	}
}

func TestIDsThatJSONCannotSayAreNotSent(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked", r.URL) })
	c := newClient(t, s.options(t))
	if _, err := c.CreateDB(t.Context(), "\xff"); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("create: %v", err)
	}
	if err := c.DeleteDB(t.Context(), "\xff", false); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("delete: %v", err)
	}
}

func TestTheServerIsVerified(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t, "CA")
	server := ca.Issue(t, tlstest.Leaf{Name: "server", Server: true})
	for _, test := range []struct {
		name string
		url  string
		pair tlstest.Pair
		want string // in the error; "": it is trusted
	}{
		{"its name", "https://localhost", server, ""},
		{"its address", "https://127.0.0.1", server, ""},
		{"an old one without names", "https://playground.example", ca.Issue(t, tlstest.Leaf{Name: "server", Old: true}), ""},
		{"an old one of another authority", "https://localhost", tlstest.NewAuthority(t, "CA").Issue(t, tlstest.Leaf{Old: true}), "unknown authority"},
		{"another's name", "https://playground.example", server, "playground.example"},
		{"of another authority", "https://localhost", tlstest.NewAuthority(t, "CA").Issue(t, tlstest.Leaf{Server: true}), "unknown authority"},
		{"expired", "https://localhost", ca.Issue(t, tlstest.Leaf{Server: true, NotAfter: time.Now().Add(-time.Hour)}), "expired"},
		{"a client's", "https://localhost", ca.Issue(t, tlstest.Leaf{Name: "mallory"}), "incompatible key usage"},
	} {
		s := newServerOf(t, ca, test.pair, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
		o := s.options(t)
		o.URL = test.url
		_, err := newClient(t, o).HeartBeat(t.Context(), "ann")
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.want != "" && (!errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	other := s.ca.Issue(t, tlstest.Leaf{Name: "other"})
	for _, test := range []struct {
		name   string
		change func(*client.Options)
		want   string
	}{
		{"no URL", func(o *client.Options) { o.URL = "" }, `it must be like https://`},
		{"plain HTTP", func(o *client.Options) { o.URL = "http://localhost:50052" }, `it must be like https://`},
		{"no scheme", func(o *client.Options) { o.URL = "localhost:50052" }, `it must be like https://`},
		{"no CA", func(o *client.Options) { o.CA = nil }, "the CA certificate is missing"},
		{"bad CA", func(o *client.Options) { o.CA = []byte("garbage") }, "the CA certificate"},
		{"no certificate", func(o *client.Options) { o.Cert = nil }, "the client certificate is missing"},
		{"no key", func(o *client.Options) { o.Key = nil }, "the client key is missing"},
		{"another's key", func(o *client.Options) { o.Key = other.Key }, "do not fit"},
		{"a file that is not there", func(o *client.Options) { o.KeyFile = "no/such/file" }, "cannot read the client key"},
	} {
		o := s.options(t)
		test.change(&o)
		if _, err := client.New(o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
	o := s.options(t)
	o.CAFile = filepath.Join(t.TempDir(), "ca.crt")
	if _, err := client.New(o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestCertificatesComeFromFiles(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello "+r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	o, dir := s.options(t), t.TempDir()
	for name, file := range map[string]struct {
		content []byte
		path    *string
	}{"ca.crt": {o.CA, &o.CAFile}, "client.crt": {o.Cert, &o.CertFile}, "client.key": {o.Key, &o.KeyFile}} {
		*file.path = filepath.Join(dir, name)
		if err := os.WriteFile(*file.path, file.content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.CA, o.Cert, o.Key = nil, nil, nil
	o.URL += "/"
	if greeting, err := newClient(t, o).HeartBeat(t.Context(), "ann"); err != nil || greeting != "hello ann" {
		t.Errorf("got %q, %v", greeting, err)
	}
}

func TestAttemptsAreLoggedAtDebugLevelOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handler, _ := refuseTimes(503, "1")
		o := newServer(t, handler).options(t)
		logger, hook := logtest.NewNullLogger()
		logger.SetLevel(logrus.DebugLevel)
		o.Log = logger
		if _, err := newClient(t, o).CreateDB(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		if len(hook.AllEntries()) == 0 {
			t.Error("nothing was logged")
		}
		for _, entry := range hook.AllEntries() {
			if entry.Level != logrus.DebugLevel || strings.Contains(fmt.Sprint(entry.Data), "mysql://") {
				t.Errorf("%v %v %v", entry.Level, entry.Message, entry.Data)
			}
		}
	})
}
