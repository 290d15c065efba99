package tlsserver_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

func TestWhoGetsIn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	revoked := s.ca.Issue(t, tlstest.Leaf{Name: "revoked"})
	s.write(t, crlFile, s.ca.RevocationList(t, revoked.Cert))
	stranger := tlstest.NewAuthority(t, s.ca.Cert.Subject.CommonName)
	address, _, _ := open(t, s.options())

	none := s.ca.Issue(t, tlstest.Leaf{}).Client(t)
	none.GetClientCertificate = nil
	for _, test := range []struct {
		name   string
		client *tls.Config
		want   bool
	}{
		{"a client of ours", s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t), true},
		{"without a certificate", none, false},
		{"of another authority", stranger.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t, s.ca), false},
		{"expired", s.ca.Issue(t, tlstest.Leaf{Name: "ann", NotAfter: time.Now().Add(-time.Minute)}).Client(t), false},
		{"revoked", revoked.Client(t), false},
		{"with the server's own certificate", s.server.Client(t), false},
	} {
		for version, number := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
			t.Run(test.name+", "+version, func(t *testing.T) {
				t.Parallel()
				config := test.client.Clone()
				config.MinVersion, config.MaxVersion = number, number
				if test.want {
					mustEnter(t, address, config)
				} else {
					mustFail(t, address, config)
				}
			})
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	address, _, _ := open(t, s.options())
	config := s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t)
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	mustFail(t, address, config)
}

func TestPlainHTTPGetsNoAnswer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	address, _, log := open(t, s.options())
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	if len(answer) > 7 { // a TLS alert at most
		t.Errorf("got an answer: %q", answer)
	}
	log.wait(t, "TLS handshake failed")
}

func TestHTTP2IsSpoken(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	address, _, _ := open(t, s.options())
	body, response, err := get(address, s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t), true)
	if err != nil || body != welcome || response.ProtoMajor != 2 {
		t.Errorf("got %q, %v, %v", body, response, err)
	}
}

func TestRefusalsAreAudited(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	revoked := s.ca.Issue(t, tlstest.Leaf{Name: "mallory\nlevel=info"})
	s.write(t, crlFile, s.ca.RevocationList(t, revoked.Cert))
	address, _, log := open(t, s.options())
	mustFail(t, address, revoked.Client(t))
	entry := log.wait(t, "certificate refused")
	for field, want := range map[string]any{
		"audit": "revoked", "serial": revoked.Cert.SerialNumber.Text(16), "name": "mallory\nlevel=info", "error": "the certificate is revoked",
	} {
		if entry.Data[field] != want {
			t.Errorf("%s is %q, want %q", field, entry.Data[field], want)
		}
	}
}

// A session that is resumed skips the verification of the chain, but not ours.
func TestARevokedSessionIsNotResumed(t *testing.T) {
	t.Parallel()
	for version, number := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			address, server, _ := open(t, s.options())
			ann := s.ca.Issue(t, tlstest.Leaf{Name: "ann"})
			config := ann.Client(t)
			config.MaxVersion = number
			// A session is resumed only where the client has its certificate at hand.
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			mustEnter(t, address, config)
			_, response, err := get(address, config, false)
			if err != nil || !response.TLS.DidResume {
				t.Fatalf("the session was not resumed: %v", err)
			}
			s.write(t, crlFile, s.ca.RevocationList(t, ann.Cert))
			if err := server.Reload(); err != nil {
				t.Fatal(err)
			}
			mustFail(t, address, config)
		})
	}
}

func TestAnOpenConnectionIsCheckedAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*testing.T, *store, tlstest.Pair, *clock)
	}{
		{"revoked", func(t *testing.T, s *store, ann tlstest.Pair, _ *clock) {
			s.write(t, crlFile, s.ca.RevocationList(t, ann.Cert))
		}},
		{"expired", func(_ *testing.T, _ *store, ann tlstest.Pair, now *clock) {
			now.set(ann.Cert.NotAfter.Add(time.Second))
		}},
		{"another authority", func(t *testing.T, s *store, _ tlstest.Pair, _ *clock) {
			ca := tlstest.NewAuthority(t, "new CA")
			server := ca.Issue(t, tlstest.Leaf{Name: "server", Server: true})
			s.write(t, caFile, ca.PEM)
			s.write(t, certFile, server.PEM)
			s.write(t, keyFile, server.Key)
			s.write(t, crlFile, ca.RevocationList(t))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			now := &clock{}
			now.set(time.Now())
			o := s.options()
			o.Now = now.get
			server, _ := newServer(t, o)
			inner := listen(t)
			address := inner.Addr().String()
			serveHandler(t, server, inner, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := server.Check(r.TLS); err != nil {
					panic(http.ErrAbortHandler)
				}
				_, _ = io.WriteString(w, welcome)
			}))
			ann := s.ca.Issue(t, tlstest.Leaf{Name: "ann", NotAfter: time.Now().Add(time.Hour)})
			transport := &http.Transport{TLSClientConfig: ann.Client(t)}
			defer transport.CloseIdleConnections()
			if body, _, err := getOver(address, transport); err != nil || body != welcome {
				t.Fatalf("got %q, %v", body, err)
			}
			test.change(t, s, ann, now)
			if err := server.Reload(); err != nil {
				t.Fatal(err)
			}
			if body, _, err := getOver(address, transport); err == nil {
				t.Errorf("got %q on the open connection", body)
			}
		})
	}
}

func TestCheckTellsWhyWithTheCertificate(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	server, _ := newServer(t, s.options())
	err := server.Check(&tls.ConnectionState{})
	refused, ok := errors.AsType[*tlsserver.RefusedError](err)
	if !ok || refused.Cert != nil || refused.Reason != "no client certificate" {
		t.Errorf("got %v", err)
	}
}

func TestASlowClientHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	address, _, _ := open(t, s.options())
	for range 5 {
		conn, err := net.Dial("tcp", address) // and never says a word
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	mustEnter(t, address, s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t))
}

func TestClosingEndsHandshakesInFlight(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	server, _ := newServer(t, s.options())
	listener := server.Listen(listen(t))
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := listener.Close(); err != nil { // waits for all goroutines
		t.Fatal(err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}
