package keytool

import (
	"cmp"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// The kinds of certificate in a store.
const (
	KindCA      = "ca"
	KindServer  = "server"
	KindClient  = "client"
	KindGateway = "gateway"
)

// Names that the store takes for itself, and that no client may have.
const (
	caName     = "ca"
	serverName = "server"
)

// Entry is one certificate that the store issued, or that lies in one of its
// folders.
type Entry struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`           // KindCA, KindServer, KindClient or KindGateway
	User      string    `json:"user,omitempty"` // the raw user id, of a KindClient
	Serial    string    `json:"serial"`         // hex
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	// RevokedAt is zero for a certificate that was not revoked.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	// Issuer is the hex key id of the authority that signed it.
	Issuer string `json:"issuer"`
	// Current is set by List for the certificate that lies in the folder now;
	// the others were renewed or replaced, and count until they expire.
	Current bool `json:"current,omitempty"`
	// Orphan is set by List for a certificate of an earlier authority, which a server
	// with today's does not accept.
	Orphan bool `json:"orphan,omitempty"`
}

// index is the content of index.json.
type index struct {
	Version      int     `json:"version"`
	Certificates []Entry `json:"certificates"`
}

const indexVersion = 1

// readIndex returns no entries where there is no index, as in a store whose
// files were brought from elsewhere.
func (s *Store) readIndex() ([]Entry, error) {
	path := s.path(indexFile)
	data, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	var idx index
	if err := json.Unmarshal(data, &idx); err != nil {
		return nil, s.indexError(err)
	}
	if idx.Version != indexVersion {
		return nil, s.indexError(fmt.Errorf("version %d, not %d", idx.Version, indexVersion))
	}
	return idx.Certificates, nil
}

// indexError advises to remove the index only because nothing is lost with it
// but the list of replaced certificates: the folders and crl.pem hold the rest.
func (s *Store) indexError(cause error) error {
	return &Error{
		Err: fmt.Errorf("%s: %w: %w", s.path(indexFile), ErrIndex, cause),
		Hint: "bring it back from a backup, or move it away: " +
			"then only the certificates in the folders and in crl.pem are known",
	}
}

func (s *Store) writeIndex(entries []Entry) error {
	for i := range entries {
		entries[i].Current, entries[i].Orphan = false, false
	}
	data, err := json.MarshalIndent(index{Version: indexVersion, Certificates: entries}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode index: %w", err)
	}
	return replaceFile(file{s.path(indexFile), append(data, '\n'), keyMode})
}

// record adds a certificate to the index. It comes before the certificate is
// written, so that no crash leaves one that revoke would not know.
func (s *Store) record(entry Entry, ca *authority) error {
	entries, err := s.readIndex()
	if err != nil {
		return err
	}
	if list, err := s.readList(ca.cert); err == nil { // Check tells of an unusable one
		markRevoked(entries, ca.cert, list)
	}
	return s.writeIndex(append(entries, entry))
}

// List returns every certificate of the store: the authority's, the server's,
// then the clients' by name, each from the oldest to the newest. What crl.pem
// revokes is revoked, whatever index.json says.
func (s *Store) List() ([]Entry, error) {
	if !exists(s.Dir) {
		return nil, s.noCA(s.Dir)
	}
	entries, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	current, err := s.folderCerts()
	if err != nil {
		return nil, err
	}
	if entries == nil {
		entries = []Entry{} // JSON shows a list
	}
	for name, cert := range current {
		entries = adopt(entries, name, cert)
	}
	ca := current[caName]
	if ca != nil {
		if list, err := s.readList(ca); err == nil { // Check tells of an unusable one
			markRevoked(entries, ca, list)
		}
	}
	for i, e := range entries {
		cert, ok := current[e.Name]
		entries[i].Current = ok && e.is(cert)
		entries[i].Orphan = ca != nil && e.Kind != KindCA && e.Issuer != "" && e.Issuer != hex.EncodeToString(ca.SubjectKeyId)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			cmp.Compare(a.Name, b.Name),
			a.NotBefore.Compare(b.NotBefore),
		)
	})
	return entries, nil
}

func rank(e Entry) int {
	switch e.Kind {
	case KindCA:
		return 0
	case KindServer:
		return 1
	default:
		return 2
	}
}

// folderCerts reads the certificate in each folder, by name. Those that are
// missing or unreadable are left out: Check tells of them.
func (s *Store) folderCerts() (map[string]*x509.Certificate, error) {
	certs := make(map[string]*x509.Certificate)
	take := func(name, path string) {
		if cert, err := readCert(path); err == nil {
			certs[name] = cert
		}
	}
	take(caName, s.path(caCert))
	take(serverName, s.path(serverCert))
	names, err := s.clientNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		take(name, s.path(clientsDir, name, clientCert))
	}
	return certs, nil
}

// clientNames returns the folders that can be a client's, sorted.
func (s *Store) clientNames() ([]string, error) {
	dirs, err := os.ReadDir(s.path(clientsDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read clients: %w", err)
	}
	var names []string
	for _, dir := range dirs {
		if dir.IsDir() && checkName(dir.Name()) == nil {
			names = append(names, dir.Name())
		}
	}
	return names, nil
}

// adopt adds a certificate from a folder unless the index knows it.
func adopt(entries []Entry, name string, cert *x509.Certificate) []Entry {
	for _, e := range entries {
		if e.Name == name && e.is(cert) {
			return entries
		}
	}
	return append(entries, entryOf(cert, name))
}

func (e Entry) is(cert *x509.Certificate) bool {
	return e.Serial == serialHex(cert) && e.Issuer == hex.EncodeToString(cert.AuthorityKeyId)
}

// entryOf describes a certificate under the name that the store gives it.
func entryOf(cert *x509.Certificate, name string) Entry {
	e := Entry{
		Name:      name,
		Serial:    serialHex(cert),
		NotBefore: cert.NotBefore.UTC(),
		NotAfter:  cert.NotAfter.UTC(),
		Issuer:    hex.EncodeToString(cert.AuthorityKeyId),
	}
	switch name {
	case caName:
		e.Kind = KindCA
	case serverName:
		e.Kind = KindServer
	default:
		e.Kind = KindClient
		id := Identify(cert)
		e.User = id.User
		if id.Kind == Gateway {
			e.Kind = KindGateway
		}
	}
	return e
}
