package keytool_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/keytool"
)

func TestLayoutAndModes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	issued := newClient(t, s, "alice", keytool.ClientOptions{})
	want := map[string]fs.FileMode{
		".":                                    0o700,
		".lock":                                0o600,
		"ca":                                   0o700,
		"ca/ca.crt":                            0o644,
		"ca/ca.key":                            0o600,
		"clients":                              0o700,
		"clients/alice":                        0o700,
		"clients/alice.tar.gz":                 0o600,
		"clients/alice/ca.crt":                 0o644,
		"clients/alice/client.crt":             0o644,
		"clients/alice/client.key":             0o600,
		"clients/alice/sqlflow_playground.env": 0o644,
		"crl.pem":                              0o644,
		"index.json":                           0o600,
		"server":                               0o700,
		"server/server.crt":                    0o644,
		"server/server.key":                    0o600,
	}
	got := make(map[string]fs.FileMode)
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(s.Dir, path)
		got[rel] = info.Mode().Perm()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("store holds\n%v, want\n%v", got, want)
	}
	wantFiles := []string{
		"clients/alice/ca.crt", "clients/alice/client.crt", "clients/alice/client.key",
		"clients/alice/sqlflow_playground.env", "clients/alice.tar.gz",
	}
	for i := range wantFiles {
		wantFiles[i] = filepath.Join(s.Dir, wantFiles[i])
	}
	if !slices.Equal(issued.Files, wantFiles) {
		t.Errorf("Client says it wrote %v, want %v", issued.Files, wantFiles)
	}
}

func TestKeysHaveTheKindAskedFor(t *testing.T) {
	t.Parallel()
	s := &keytool.Store{Dir: t.TempDir()}
	must(t)(s.Init(keytool.InitOptions{RSA: true}))
	must(t)(s.Server(keytool.ServerOptions{RSA: true}))
	newClient(t, s, "modern", keytool.ClientOptions{})
	newClient(t, s, "old", keytool.ClientOptions{RSA: true})
	for path, bits := range map[string]int{
		"ca/ca.crt": 3072, "server/server.crt": 2048, "clients/old/client.crt": 2048,
	} {
		key, ok := readCert(t, filepath.Join(s.Dir, path)).PublicKey.(*rsa.PublicKey)
		if !ok || key.N.BitLen() != bits {
			t.Errorf("%s: key %T, want RSA %d", path, key, bits)
		}
	}
	if key, ok := clientCert(t, s, "modern").PublicKey.(*ecdsa.PublicKey); !ok || key.Curve.Params().Name != "P-256" {
		t.Errorf("default key is %T, want ECDSA P-256", key)
	}
	must(t)(s.Renew("old", keytool.RenewOptions{}))
	if cert := clientCert(t, s, "old"); cert.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("renewed RSA client has a %v key", cert.PublicKeyAlgorithm)
	}
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 5, 6, 7, 8, 9, 123, time.UTC)
	s := &keytool.Store{Dir: t.TempDir(), Now: func() time.Time { return now }}
	ca := must(t)(s.Init(keytool.InitOptions{}))
	wantTime(t, "CA starts", ca.NotBefore, time.Date(2030, 5, 6, 6, 8, 9, 0, time.UTC))
	wantTime(t, "CA ends", ca.NotAfter, time.Date(2040, 5, 3, 6, 8, 8, 0, time.UTC))
	server := must(t)(s.Server(keytool.ServerOptions{}))
	wantDays(t, "server", server, 825) // Apple's clients accept no more
	leaf := newClient(t, s, "alice", keytool.ClientOptions{})
	wantDays(t, "client", leaf, 825)
	if len(leaf.Notes) != 1 || !strings.Contains(leaf.Notes[0], "SQLFLOW_SERVER") {
		t.Errorf("notes %q, want the missing SQLFLOW_SERVER only", leaf.Notes)
	}
	week := must(t)(s.Renew("alice", keytool.RenewOptions{Days: 7}))
	wantTime(t, "leaf of a week ends", week.NotAfter, time.Date(2030, 5, 13, 6, 8, 8, 0, time.UTC))
	wantDays(t, "week", week, 7)

	now = ca.NotAfter.Add(-48 * time.Hour)
	late := must(t)(s.Renew("alice", keytool.RenewOptions{}))
	wantTime(t, "a late leaf ends", late.NotAfter, ca.NotAfter)
	if len(late.Notes) != 1 || !strings.Contains(late.Notes[0], "2040-05-03") {
		t.Errorf("notes %q, want one that names 2040-05-03", late.Notes)
	}
	now = ca.NotAfter.Add(time.Second)
	if _, err := s.Renew("alice", keytool.RenewOptions{}); !errors.Is(err, keytool.ErrBadCA) {
		t.Errorf("signing with an expired authority: %v, want ErrBadCA", err)
	}
}

// A second that passes while a certificate is made is no reason for a note.
func TestTimePassesWhileACertificateIsMade(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 5, 6, 7, 8, 9, 0, time.UTC)
	s := &keytool.Store{Dir: t.TempDir(), Now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
	must(t)(s.Init(keytool.InitOptions{}))
	if leaf := must(t)(s.Server(keytool.ServerOptions{})); len(leaf.Notes) != 0 {
		t.Errorf("notes %q, want none", leaf.Notes)
	}
}

// wantDays wants a life of so many whole days, its last second included.
func wantDays(t *testing.T, what string, i keytool.Issued, days int) {
	t.Helper()
	if got, want := i.NotAfter.Sub(i.NotBefore)+time.Second, time.Duration(days)*24*time.Hour; got != want {
		t.Errorf("%s lives %v, want %v", what, got, want)
	}
}

func wantTime(t *testing.T, what string, got, want time.Time) {
	t.Helper()
	if !got.Equal(want) {
		t.Errorf("%s at %v, want %v", what, got, want)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	before := snapshot(t, s.Dir)
	for what, run := range map[string]func() error{
		"init":   func() error { _, err := s.Init(keytool.InitOptions{}); return err },
		"server": func() error { _, err := s.Server(keytool.ServerOptions{}); return err },
		"client": func() error { _, err := s.Client("alice", keytool.ClientOptions{}); return err },
	} {
		err := run()
		if !errors.Is(err, keytool.ErrExists) || keytool.Hint(err) == "" {
			t.Errorf("%s over what is there: %v, want ErrExists with a hint", what, err)
		}
	}
	if after := snapshot(t, s.Dir); !maps.Equal(before, after) {
		t.Error("a refused command changed the store")
	}
}

// Where the authority was taken away, its lists are all that knows whom it revoked.
func TestPartOfAnAuthorityIsNotOverwritten(t *testing.T) {
	t.Parallel()
	parts := []string{"ca/ca.crt", "ca/ca.key", "crl.pem", "index.json"}
	for _, left := range parts {
		s := &keytool.Store{Dir: t.TempDir()}
		must(t)(s.Init(keytool.InitOptions{}))
		for _, f := range parts {
			if f != left {
				remove(t, filepath.Join(s.Dir, f))
			}
		}
		before := snapshot(t, s.Dir)
		if !s.Exists() {
			t.Errorf("with %s alone the store does not exist", left)
		}
		if _, err := s.Init(keytool.InitOptions{}); !errors.Is(err, keytool.ErrExists) {
			t.Errorf("init over %s alone: %v, want ErrExists", left, err)
		}
		if after := snapshot(t, s.Dir); !maps.Equal(before, after) {
			t.Errorf("init over %s alone changed the store", left)
		}
		if _, err := s.Client("alice", keytool.ClientOptions{}); !errors.Is(err, keytool.ErrNoCA) {
			t.Errorf("client with %s alone: %v, want ErrNoCA", left, err)
		}
	}
}

func TestForceReplaces(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	oldCA, oldClient := readCert(t, s.Paths().CACert), clientCert(t, s, "alice")

	must(t)(s.Client("alice", keytool.ClientOptions{Force: true, User: "bob"}))
	replaced := clientCert(t, s, "alice")
	if replaced.Equal(oldClient) || keytool.Identify(replaced).User != "bob" {
		t.Errorf("client --force --user bob left %+v", keytool.Identify(replaced))
	}
	must(t)(s.Init(keytool.InitOptions{Force: true}))
	if readCert(t, s.Paths().CACert).Equal(oldCA) {
		t.Error("init --force kept the authority")
	}
	if _, err := s.Renew("alice", keytool.RenewOptions{}); !errors.Is(err, keytool.ErrUnknown) {
		t.Errorf("renewing a client of the replaced authority: %v, want ErrUnknown", err)
	}
	must(t)(s.Server(keytool.ServerOptions{Force: true}))
	must(t)(s.Client("alice", keytool.ClientOptions{Force: true}))
	wantProblems(t, s)
}

func TestRenewKeepsWhoAndWhere(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{User: "アリス@例.jp", ServerURL: "https://p.example.com:1"})
	newClient(t, s, "dsw", keytool.ClientOptions{Gateway: true})
	env := s.EnvFile("alice")
	edit(t, env, func(old string) string { return old + "# my own line\n" })
	for _, name := range []string{"alice", "dsw", "server"} {
		path := filepath.Join(s.ClientDir(name), "client.crt")
		if name == "server" {
			path = s.Paths().ServerCert
		}
		old := readCert(t, path)
		must(t)(s.Renew(name, keytool.RenewOptions{}))
		renewed := readCert(t, path)
		if renewed.Equal(old) || bytes.Equal(renewed.RawSubjectPublicKeyInfo, old.RawSubjectPublicKeyInfo) {
			t.Errorf("%s: certificate or key is the old one", name)
		}
		was, is := keytool.Identify(old), keytool.Identify(renewed)
		was.Serial, is.Serial = "", ""
		if was != is || !slices.Equal(old.DNSNames, renewed.DNSNames) ||
			!slices.EqualFunc(old.IPAddresses, renewed.IPAddresses, net.IP.Equal) {
			t.Errorf("%s was %+v %v, is %+v %v", name, was, old.DNSNames, is, renewed.DNSNames)
		}
	}
	if data, _ := os.ReadFile(env); !strings.HasSuffix(string(data), "# my own line\n") {
		t.Error("renew rewrote the environment file")
	}
	wantProblems(t, s) // the archive was made anew, the revocation list is empty
	if _, err := s.Renew("nobody", keytool.RenewOptions{}); !errors.Is(err, keytool.ErrUnknown) {
		t.Errorf("renewing nobody: %v, want ErrUnknown", err)
	}
}

func TestArchiveHoldsTheFolder(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	z, err := gzip.NewReader(open(t, s.ClientDir("alice")+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	packed := make(map[string]string)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, h.Name)
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if name, file := strings.CutPrefix(h.Name, "alice/"); file && name != "" {
			packed[name] = string(data)
		}
		if strings.HasSuffix(h.Name, ".key") && h.Mode != 0o600 {
			t.Errorf("%s has mode %o in the archive", h.Name, h.Mode)
		}
	}
	want := []string{"alice/", "alice/ca.crt", "alice/client.crt", "alice/client.key", "alice/sqlflow_playground.env"}
	if !slices.Equal(order, want) {
		t.Errorf("archive holds %v, want %v", order, want)
	}
	if !maps.Equal(packed, snapshot(t, s.ClientDir("alice"))) {
		t.Error("archive and folder differ")
	}
}

// Two keytools at once: here goroutines, each with a Store and so a lock of its
// own, as processes have.
func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	names := strings.Fields("a b c d e f g h")
	var wg sync.WaitGroup
	refused := make(chan error, 2*len(names))
	for _, name := range append(names, names...) {
		wg.Go(func() {
			mine := &keytool.Store{Dir: s.Dir}
			if _, err := mine.Client(name, keytool.ClientOptions{}); err != nil {
				refused <- err
			}
		})
	}
	wg.Wait()
	close(refused)
	count := 0
	for err := range refused {
		count++
		if !errors.Is(err, keytool.ErrExists) {
			t.Errorf("refused with %v, want ErrExists", err)
		}
	}
	if count != len(names) {
		t.Errorf("%d of %d calls were refused, want one for each name", count, 2*len(names))
	}
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2+len(names) {
		t.Errorf("%d certificates in the index, want %d", len(entries), 2+len(names))
	}
	wantProblems(t, s)
}

func TestList(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &keytool.Store{Dir: t.TempDir(), Now: func() time.Time { return now }}
	must(t)(s.Init(keytool.InitOptions{}))
	newClient(t, s, "zoe", keytool.ClientOptions{Gateway: true})
	newClient(t, s, "alice", keytool.ClientOptions{User: "alice@x.org"})
	must(t)(s.Server(keytool.ServerOptions{}))
	now = now.AddDate(0, 1, 0)
	must(t)(s.Renew("alice", keytool.RenewOptions{}))
	for _, lost := range []bool{false, true} {
		want := []string{
			"ca ca  current", "server server  current", "client alice alice@x.org ",
			"client alice alice@x.org current", "gateway zoe  current",
		}
		if lost { // without the index, what the folders hold is still known
			remove(t, filepath.Join(s.Dir, "index.json"))
			want = slices.Delete(want, 2, 3)
		}
		entries, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			current := ""
			if e.Current {
				current = "current"
			}
			got = append(got, strings.Join([]string{e.Kind, e.Name, e.User, current}, " "))
			if e.Name != "alice" {
				continue
			}
			if cert := clientCert(t, s, "alice"); e.Current && (e.Serial != cert.SerialNumber.Text(16) || !e.NotAfter.Equal(cert.NotAfter)) {
				t.Errorf("alice is listed as %+v, her certificate has serial %x", e, cert.SerialNumber)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("index lost %v: listed\n%q, want\n%q", lost, got, want)
		}
	}
}
