// Package tlstest makes throwaway authorities, certificates and revocation lists for
// tests, and connections in memory. It stays apart from the key tool on purpose: a
// door is tested with keys that somebody else made.
package tlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	Cert *x509.Certificate
	PEM  []byte
	key  *ecdsa.PrivateKey
}

// Leaf says what a certificate is for. The zero Leaf is a client's, good for a day
// from now. Without NotBefore, it begins a day before NotAfter.
type Leaf struct {
	Name                string
	Server              bool // for localhost, 127.0.0.1 and ::1
	Old                 bool // like gen_cert.sh's: for nothing in particular, and without names of hosts
	NotBefore, NotAfter time.Time
}

// Pair is a certificate with its key.
type Pair struct {
	Cert      *x509.Certificate
	PEM, Key  []byte
	Authority *Authority
}

// NewAuthority makes one that is good for ten years.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	return NewAuthorityUntil(t, name, time.Now().AddDate(10, 0, 0))
}

// NewAuthorityUntil makes one that is good until then.
func NewAuthorityUntil(t testing.TB, name string, notAfter time.Time) *Authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber:          serial(t),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert := sign(t, template, template, key, key)
	return &Authority{Cert: cert, PEM: encode("CERTIFICATE", cert.Raw), key: key}
}

// Issue makes a certificate.
func (a *Authority) Issue(t testing.TB, leaf Leaf) Pair {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t),
		Subject:      pkix.Name{CommonName: leaf.Name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(0, 0, 1),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if leaf.Server {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.DNSNames = []string{"localhost"}
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	if leaf.Old {
		template.ExtKeyUsage, template.DNSNames, template.IPAddresses = nil, nil, nil
	}
	if !leaf.NotAfter.IsZero() {
		template.NotAfter = leaf.NotAfter
		template.NotBefore = leaf.NotAfter.AddDate(0, 0, -1)
	}
	if !leaf.NotBefore.IsZero() {
		template.NotBefore = leaf.NotBefore
	}
	cert := sign(t, template, a.Cert, key, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Pair{Cert: cert, PEM: encode("CERTIFICATE", cert.Raw), Key: encode("PRIVATE KEY", der), Authority: a}
}

// RevocationList makes a list of these certificates, in PEM, that is good for 30 days.
func (a *Authority) RevocationList(t testing.TB, revoked ...*x509.Certificate) []byte {
	t.Helper()
	return a.RevocationListUntil(t, time.Now().AddDate(0, 0, 30), revoked...)
}

// RevocationListUntil makes one that is to be followed by another then.
func (a *Authority) RevocationListUntil(t testing.TB, next time.Time, revoked ...*x509.Certificate) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now(), NextUpdate: next}
	for _, cert := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.Cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("X509 CRL", der)
}

// Revocations are what ParseRevocationList read.
type Revocations struct {
	serials []*big.Int
	next    time.Time
}

// Revoked reports whether serial is on the list.
func (r *Revocations) Revoked(serial *big.Int) bool {
	return slices.ContainsFunc(r.serials, func(n *big.Int) bool { return n.Cmp(serial) == 0 })
}

// NextUpdate is when the list is to be followed by another.
func (r *Revocations) NextUpdate() time.Time { return r.next }

// ParseRevocationList reads what RevocationList wrote.
func ParseRevocationList(list []byte, cas []*x509.Certificate) (*Revocations, error) {
	block, _ := pem.Decode(list)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	parsed, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(cas, func(ca *x509.Certificate) bool { return parsed.CheckSignatureFrom(ca) == nil }) {
		return nil, errors.New("signed by another authority")
	}
	r := &Revocations{next: parsed.NextUpdate}
	for _, entry := range parsed.RevokedCertificateEntries {
		r.serials = append(r.serials, entry.SerialNumber)
	}
	return r, nil
}

// Client is the configuration of a client that shows p and trusts p's authority and
// every other that is named.
func (p Pair) Client(t testing.TB, others ...*Authority) *tls.Config {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	for _, a := range append(others, p.Authority) {
		config.RootCAs.AddCert(a.Cert)
	}
	pair, err := tls.X509KeyPair(p.PEM, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	// Shown whatever the server asks for: a client that is not welcome tries it too.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config
}

// Replace writes a file as careful programs do: beside it, then moved over it.
func Replace(t testing.TB, path string, content []byte) {
	t.Helper()
	beside := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path))
	if err := os.WriteFile(beside, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(beside, path); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sign(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
