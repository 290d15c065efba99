package command

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheListIsThatOfTheKeyStore(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"key_store/ca/deep", "key_store/server"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	want := filepath.Join(dir, "key_store/crl.pem")
	for _, test := range []struct{ at, caCrt string }{
		{".", "key_store/ca/ca.crt"},
		{"key_store", "ca/ca.crt"},
		{"key_store/ca", "ca.crt"},
		{"key_store/ca", "./ca.crt"},
		{"key_store/ca/deep", "../ca.crt"},
		{"key_store/server", "../ca/ca.crt"},
		{".", filepath.Join(dir, "key_store/ca/ca.crt")},
	} {
		t.Run(test.caCrt+" at "+test.at, func(t *testing.T) {
			t.Chdir(filepath.Join(dir, test.at))
			s := settings{caCrt: test.caCrt}
			if path, mayLack := s.revocationList(); path != want || !mayLack {
				t.Errorf("got %s, %t, want %s", path, mayLack, want)
			}
		})
	}
	for _, folder := range []string{"key_store/ca", "flat"} { // the list beside the certificate
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, folder, "crl.pem"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{"key_store/ca": want, "flat": filepath.Join(dir, "flat/crl.pem")} {
		t.Run("beside in "+at, func(t *testing.T) {
			t.Chdir(filepath.Join(dir, at))
			s := settings{caCrt: "ca.crt"}
			if path, mayLack := s.revocationList(); path != want || !mayLack {
				t.Errorf("got %s, %t, want %s", path, mayLack, want)
			}
		})
	}
	s := settings{caCrt: "ca.crt", crl: "other.pem"}
	if path, mayLack := s.revocationList(); path != "other.pem" || mayLack {
		t.Errorf("the named one is %s, %t", path, mayLack)
	}
}
