// Package keytool keeps the keys of a playground: a certificate authority of
// its own, the server's certificate, and for every client a folder that the
// maintainer can simply send.
//
// A [Store] is one folder on disk:
//
//	ca/ca.crt  ca/ca.key              the authority (10 years)
//	server/server.crt  server.key     what sqlflow_playground serves with
//	clients/NAME/ca.crt               whom the client trusts
//	clients/NAME/client.crt  .key     whom the client is
//	clients/NAME/sqlflow_playground.env
//	                                  the notebook plugin's environment
//	clients/NAME.tar.gz               that folder, to send
//	crl.pem                           the revoked certificates (RFC 5280)
//	index.json                        every certificate issued so far
//
// Who a client may act for is written in its certificate: [Identify] reads it
// back, [MadeCA] tells whether an authority was made here, and [ParseCRL] reads
// a revocation list. These three are all the server needs of this package.
//
// Nothing is overwritten unless Force is asked for, keys are only ever readable
// by their owner, and two processes may work on one store at a time: one waits
// for the other. Nothing is printed; every method returns what it wrote.
package keytool

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Store is a key store folder. The zero value with Dir set is ready to use, and
// one Store may be used by many goroutines.
type Store struct {
	// Dir is the folder; it need not exist before Init.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Names of the files in a store, relative to Dir.
const (
	caCert     = "ca/ca.crt"
	caKey      = "ca/ca.key"
	serverCert = "server/server.crt"
	serverKey  = "server/server.key"
	clientsDir = "clients"
	crlFile    = "crl.pem"
	indexFile  = "index.json"
	lockFile   = ".lock"
)

// Names of the files in a client's folder, which is also what its archive holds.
const (
	clientCA   = "ca.crt"
	clientCert = "client.crt"
	clientKey  = "client.key"
	clientEnv  = "sqlflow_playground.env"
)

// Issued says what a command wrote.
type Issued struct {
	Name   string   `json:"name"`           // "ca", "server" or the client's name
	Kind   string   `json:"kind"`           // KindCA, KindServer, KindClient or KindGateway
	User   string   `json:"user,omitempty"` // the raw user id a client acts for; empty for the others
	Hosts  []string `json:"hosts,omitempty"`
	Serial string   `json:"serial"` // hex

	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`

	// Files are the paths written, Dir included, in the order of the layout.
	Files []string `json:"files"`
	// Notes are sentences the maintainer should see, for example that the
	// certificate ends early because its authority does.
	Notes []string `json:"notes,omitempty"`
}

// InitOptions are the choices for a new authority.
type InitOptions struct {
	Days  int  // life in days; 0 means 3650
	RSA   bool // RSA 3072 instead of ECDSA P-256
	Force bool // replace an authority, after which every older certificate is worthless
}

// Init makes the authority and an empty revocation list, and with them the
// folder. An authority that is there already is ErrExists unless o.Force: then
// it is replaced, and the list of certificates starts anew with it. The same goes
// for the lists of one whose own files were taken away: only they say whom it
// revoked.
func (s *Store) Init(o InitOptions) (Issued, error) {
	if err := checkDays(o.Days); err != nil {
		return Issued{}, err
	}
	unlock, err := s.lock(true)
	if err != nil {
		return Issued{}, err
	}
	defer unlock()
	if name := s.remains(); name != "" && !o.Force {
		hint := "go on with it, or replace it by init --force; every certificate made so far is worthless then"
		if !exists(s.path(caCert)) {
			hint = "bring back " + s.path(caCert) + " that belongs to it, or start anew by init --force; " +
				"every certificate made so far is worthless then"
		}
		return Issued{}, &Error{Err: fmt.Errorf("%s: %w", s.path(name), ErrExists), Hint: hint}
	}
	ca, err := newAuthority(s.now(), o.Days, o.RSA)
	if err != nil {
		return Issued{}, err
	}
	keyPEM, err := encodeKey(ca.key)
	if err != nil {
		return Issued{}, err
	}
	list, err := ca.revocationList(s.now(), nil, nil)
	if err != nil {
		return Issued{}, err
	}
	if err := mkdirs(s.path("ca"), s.path(clientsDir)); err != nil {
		return Issued{}, err
	}
	files := []file{
		{s.path(caKey), keyPEM, keyMode},
		{s.path(caCert), encodeCert(ca.cert.Raw), certMode},
		{s.path(crlFile), list, certMode},
	}
	// With force, or where there was none, the list and the index may be replaced too.
	if err := writeAll(files[:2], o.Force); err != nil {
		return Issued{}, err
	}
	if err := replaceFile(files[2]); err != nil {
		return Issued{}, err
	}
	entry := entryOf(ca.cert, caName)
	if err := s.writeIndex([]Entry{entry}); err != nil {
		return Issued{}, err
	}
	issued := issuedFrom(entry, ca.cert)
	issued.Files = []string{files[1].path, files[0].path, files[2].path}
	return issued, nil
}

// Exists reports whether the store has an authority, or a part of one: whether
// Init would refuse.
func (s *Store) Exists() bool { return s.remains() != "" }

// remains names a file that Init would overwrite, or is "".
func (s *Store) remains() string {
	for _, name := range []string{caCert, caKey, crlFile, indexFile} {
		if exists(s.path(name)) {
			return name
		}
	}
	return ""
}

// Paths are the files a server is started with.
type Paths struct {
	CACert, ServerCert, ServerKey, CRL string
}

// Paths returns where the server's files are, whether they are there or not.
func (s *Store) Paths() Paths {
	return Paths{
		CACert:     s.path(caCert),
		ServerCert: s.path(serverCert),
		ServerKey:  s.path(serverKey),
		CRL:        s.path(crlFile),
	}
}

// ClientDir returns the folder of a client, whether it is there or not.
func (s *Store) ClientDir(name string) string {
	return s.path(clientsDir, name)
}

// EnvFile returns the notebook's environment file of a client.
func (s *Store) EnvFile(name string) string {
	return s.path(clientsDir, name, clientEnv)
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// authority reads the CA certificate and its key, and makes sure that they
// belong together and may sign: a certificate signed by the wrong key would
// only be noticed by the client it was sent to.
func (s *Store) authority() (*authority, error) {
	cert, err := readCert(s.path(caCert))
	if errors.Is(err, os.ErrNotExist) {
		return nil, s.noCA(s.path(caCert))
	}
	if err != nil {
		return nil, err
	}
	if problem := signingProblem(cert, s.now()); problem != "" {
		return nil, &Error{
			Err:  fmt.Errorf("%s: %w: %s", s.path(caCert), ErrBadCA, problem),
			Hint: "replace it by keytool init --force, then make the server's and every client's certificate anew",
		}
	}
	key, err := readKey(s.path(caKey))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &Error{
			Err:  fmt.Errorf("%s: %w: the key is not here", s.path(caKey), ErrNoCA),
			Hint: "work where the authority's key is kept, or bring it here",
		}
	}
	if err != nil {
		return nil, err
	}
	if !keyMatches(key, cert) {
		return nil, &Error{
			Err:  fmt.Errorf("%s: %w %s", s.path(caKey), ErrKeyMismatch, s.path(caCert)),
			Hint: "bring back the key that belongs to the certificate, or start anew with keytool init --force",
		}
	}
	return &authority{cert: cert, key: key}, nil
}

func (s *Store) noCA(path string) error {
	return &Error{
		Err:  fmt.Errorf("%s: %w", path, ErrNoCA),
		Hint: "make one: sqlflow_playground keytool init --key_store " + s.Dir,
	}
}

func issuedFrom(e Entry, cert *x509.Certificate) Issued {
	return Issued{
		Name: e.Name, Kind: e.Kind, User: e.User, Serial: e.Serial,
		NotBefore: e.NotBefore, NotAfter: e.NotAfter, Hosts: hostsOf(cert),
	}
}
