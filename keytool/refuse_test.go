package keytool_test

import (
	"crypto/x509"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/keytool"
)

func TestNames(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	before := snapshot(t, filepath.Dir(s.Dir))
	for _, name := range []string{
		"", ".", "..", "../x", "a/b", "/etc/passwd", `a\b`, "-rf", ".hidden", "a b", "a\nb", "a\x00b", "ключ", "$(reboot)",
		"server", "Server", "ca", "CA", "x.tar.gz", "x.TAR.GZ", "a:b", "a~", "~root", "*", strings.Repeat("a", 65),
	} {
		for what, run := range map[string]func() error{
			"client": func() error { _, err := s.Client(name, keytool.ClientOptions{Force: true}); return err },
			"renew":  func() error { _, err := s.Renew(name, keytool.RenewOptions{}); return err },
			"revoke": func() error { _, err := s.Revoke(name); return err },
		} {
			if name == "server" && what != "client" {
				continue // the server's own name, but for clients
			}
			if err := run(); !errors.Is(err, keytool.ErrName) {
				t.Errorf("%s %q: %v, want ErrName", what, name, err)
			}
		}
	}
	if after := snapshot(t, filepath.Dir(s.Dir)); !maps.Equal(before, after) {
		t.Error("a refused name changed files")
	}
	for _, name := range []string{"a", "Alice", "a.b", "a-b", "a_b", "a+b@x.org", "@", "_", "0", strings.Repeat("a", 64)} {
		if cert := newClientCert(t, s, name); cert.Subject.CommonName != name || keytool.Identify(cert).User != name {
			t.Errorf("%q became %q, user %q", name, cert.Subject.CommonName, keytool.Identify(cert).User)
		}
	}
}

func newClientCert(t *testing.T, s *keytool.Store, name string) *x509.Certificate {
	t.Helper()
	newClient(t, s, name, keytool.ClientOptions{})
	return clientCert(t, s, name)
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for what, run := range map[string]func() error{
		"negative days":    func() error { _, err := s.Client("a", keytool.ClientOptions{Days: -1}); return err },
		"endless":          func() error { _, err := s.Init(keytool.InitOptions{Days: 36501, Force: true}); return err },
		"user and gateway": func() error { _, err := s.Client("a", keytool.ClientOptions{User: "u", Gateway: true}); return err },
		"long user": func() error {
			_, err := s.Client("a", keytool.ClientOptions{User: strings.Repeat("u", 1025)})
			return err
		},
		"user not UTF-8":  func() error { _, err := s.Client("a", keytool.ClientOptions{User: "\xff"}); return err },
		"plain http":      func() error { _, err := s.Client("a", keytool.ClientOptions{ServerURL: "http://h:1"}); return err },
		"path in URL":     func() error { _, err := s.Client("a", keytool.ClientOptions{ServerURL: "https://h/api"}); return err },
		"shell in URL":    func() error { _, err := s.Client("a", keytool.ClientOptions{ServerURL: "https://$(id):1"}); return err },
		"relative folder": func() error { _, err := s.Client("a", keytool.ClientOptions{Folder: "here"}); return err },
		"host with port": func() error {
			_, err := s.Server(keytool.ServerOptions{Hosts: []string{"h:1"}, Force: true})
			return err
		},
		"host as URL": func() error {
			_, err := s.Server(keytool.ServerOptions{Hosts: []string{"https://h"}, Force: true})
			return err
		},
		"empty host": func() error { _, err := s.Server(keytool.ServerOptions{Hosts: []string{""}, Force: true}); return err },
		"wild TLD": func() error {
			_, err := s.Server(keytool.ServerOptions{Hosts: []string{"*.org"}, Force: true})
			return err
		},
		"no folder": func() error { _, err := (&keytool.Store{}).Init(keytool.InitOptions{}); return err },
	} {
		if err := run(); !errors.Is(err, keytool.ErrOption) || keytool.Hint(err) == "" {
			t.Errorf("%s: %v, want ErrOption with a hint", what, err)
		}
	}
	if exists(s.ClientDir("a")) {
		t.Error("a refused client has a folder")
	}
	missing := &keytool.Store{Dir: filepath.Join(t.TempDir(), "misspelt")}
	if _, err := missing.Client("a", keytool.ClientOptions{}); !errors.Is(err, keytool.ErrNoCA) ||
		!strings.Contains(keytool.Hint(err), "keytool init") {
		t.Errorf("a client without a store: %v (%s), want ErrNoCA and how to make one", err, keytool.Hint(err))
	}
	if exists(missing.Dir) {
		t.Error("a misspelt store was made")
	}
}

func TestForeignAuthorities(t *testing.T) {
	t.Parallel()
	one, other := newStore(t), newStore(t)
	copyFile(t, other.Dir+"/ca/ca.key", one.Dir+"/ca/ca.key")
	if _, err := one.Client("alice", keytool.ClientOptions{}); !errors.Is(err, keytool.ErrKeyMismatch) {
		t.Errorf("signing with another authority's key: %v, want ErrKeyMismatch", err)
	}
	copyFile(t, other.Paths().ServerCert, one.Paths().CACert)
	if _, err := one.Client("alice", keytool.ClientOptions{}); !errors.Is(err, keytool.ErrBadCA) {
		t.Errorf("signing with a server's certificate: %v, want ErrBadCA", err)
	}
	if exists(one.ClientDir("alice")) {
		t.Error("a client was written")
	}
}
