package tlsserver_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

// say sends text over TLS in pieces, and returns the status and body of the answer.
func say(t *testing.T, address string, config *tls.Config, pieces ...string) (int, string) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, piece := range pieces {
		if _, err := io.WriteString(conn, piece); err != nil {
			t.Fatal(err)
		}
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, ""
		}
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestAQueryThatWasNotEscapedIsUnderstood(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	server, _ := newServer(t, s.options())
	inner := listen(t)
	serveHandler(t, server, inner, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Query().Get("user_id")+" of "+r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	config := s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t)
	const rest = " HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for _, test := range []struct {
		pieces []string
		status int
		body   string
	}{
		{[]string{"GET /?user_id=ann" + rest}, 200, "ann of ann"},
		{[]string{"GET /?user_id=Ann Lee" + rest}, 200, "Ann Lee of ann"},
		{strings.Split("GET /?user_id=Ann Lee"+rest, ""), 200, "Ann Lee of ann"},
		{[]string{"GET /?user_id=" + strings.Repeat("x ", 600) + rest}, 200, strings.Repeat("x ", 600) + " of ann"},
		{[]string{"POST /?user_id=Ann Lee HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"}, 400, "400 Bad Request"},
		{[]string{"GET /" + strings.Repeat("x", 100_000) + rest}, 431, "431 Request Header Fields Too Large"},
	} {
		status, body := say(t, inner.Addr().String(), config, test.pieces...)
		if status != test.status || body != test.body {
			t.Errorf("%.60q: %d %q, want %d %q", test.pieces, status, body, test.status, test.body)
		}
	}
}

// A client that never ends its line is cut off by the server's time-outs.
func TestALineWithoutAnEndIsBoundedInTime(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	server, _ := newServer(t, s.options())
	inner := listen(t)
	h := server.NewHTTPServer(http.NotFoundHandler(), time.Second)
	h.ReadHeaderTimeout = 50 * time.Millisecond
	listener := server.Listen(inner)
	done := make(chan error, 1)
	go func() { done <- h.Serve(listener) }()
	t.Cleanup(func() {
		_ = h.Close()
		<-done
	})
	conn, err := tls.Dial("tcp", inner.Addr().String(), s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /?user_id="); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("it was not cut off: %v", err)
	}
}
