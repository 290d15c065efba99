package keytool_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/keytool"
)

// wantProblems compares what Check finds with "path: words" in any order; every
// problem must be wanted, and say what to do.
func wantProblems(t *testing.T, s *keytool.Store, want ...string) {
	t.Helper()
	problems, err := s.Check()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		rel, _ := filepath.Rel(s.Dir, p.Path)
		found := false
		for i, w := range want {
			path, words, _ := strings.Cut(w, ": ")
			if ok, _ := filepath.Match(path, rel); ok && strings.Contains(p.What, words) {
				want = append(want[:i:i], want[i+1:]...)
				found = true
				break
			}
		}
		if !found {
			t.Errorf("unexpected problem: %s: %s", rel, p.What)
		}
		if p.Hint == "" {
			t.Errorf("no advice for %s: %s", rel, p.What)
		}
		if strings.Contains(p.What, s.Dir) {
			t.Errorf("the path is told twice: %s: %s", rel, p.What)
		}
	}
	for _, w := range want {
		t.Errorf("not found: %s", w)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	path := func(s *keytool.Store, name string) string { return filepath.Join(s.Dir, name) }
	for name, tt := range map[string]struct {
		plant func(t *testing.T, s *keytool.Store)
		later time.Duration
		want  []string
	}{
		"nothing": {},
		"no authority": {
			plant: func(t *testing.T, s *keytool.Store) {
				remove(t, path(s, "ca/ca.crt"))
			},
			want: []string{"ca/ca.crt: missing"},
		},
		"no key of the authority": {
			plant: func(t *testing.T, s *keytool.Store) { remove(t, path(s, "ca/ca.key")) },
			want:  []string{"ca/ca.key: missing"},
		},
		"another key of the authority": {
			plant: func(t *testing.T, s *keytool.Store) { copyFile(t, path(s, "server/server.key"), path(s, "ca/ca.key")) },
			want:  []string{"ca/ca.key: does not belong"},
		},
		"an authority that is none": {
			plant: func(t *testing.T, s *keytool.Store) {
				copyFile(t, path(s, "server/server.crt"), path(s, "ca/ca.crt"))
			},
			want: []string{
				"ca/ca.key: does not belong", "ca/ca.crt: no CA extension", "crl.pem: not signed",
				"server/server.crt: not signed", "clients/alice/client.crt: not signed",
			},
		},
		"no server": {
			plant: func(t *testing.T, s *keytool.Store) {
				remove(t, path(s, "server/server.key"))
				remove(t, path(s, "server/server.crt"))
			},
			want: []string{"server/server.key: missing", "server/server.crt: missing"},
		},
		"garbage in the server's files": {
			plant: func(t *testing.T, s *keytool.Store) {
				edit(t, path(s, "server/server.key"), func(string) string { return "SECRET" })
				edit(t, path(s, "server/server.crt"), func(string) string { return "?" })
			},
			want: []string{"server/server.key: no PEM private key", "server/server.crt: no PEM certificate"},
		},
		"a client's certificate for the server": {
			plant: func(t *testing.T, s *keytool.Store) {
				copyFile(t, path(s, "clients/alice/client.crt"), path(s, "server/server.crt"))
				copyFile(t, path(s, "clients/alice/client.key"), path(s, "server/server.key"))
			},
			want: []string{"server/server.crt: names no host", "server/server.crt: not for servers"},
		},
		"keys of two clients changed": {
			plant: func(t *testing.T, s *keytool.Store) {
				copyFile(t, path(s, "server/server.key"), path(s, "clients/alice/client.key"))
			},
			want: []string{"clients/alice/client.key: does not belong", "clients/alice.tar.gz: another client.key"},
		},
		"another authority's everything": {
			plant: func(t *testing.T, s *keytool.Store) { must(t)(s.Init(keytool.InitOptions{Force: true})) },
			want:  []string{"server/server.crt: not signed", "clients/alice/client.crt: not signed"},
		},
		"a half-made folder": {
			plant: func(t *testing.T, s *keytool.Store) {
				for _, f := range []string{"ca.crt", "client.crt", "sqlflow_playground.env"} {
					remove(t, path(s, "clients/alice/"+f))
				}
			},
			want: []string{
				"clients/alice/ca.crt: missing", "clients/alice/client.crt: missing",
				"clients/alice/sqlflow_playground.env: missing",
			},
		},
		"what a killed keytool left": {
			plant: func(t *testing.T, s *keytool.Store) {
				if err := os.Mkdir(path(s, "clients/.tmp-bob-0123"), 0o700); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"clients/.tmp-bob-0123: left half made"},
		},
		"an archive alone": {
			plant: func(t *testing.T, s *keytool.Store) {
				if err := os.Rename(path(s, "clients/alice.tar.gz"), path(s, "clients/bob.tar.gz")); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"clients/alice.tar.gz: missing", "clients/bob.tar.gz: without its folder"},
		},
		"an archive of before": {
			plant: func(t *testing.T, s *keytool.Store) {
				copyFile(t, path(s, "clients/alice.tar.gz"), path(s, "old"))
				must(t)(s.Renew("alice", keytool.RenewOptions{}))
				if err := os.Rename(path(s, "old"), path(s, "clients/alice.tar.gz")); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"clients/alice.tar.gz: another client.crt"},
		},
		"garbage for an archive": {
			plant: func(t *testing.T, s *keytool.Store) {
				edit(t, path(s, "clients/alice.tar.gz"), func(string) string { return "?" })
			},
			want: []string{"clients/alice.tar.gz: unreadable"},
		},
		"another authority for a client": {
			plant: func(t *testing.T, s *keytool.Store) {
				copyFile(t, newStore(t).Paths().CACert, path(s, "clients/alice/ca.crt"))
			},
			want: []string{"clients/alice/ca.crt: not the authority"},
		},
		"readable keys": {
			plant: func(t *testing.T, s *keytool.Store) {
				for _, f := range []string{"ca/ca.key", "server/server.key", "clients/alice/client.key", "clients/alice.tar.gz"} {
					chmod(t, path(s, f), 0o640)
				}
			},
			want: []string{
				"ca/ca.key: others can read (mode 0640)", "server/server.key: others can read",
				"clients/alice/client.key: others can read", "clients/alice.tar.gz: others can read",
			},
		},
		"a folder for all": {
			plant: func(t *testing.T, s *keytool.Store) { chmod(t, path(s, "clients"), 0o777) },
			want:  []string{"clients: others can write into it (mode 0777)"},
		},
		"no revocation list": {
			plant: func(t *testing.T, s *keytool.Store) { remove(t, path(s, "crl.pem")) },
			want:  []string{"crl.pem: missing"},
		},
		"garbage for a revocation list": {
			plant: func(t *testing.T, s *keytool.Store) {
				edit(t, path(s, "crl.pem"), func(string) string { return "?" })
			},
			want: []string{"crl.pem: unusable revocation list"},
		},
		"another authority's revocation list": {
			plant: func(t *testing.T, s *keytool.Store) { copyFile(t, newStore(t).Paths().CRL, path(s, "crl.pem")) },
			want:  []string{"crl.pem: not signed by the certificate authority"},
		},
		"a revocation list of before": {
			plant: func(t *testing.T, s *keytool.Store) {
				copyFile(t, path(s, "crl.pem"), path(s, "old"))
				revoke(t, s, "alice")
				if err := os.Rename(path(s, "old"), path(s, "crl.pem")); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"crl.pem: lacks serial"},
		},
		"garbage for an index": {
			plant: func(t *testing.T, s *keytool.Store) {
				edit(t, path(s, "index.json"), func(string) string { return "{" })
			},
			want: []string{"index.json: unreadable index"},
		},
		"soon over": {
			later: 800 * 24 * time.Hour,
			want:  []string{"server/server.crt: expires on", "clients/alice/client.crt: expires on"},
		},
		"over": {
			later: 826 * 24 * time.Hour,
			want:  []string{"server/server.crt: expired on", "clients/alice/client.crt: expired on"},
		},
		"ten years later": {
			later: 3651 * 24 * time.Hour,
			want: []string{
				"ca/ca.crt: expired on", "crl.pem: expired on",
				"server/server.crt: expired on", "clients/alice/client.crt: expired on",
			},
		},
		"before it began": {
			later: -48 * time.Hour,
			want: []string{
				"ca/ca.crt: not valid before", "server/server.crt: not valid before", "clients/alice/client.crt: not valid before",
			},
		},
		"revoked and over": {
			plant: func(t *testing.T, s *keytool.Store) { revoke(t, s, "alice") },
			later: 826 * 24 * time.Hour,
			want:  []string{"server/server.crt: expired on"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			newClient(t, s, "alice", keytool.ClientOptions{})
			if tt.plant != nil {
				tt.plant(t, s)
			}
			s.Now = func() time.Time { return time.Now().Add(tt.later) }
			wantProblems(t, s, tt.want...)
		})
	}
}

func TestCheckWithoutAStore(t *testing.T) {
	t.Parallel()
	s := &keytool.Store{Dir: filepath.Join(t.TempDir(), "none")}
	if _, err := s.Check(); !errors.Is(err, keytool.ErrNoCA) || keytool.Hint(err) == "" {
		t.Errorf("check of nothing: %v, want ErrNoCA with a hint", err)
	}
	if _, err := s.List(); !errors.Is(err, keytool.ErrNoCA) {
		t.Errorf("list of nothing: %v, want ErrNoCA", err)
	}
	if s.Exists() {
		t.Error("it exists")
	}
}

// Following the advice makes a store whole again.
func TestAdviceHelps(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	remove(t, s.EnvFile("alice"))
	remove(t, s.Paths().CRL)
	remove(t, s.ClientDir("alice")+".tar.gz")
	must(t)(s.Renew("alice", keytool.RenewOptions{}))
	wantProblems(t, s)
}

// It ends nobody's access who was let in again after a revocation.
func TestAdviceForAnOlderListCutsNobodyOff(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	lost := clientCert(t, s, "alice")
	backup := filepath.Join(t.TempDir(), "crl.pem")
	copyFile(t, s.Paths().CRL, backup)
	revoke(t, s, "alice")
	must(t)(s.Client("alice", keytool.ClientOptions{Force: true}))
	copyFile(t, backup, s.Paths().CRL)

	problems, err := s.Check()
	if err != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].Hint, "keytool renew server ") {
		t.Fatalf("%v, %v; want one problem, which a renewal of the server mends", problems, err)
	}
	must(t)(s.Renew("server", keytool.RenewOptions{}))
	wantProblems(t, s)
	if list := parseCRL(t, s); !list.Revoked(lost.SerialNumber) || list.Revoked(clientCert(t, s, "alice").SerialNumber) {
		t.Errorf("revoked: the lost certificate %v, alice's new one %v; want the lost one only",
			list.Revoked(lost.SerialNumber), list.Revoked(clientCert(t, s, "alice").SerialNumber))
	}
}

// Nor does it change who a client acts for, or what the server is called: here
// after a renewal that was stopped between a key and its certificate.
func TestAdviceKeepsWhoAndWhere(t *testing.T) {
	t.Parallel()
	s := &keytool.Store{Dir: t.TempDir()}
	must(t)(s.Init(keytool.InitOptions{}))
	must(t)(s.Server(keytool.ServerOptions{Hosts: []string{"playground.example.com"}}))
	newClient(t, s, "notebook", keytool.ClientOptions{User: "ann@example.org"})
	newClient(t, s, "site", keytool.ClientOptions{Gateway: true})
	copyFile(t, s.Dir+"/ca/ca.key", s.Paths().ServerKey)
	copyFile(t, s.Dir+"/ca/ca.key", s.ClientDir("notebook")+"/client.key")
	remove(t, s.ClientDir("site")+"/client.key")

	problems, err := s.Check()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if name, ok := strings.CutPrefix(p.Hint, "keytool renew "); ok {
			must(t)(s.Renew(name, keytool.RenewOptions{}))
		} else {
			t.Errorf("%s: %s: %s; want a renewal, which keeps what the certificate says", p.Path, p.What, p.Hint)
		}
	}
	wantProblems(t, s)
	if server := readCert(t, s.Paths().ServerCert); server.VerifyHostname("playground.example.com") != nil {
		t.Errorf("the server is called %v", server.DNSNames)
	}
	if id := keytool.Identify(clientCert(t, s, "notebook")); id.User != "ann@example.org" {
		t.Errorf("the notebook acts for %q", id.User)
	}
	if id := keytool.Identify(clientCert(t, s, "site")); id.Kind != keytool.Gateway {
		t.Errorf("the site is a %v", id.Kind)
	}
	revoke(t, s, "site")
	if _, err := s.Renew("site", keytool.RenewOptions{}); !strings.Contains(keytool.Hint(err), "--gateway") {
		t.Errorf("renewing a revoked gateway: %v (%s), want a hint with --gateway", err, keytool.Hint(err))
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func revoke(t *testing.T, s *keytool.Store, name string) keytool.Revoked {
	t.Helper()
	done, err := s.Revoke(name)
	if err != nil {
		t.Fatal(err)
	}
	return done
}
