package tlsserver_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

func TestFilesThatDoNotFitStopTheStart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		spoil func(*testing.T, *store)
		want  []string // all in the error
	}{
		{"no CA", func(t *testing.T, s *store) { remove(t, s.path(caFile)) }, []string{"cannot read the CA certificate", caFile}},
		{"no certificate", func(t *testing.T, s *store) { remove(t, s.path(certFile)) }, []string{"cannot read the server certificate", certFile}},
		{"no key", func(t *testing.T, s *store) { remove(t, s.path(keyFile)) }, []string{"cannot read the server key", keyFile}},
		{"no list", func(t *testing.T, s *store) { remove(t, s.path(crlFile)) }, []string{"cannot read the revocation list", crlFile}},
		{"CA is a key", func(t *testing.T, s *store) { s.write(t, caFile, s.server.Key) }, []string{caFile, "not a CA certificate", "PRIVATE KEY"}},
		{"CA cut off", func(t *testing.T, s *store) { s.write(t, caFile, s.ca.PEM[:len(s.ca.PEM)-20]) }, []string{caFile, "not a CA certificate", "cut off"}},
		{"second CA cut off", func(t *testing.T, s *store) {
			s.write(t, caFile, append(s.ca.PEM, s.ca.PEM[:len(s.ca.PEM)-20]...))
		}, []string{caFile, "cut off"}},
		{"certificate empty", func(t *testing.T, s *store) { s.write(t, certFile, nil) }, []string{certFile, "not a certificate"}},
		{"key empty", func(t *testing.T, s *store) { s.write(t, keyFile, nil) }, []string{keyFile, "not a private key in PEM"}},
		{"another's key", func(t *testing.T, s *store) {
			s.write(t, keyFile, s.ca.Issue(t, tlstest.Leaf{Name: "other", Server: true}).Key)
		}, []string{keyFile, "does not fit the certificate", certFile}},
		{"another CA", func(t *testing.T, s *store) {
			s.write(t, caFile, tlstest.NewAuthority(t, "other CA").PEM)
		}, []string{caFile, "did not sign the server certificate", certFile}},
		{"another CA of the same name", func(t *testing.T, s *store) {
			s.write(t, caFile, tlstest.NewAuthority(t, s.ca.Cert.Subject.CommonName).PEM)
		}, []string{"did not sign the server certificate"}},
		{"a client's certificate", func(t *testing.T, s *store) {
			client := s.ca.Issue(t, tlstest.Leaf{Name: "ann"})
			s.write(t, certFile, client.PEM)
			s.write(t, keyFile, client.Key)
		}, []string{certFile, "not one for a server"}},
		{"expired", func(t *testing.T, s *store) {
			old := s.ca.Issue(t, tlstest.Leaf{Name: "server", Server: true, NotAfter: time.Now().Add(-time.Hour)})
			s.write(t, certFile, old.PEM)
			s.write(t, keyFile, old.Key)
		}, []string{certFile, "expired on", "keytool renew server"}},
		{"list is garbage", func(t *testing.T, s *store) { s.write(t, crlFile, []byte("garbage")) }, []string{"revocation list", crlFile, "backup"}},
		{"list of another CA", func(t *testing.T, s *store) {
			s.write(t, crlFile, tlstest.NewAuthority(t, "other CA").RevocationList(t))
		}, []string{crlFile, "another authority"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			test.spoil(t, s)
			_, err := tlsserver.New(s.options())
			if err == nil {
				t.Fatal("it started")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if advice := regexp.MustCompile(`--\w+|keytool \w+`); !advice.MatchString(err.Error()) {
				t.Errorf("error %q does not say what to do", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error has several lines: %q", err)
			}
		})
	}
}

func TestAMissingFileCanBeToldFromABadOne(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	remove(t, s.path(keyFile))
	if _, err := tlsserver.New(s.options()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestAnExpiredAuthorityStopsTheStart(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	o := s.options()
	o.Now = func() time.Time { return time.Now().AddDate(20, 0, 0) }
	_, err := tlsserver.New(o)
	if err == nil || !strings.Contains(err.Error(), "the CA certificate") || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsAreNamedWhenTheyAreMissing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"CAFile", "CertFile", "KeyFile", "ParseCRL", "Log"} {
		o := newStore(t).options()
		switch name {
		case "CAFile":
			o.CAFile = ""
		case "CertFile":
			o.CertFile = ""
		case "KeyFile":
			o.KeyFile = ""
		case "ParseCRL":
			o.ParseCRL = nil
		case "Log":
			o.Log = nil
		}
		if _, err := tlsserver.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestStatusTellsWhenCertificatesExpire(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	server, _ := newServer(t, s.options())
	status := server.Status()
	want := []tlsserver.Certificate{{Role: "ca", NotAfter: s.ca.Cert.NotAfter}, {Role: "server", NotAfter: s.server.Cert.NotAfter}}
	if len(status.Certificates) != 2 || status.Certificates[0] != want[0] || status.Certificates[1] != want[1] {
		t.Errorf("got %v, want %v", status.Certificates, want)
	}
	if status.Problem != nil || status.Loaded.IsZero() {
		t.Errorf("got problem %v, loaded %v", status.Problem, status.Loaded)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestEveryTimeOfAClientIsBounded(t *testing.T) {
	t.Parallel()
	made, _ := newServer(t, newStore(t).options())
	s := made.NewHTTPServer(http.NotFoundHandler(), 20*time.Second)
	for what, limit := range map[string]time.Duration{
		"the header": s.ReadHeaderTimeout, "header and body": s.ReadTimeout, "the answer": s.WriteTimeout, "idleness": s.IdleTimeout,
	} {
		if limit <= 0 || limit > 2*time.Minute {
			t.Errorf("%s may take %v", what, limit)
		}
	}
	if s.WriteTimeout < 20*time.Second+s.ReadHeaderTimeout {
		t.Errorf("an answer of 20 s is cut off after %v", s.WriteTimeout)
	}
	if s.MaxHeaderBytes <= 0 || s.MaxHeaderBytes > 64<<10 {
		t.Errorf("a header may have %d bytes", s.MaxHeaderBytes)
	}
}
