package tlsserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	caFile   = "ca.crt"
	certFile = "server.crt"
	keyFile  = "server.key"
	crlFile  = "crl.pem"
)

// store is a folder with the files that a server needs.
type store struct {
	dir    string
	ca     *tlstest.Authority
	server tlstest.Pair
}

func newStore(t testing.TB) *store {
	t.Helper()
	s := &store{dir: t.TempDir(), ca: tlstest.NewAuthority(t, "playground CA")}
	s.server = s.ca.Issue(t, tlstest.Leaf{Name: "server", Server: true})
	s.write(t, caFile, s.ca.PEM)
	s.write(t, certFile, s.server.PEM)
	s.write(t, keyFile, s.server.Key)
	s.write(t, crlFile, s.ca.RevocationList(t))
	return s
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *store) write(t testing.TB, name string, content []byte) {
	t.Helper()
	tlstest.Replace(t, s.path(name), content)
}

func (s *store) options() tlsserver.Options {
	log, _ := logtest.NewNullLogger()
	return tlsserver.Options{
		CAFile: s.path(caFile), CertFile: s.path(certFile), KeyFile: s.path(keyFile), CRLFile: s.path(crlFile),
		ParseCRL: func(list []byte, cas []*x509.Certificate) (tlsserver.Revocations, error) {
			return tlstest.ParseRevocationList(list, cas)
		},
		HoldRefused: time.Nanosecond,
		Log:         log,
	}
}

// newServer makes a Server whose log entries arrive on the channel.
func newServer(t testing.TB, o tlsserver.Options) (*tlsserver.Server, entries) {
	t.Helper()
	log, _ := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	logged := make(entries, 1000)
	log.AddHook(logged)
	o.Log = log
	server, err := tlsserver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return server, logged
}

// entries is a log whose lines a test can wait for.
type entries chan *logrus.Entry

func (e entries) Levels() []logrus.Level { return logrus.AllLevels }
func (e entries) Fire(entry *logrus.Entry) error {
	e <- entry
	return nil
}

// wait returns the next entry with this message.
func (e entries) wait(t testing.TB, message string) *logrus.Entry {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case entry := <-e:
			if entry.Message == message {
				return entry
			}
		case <-limit:
			t.Fatalf("%q was never logged", message)
		}
	}
}

const welcome = "welcome"

// serve answers welcome to all who get in, until the test ends.
func serve(t testing.TB, server *tlsserver.Server, inner net.Listener) {
	t.Helper()
	serveHandler(t, server, inner, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, welcome)
	}))
}

func serveHandler(t testing.TB, server *tlsserver.Server, inner net.Listener, handler http.Handler) {
	t.Helper()
	h := server.NewHTTPServer(handler, time.Second)
	listener := server.Listen(inner)
	done := make(chan error, 1)
	go func() { done <- h.Serve(listener) }()
	t.Cleanup(func() {
		_ = h.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		_ = listener.Close()
	})
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// open serves s's files on a loopback port.
func open(t testing.TB, o tlsserver.Options) (address string, server *tlsserver.Server, log entries) {
	t.Helper()
	server, log = newServer(t, o)
	inner := listen(t)
	serve(t, server, inner)
	return inner.Addr().String(), server, log
}

// get asks once, on a connection of its own.
func get(address string, config *tls.Config, http2 bool) (string, *http.Response, error) {
	transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: http2}
	defer transport.CloseIdleConnections()
	return getOver(address, transport)
}

func getOver(address string, transport http.RoundTripper) (string, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/", nil)
	if err != nil {
		return "", nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), response, err
}

// mustEnter fails the test unless the client is let in.
func mustEnter(t testing.TB, address string, config *tls.Config) {
	t.Helper()
	body, _, err := get(address, config, false)
	if err != nil || body != welcome {
		t.Fatalf("got %q, %v; want to be let in", body, err)
	}
}

// mustFail fails the test if the client gets any answer.
func mustFail(t testing.TB, address string, config *tls.Config) {
	t.Helper()
	if body, response, err := get(address, config, false); err == nil {
		t.Fatalf("got %s %q; want no answer", response.Status, body)
	} else if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v; want to be refused", err)
	}
}
