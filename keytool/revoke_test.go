package keytool_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/keytool"
)

func parseCRL(t *testing.T, s *keytool.Store) *keytool.RevocationList {
	t.Helper()
	data, err := os.ReadFile(s.Paths().CRL)
	if err != nil {
		t.Fatal(err)
	}
	list, err := keytool.ParseCRL(data, readCert(t, s.Paths().CACert))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRevokeEndsEveryCertificateOfAClient(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "bob", keytool.ClientOptions{})
	newClient(t, s, "alice", keytool.ClientOptions{})
	certs := []*x509.Certificate{clientCert(t, s, "alice")}
	must(t)(s.Renew("alice", keytool.RenewOptions{}))
	certs = append(certs, clientCert(t, s, "alice"))
	must(t)(s.Client("alice", keytool.ClientOptions{Force: true}))
	certs = append(certs, clientCert(t, s, "alice"))

	done := revoke(t, s, "alice")
	list := parseCRL(t, s)
	for _, cert := range certs {
		if !list.Revoked(cert.SerialNumber) || !slices.Contains(done.Serials, cert.SerialNumber.Text(16)) {
			t.Errorf("serial %x is not revoked", cert.SerialNumber)
		}
	}
	if list.Len() != 3 || list.Revoked(clientCert(t, s, "bob").SerialNumber) {
		t.Errorf("%d revoked, bob %v", list.Len(), list.Revoked(clientCert(t, s, "bob").SerialNumber))
	}
	if done.Number != "2" || done.CRL != s.Paths().CRL {
		t.Errorf("%+v, want number 2", done)
	}
	again := revoke(t, s, "alice")
	if len(again.Serials) != 0 || len(again.Earlier) != 3 || again.Number != "3" {
		t.Errorf("revoked twice: %+v", again)
	}
	revoke(t, s, "bob")
	if n := parseCRL(t, s).Len(); n != 4 {
		t.Errorf("the list has %d entries, want alice's three and bob's", n)
	}
	wantProblems(t, s)

	if _, err := s.Renew("alice", keytool.RenewOptions{}); !errors.Is(err, keytool.ErrRevoked) || !strings.Contains(keytool.Hint(err), "--force") {
		t.Errorf("renewing a revoked client: %v, want ErrRevoked", err)
	}
	must(t)(s.Client("alice", keytool.ClientOptions{Force: true}))
	if parseCRL(t, s).Revoked(clientCert(t, s, "alice").SerialNumber) {
		t.Error("a client that was let in again is revoked")
	}
}

func TestRevokeRefuses(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, name := range []string{"nobody", "server"} {
		if _, err := s.Revoke(name); !errors.Is(err, keytool.ErrUnknown) || keytool.Hint(err) == "" {
			t.Errorf("revoke %s: %v, want ErrUnknown with a hint", name, err)
		}
	}
	newClient(t, s, "alice", keytool.ClientOptions{})
	edit(t, s.Paths().CRL, func(string) string { return "?" })
	if _, err := s.Revoke("alice"); !errors.Is(err, keytool.ErrCRL) {
		t.Errorf("revoke over a list that cannot be read: %v, want ErrCRL", err)
	}
}

// The list and the folder know what the index lost, or never got to know.
func TestRevokeWithoutIndex(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		lose     func(t *testing.T, index, before string)
		problems []string
	}{
		"moved away": {lose: func(t *testing.T, index, _ string) { remove(t, index) }},
		// From a backup, or after a crash between the list and the index.
		"of before": {
			lose:     func(t *testing.T, index, before string) { copyFile(t, before, index) },
			problems: []string{"index.json: good, which crl.pem revokes"},
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			for _, name := range []string{"alice", "bob"} {
				newClient(t, s, name, keytool.ClientOptions{})
			}
			index, before := filepath.Join(s.Dir, "index.json"), filepath.Join(t.TempDir(), "index.json")
			copyFile(t, index, before)
			revoke(t, s, "alice")
			when := revokedAt(t, s, "alice")
			tt.lose(t, index, before)

			if got := revokedAt(t, s, "alice"); when.IsZero() || !got.Equal(when) || !revokedAt(t, s, "bob").IsZero() {
				t.Errorf("alice, revoked at %v, is listed as revoked at %v, bob at %v", when, got, revokedAt(t, s, "bob"))
			}
			if _, err := s.Renew("alice", keytool.RenewOptions{}); !errors.Is(err, keytool.ErrRevoked) {
				t.Errorf("renewing alice: %v, want ErrRevoked", err)
			}
			wantProblems(t, s, tt.problems...)
			late := &keytool.Store{Dir: s.Dir, Now: func() time.Time { return time.Now().AddDate(0, 0, 826) }}
			wantProblems(t, late, append(tt.problems, "server/server.crt: expired", "clients/bob/client.crt: expired")...)

			must(t)(s.Renew("server", keytool.RenewOptions{})) // as the advice says
			wantProblems(t, s)
			if done := revoke(t, s, "bob"); len(done.Serials) != 1 || len(done.Earlier) != 0 {
				t.Errorf("bob: %+v, want one revoked now", done)
			}
			if done := revoke(t, s, "alice"); len(done.Serials) != 0 || len(done.Earlier) != 1 {
				t.Errorf("alice again: %+v, want one revoked earlier", done)
			}
			list := parseCRL(t, s)
			for _, name := range []string{"alice", "bob"} {
				if !list.Revoked(clientCert(t, s, name).SerialNumber) {
					t.Errorf("%s is not revoked", name)
				}
			}
			if list.Len() != 2 {
				t.Errorf("the list has %d entries, want alice and bob", list.Len())
			}
		})
	}
}

// revokedAt is what List says of the certificate in the client's folder.
func revokedAt(t *testing.T, s *keytool.Store, name string) time.Time {
	t.Helper()
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name == name && e.Current {
			return e.RevokedAt
		}
	}
	t.Fatalf("%s is not listed", name)
	return time.Time{}
}

// Whether a client was revoked cannot be seen in a list that cannot be read.
func TestRenewGoesByTheList(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	edit(t, s.Paths().CRL, func(string) string { return "?" })
	if _, err := s.Renew("alice", keytool.RenewOptions{}); !errors.Is(err, keytool.ErrCRL) || keytool.Hint(err) == "" {
		t.Errorf("renewing over a list that cannot be read: %v, want ErrCRL with a hint", err)
	}
	must(t)(s.Renew("server", keytool.RenewOptions{}))
}

// A server that reads while lists are written finds a whole one every time.
func TestRevocationListIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	ca := readCert(t, s.Paths().CACert)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for reads := 0; ; reads++ {
			data, err := os.ReadFile(s.Paths().CRL)
			if err == nil {
				_, err = keytool.ParseCRL(data, ca)
			}
			if err != nil {
				t.Errorf("read %d: %v", reads, err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 10 {
		revoke(t, s, "alice")
	}
	close(stop)
	wg.Wait()
}

func TestParseCRL(t *testing.T) {
	t.Parallel()
	one, other := newStore(t), newStore(t)
	newClient(t, one, "alice", keytool.ClientOptions{})
	revoke(t, one, "alice")
	text, err := os.ReadFile(one.Paths().CRL)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	ca, otherCA := readCert(t, one.Paths().CACert), readCert(t, other.Paths().CACert)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	serial := clientCert(t, one, "alice").SerialNumber

	for what, data := range map[string][]byte{"PEM": text, "DER": block.Bytes, "text before PEM": append([]byte("# list\n"), text...)} {
		list, err := keytool.ParseCRL(data, otherCA, ca)
		if err != nil || !list.Revoked(serial) || list.Revoked(new(big.Int).Add(serial, big.NewInt(1))) || list.Revoked(nil) {
			t.Errorf("%s: %v, %v", what, list, err)
		}
		if err == nil && (list.ThisUpdate.IsZero() || !list.NextUpdate.Equal(ca.NotAfter)) {
			t.Errorf("%s: from %v to %v", what, list.ThisUpdate, list.NextUpdate)
		}
	}
	for what, tt := range map[string]struct {
		data []byte
		ca   []*x509.Certificate
	}{
		"nothing":           {nil, []*x509.Certificate{ca}},
		"garbage":           {[]byte("?"), []*x509.Certificate{ca}},
		"a certificate":     {certPEM, []*x509.Certificate{ca}},
		"half a list":       {text[:len(text)/2], []*x509.Certificate{ca}},
		"two lists":         {slices.Concat(text, text), []*x509.Certificate{ca}},
		"another authority": {text, []*x509.Certificate{otherCA}},
		"no authority":      {text, nil},
		"a leaf":            {text, []*x509.Certificate{readCert(t, one.Paths().ServerCert)}},
	} {
		if list, err := keytool.ParseCRL(tt.data, tt.ca...); !errors.Is(err, keytool.ErrCRL) || list != nil {
			t.Errorf("%s: %v, %v, want ErrCRL", what, list, err)
		}
	}
	var none *keytool.RevocationList
	if none.Revoked(serial) || none.Len() != 0 {
		t.Error("no list revokes something")
	}
}

// A list for a part of the certificates only says so in a critical extension.
func TestParseCRLRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true, SubjectKeyId: []byte{1}, PublicKey: key.Public(),
		PublicKeyAlgorithm: x509.ECDSA, Version: 3,
	}
	value, _ := asn1.Marshal([]int{})
	critical := []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: value}}
	entry := x509.RevocationListEntry{SerialNumber: big.NewInt(7), RevocationTime: time.Now()}
	part, odd := x509.RevocationList{ExtraExtensions: critical}, entry
	odd.ExtraExtensions = critical
	for what, template := range map[string]*x509.RevocationList{
		"whole list":     {RevokedCertificateEntries: []x509.RevocationListEntry{entry}},
		"part of a list": &part,
		"an odd entry":   {RevokedCertificateEntries: []x509.RevocationListEntry{odd}},
	} {
		template.Number, template.ThisUpdate, template.NextUpdate = big.NewInt(1), time.Now(), time.Now().Add(time.Hour)
		der, err := x509.CreateRevocationList(rand.Reader, template, ca, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keytool.ParseCRL(der, ca); (err == nil) != (what == "whole list") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
