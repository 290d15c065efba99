package keytool_test

import (
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"sqlflow.org/sqlflow_playground/keytool"
)

// newStore returns a store with an authority and a server, at a fixed time.
func newStore(t *testing.T) *keytool.Store {
	t.Helper()
	s := &keytool.Store{Dir: filepath.Join(t.TempDir(), "key_store")}
	must(t)(s.Init(keytool.InitOptions{}))
	must(t)(s.Server(keytool.ServerOptions{Hosts: []string{"localhost", "127.0.0.1"}}))
	return s
}

// must fails the test where a command of the store fails.
func must(t *testing.T) func(keytool.Issued, error) keytool.Issued {
	t.Helper()
	return func(i keytool.Issued, err error) keytool.Issued {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
}

func newClient(t *testing.T, s *keytool.Store, name string, o keytool.ClientOptions) keytool.Issued {
	t.Helper()
	return must(t)(s.Client(name, o))
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("%s: no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func clientCert(t *testing.T, s *keytool.Store, name string) *x509.Certificate {
	t.Helper()
	return readCert(t, filepath.Join(s.ClientDir(name), "client.crt"))
}

// snapshot maps each file of a folder to its content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, path string, change func(string) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(change(string(data))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
