package keytool

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"
)

// Revoked says what Revoke did.
type Revoked struct {
	Name    string   `json:"name"`
	Serials []string `json:"serials"` // hex, of the certificates revoked by this call
	Earlier []string `json:"earlier"` // hex, of those that had been revoked before
	CRL     string   `json:"crl"`     // the revocation list written
	Number  string   `json:"number"`  // the list's number, decimal, one higher each time
}

// Revoke ends every certificate that a client ever got from this authority and
// writes crl.pem, by which a running server knows. Revoking twice is no error.
// The folder stays; a new certificate takes Client with Force. It returns
// ErrUnknown for a client without a certificate, and for "server": clients do
// not ask who revoked a server.
func (s *Store) Revoke(name string) (Revoked, error) {
	if name == serverName {
		return Revoked{}, &Error{
			Err:  fmt.Errorf("%w: the server is no client, and clients do not read revocation lists", ErrUnknown),
			Hint: "if its key is lost to others: keytool init --force, and everything anew",
		}
	}
	if err := checkName(name); err != nil {
		return Revoked{}, err
	}
	unlock, err := s.lock(false)
	if err != nil {
		return Revoked{}, err
	}
	defer unlock()
	ca, err := s.authority()
	if err != nil {
		return Revoked{}, err
	}
	if !ca.signsLists() {
		return Revoked{}, &Error{
			Err:  fmt.Errorf("%s: %w revocation lists: its key usage forbids it", s.path(caCert), ErrBadCA),
			Hint: "have the list made where the authority is kept, and name it to the server by --crl",
		}
	}
	entries, err := s.readIndex()
	if err != nil {
		return Revoked{}, err
	}
	if cert, err := readCert(s.path(clientsDir, name, clientCert)); err == nil && signedBy(cert, ca.cert) {
		entries = adopt(entries, name, cert)
	}
	old, err := s.readList(ca.cert)
	if err != nil {
		return Revoked{}, err
	}
	markRevoked(entries, ca.cert, old)
	done := Revoked{Name: name, Serials: []string{}, Earlier: []string{}, CRL: s.path(crlFile)}
	now := s.now().UTC().Truncate(time.Second)
	issuer := hex.EncodeToString(ca.cert.SubjectKeyId)
	for i, e := range entries {
		switch {
		case e.Name != name || e.Issuer != issuer:
		case e.RevokedAt.IsZero():
			entries[i].RevokedAt = now
			done.Serials = append(done.Serials, e.Serial)
		default:
			done.Earlier = append(done.Earlier, e.Serial)
		}
	}
	if len(done.Serials)+len(done.Earlier) == 0 {
		return Revoked{}, &Error{
			Err:  fmt.Errorf("client %s: %w", name, ErrUnknown),
			Hint: "keytool list shows the clients",
		}
	}
	list, err := ca.revocationList(s.now(), old, entries)
	if err != nil {
		return Revoked{}, err
	}
	// The list first: a certificate is never called revoked that still opens
	// the door. The next list takes over what this one holds.
	if err := replaceFile(file{s.path(crlFile), list, certMode}); err != nil {
		return Revoked{}, err
	}
	done.Number = nextNumber(old).String()
	return done, s.writeIndex(entries)
}

// readList reads the authority's list; nil where there is none. One that cannot
// be read or is of another authority is an error, and stops what goes by it: what
// it holds would be lost.
func (s *Store) readList(ca *x509.Certificate) (*x509.RevocationList, error) {
	data, err := readFile(s.path(crlFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read revocation list: %w", err)
	}
	list, err := parseList(data)
	if err == nil {
		err = list.CheckSignatureFrom(ca)
	}
	if err != nil {
		return nil, &Error{
			Err:  fmt.Errorf("%s: %w: %w", s.path(crlFile), ErrCRL, err),
			Hint: "bring it back from a backup, or move it away: then only what index.json knows is revoked",
		}
	}
	return list, nil
}

// markRevoked writes down in the entries what the authority's list revokes: a
// lost index, one from a backup, or one that a crash kept from being written
// calls it good.
func markRevoked(entries []Entry, ca *x509.Certificate, list *x509.RevocationList) {
	if list == nil {
		return
	}
	at := make(map[string]time.Time)
	for _, r := range list.RevokedCertificateEntries {
		at[r.SerialNumber.Text(16)] = r.RevocationTime.UTC()
	}
	issuer := hex.EncodeToString(ca.SubjectKeyId)
	for i, e := range entries {
		if e.Issuer == issuer && e.RevokedAt.IsZero() {
			entries[i].RevokedAt = at[e.Serial]
		}
	}
}

// revocationList signs the list of all that is revoked: what the old list holds,
// and what the entries say of this authority's certificates. It is valid as long
// as the authority, because it is handed over as a file: a date would only make
// it stop working on a quiet playground.
func (a *authority) revocationList(now time.Time, old *x509.RevocationList, entries []Entry) ([]byte, error) {
	var revoked []x509.RevocationListEntry
	if old != nil {
		revoked = append(revoked, old.RevokedCertificateEntries...)
	}
	for _, e := range a.unlisted(old, entries) {
		serial, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok {
			return nil, fmt.Errorf("%w: serial %q of %s", ErrIndex, e.Serial, e.Name)
		}
		revoked = append(revoked, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: e.RevokedAt})
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		RevokedCertificateEntries: revoked,
		Number:                    nextNumber(old),
		ThisUpdate:                now.UTC().Truncate(time.Second),
		NextUpdate:                a.cert.NotAfter,
	}, a.cert, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: crlType, Bytes: der}), nil
}

// unlisted returns what the entries revoke of this authority's certificates, and
// the list does not.
func (a *authority) unlisted(list *x509.RevocationList, entries []Entry) []Entry {
	listed := make(map[string]bool)
	if list != nil {
		for _, e := range list.RevokedCertificateEntries {
			listed[e.SerialNumber.Text(16)] = true
		}
	}
	issuer := hex.EncodeToString(a.cert.SubjectKeyId)
	var found []Entry
	for _, e := range entries {
		if !e.RevokedAt.IsZero() && e.Issuer == issuer && !listed[e.Serial] {
			listed[e.Serial] = true
			found = append(found, e)
		}
	}
	return found
}

// signsLists reports whether the authority may sign revocation lists; our own
// may, the maintainer's own need not.
func (a *authority) signsLists() bool { return a.cert.KeyUsage&x509.KeyUsageCRLSign != 0 }

// ensureList writes the list of a store that has none, so that a server finds
// one from the first day and sees it change, and the one that lacks what the index
// revokes, such as one from a backup.
func (s *Store) ensureList(ca *authority) error {
	old, err := s.readList(ca.cert)
	if err != nil || !ca.signsLists() {
		return nil // Check tells of an unusable one
	}
	entries, err := s.readIndex()
	if err != nil {
		return err
	}
	if old != nil && len(ca.unlisted(old, entries)) == 0 {
		return nil
	}
	list, err := ca.revocationList(s.now(), old, entries)
	if err != nil {
		return err
	}
	return replaceFile(file{s.path(crlFile), list, certMode})
}

func nextNumber(old *x509.RevocationList) *big.Int {
	if old == nil || old.Number == nil {
		return big.NewInt(1)
	}
	return new(big.Int).Add(old.Number, big.NewInt(1))
}

const crlType = "X509 CRL"

// RevocationList is a revocation list that was signed by an authority the
// server trusts. It never changes, so many goroutines may ask it.
type RevocationList struct {
	ThisUpdate time.Time
	// NextUpdate is when its authority meant to have made a newer one; zero if
	// it did not say. ParseCRL accepts a list past it: old knowledge of
	// revocations is better than none. What to tell of it is the caller's part.
	NextUpdate time.Time

	serials map[string]struct{} // by magnitude, big-endian
}

// ParseCRL reads one revocation list (RFC 5280 section 5), PEM or DER, that one
// of the authorities signed. It returns ErrCRL for anything else: no list or
// several, a signature of nobody in ca, or a critical extension, since a list
// that speaks of only a part of the certificates, or of another authority's,
// cannot be believed without understanding it (RFC 5280 section 5.2).
func ParseCRL(data []byte, ca ...*x509.Certificate) (*RevocationList, error) {
	list, err := parseList(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCRL, err)
	}
	signed := false
	for _, cert := range ca {
		signed = signed || list.CheckSignatureFrom(cert) == nil
	}
	if !signed {
		return nil, fmt.Errorf("%w: not signed by the certificate authority", ErrCRL)
	}
	for _, ext := range list.Extensions {
		if ext.Critical {
			return nil, fmt.Errorf("%w: critical extension %v", ErrCRL, ext.Id)
		}
	}
	l := &RevocationList{
		ThisUpdate: list.ThisUpdate,
		NextUpdate: list.NextUpdate,
		serials:    make(map[string]struct{}, len(list.RevokedCertificateEntries)),
	}
	for _, e := range list.RevokedCertificateEntries {
		for _, ext := range e.Extensions {
			if ext.Critical {
				return nil, fmt.Errorf("%w: critical extension %v of serial %x", ErrCRL, ext.Id, e.SerialNumber)
			}
		}
		l.serials[string(e.SerialNumber.Bytes())] = struct{}{}
	}
	return l, nil
}

// Revoked reports whether the certificate with this serial is revoked. No list,
// a nil one, revokes nothing.
func (l *RevocationList) Revoked(serial *big.Int) bool {
	if l == nil || serial == nil {
		return false
	}
	_, revoked := l.serials[string(serial.Bytes())]
	return revoked
}

// Len returns how many certificates are revoked; 0 for nil.
func (l *RevocationList) Len() int {
	if l == nil {
		return 0
	}
	return len(l.serials)
}

// parseList reads exactly one list, whoever signed it.
func parseList(data []byte) (*x509.RevocationList, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB", maxFile>>20)
	}
	der := data
	if block, rest := pem.Decode(data); block != nil {
		if block.Type != crlType {
			return nil, fmt.Errorf("a PEM block %q instead of a revocation list", block.Type)
		}
		if more, _ := pem.Decode(rest); more != nil {
			return nil, errors.New("more than one PEM block: one list is read")
		}
		der = block.Bytes
	}
	return x509.ParseRevocationList(der)
}
