package keytool

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Problem is one thing that is wrong with a store.
type Problem struct {
	Path string `json:"path"` // the file or folder it is about
	What string `json:"what"` // what is wrong, as it follows "PATH: "
	Hint string `json:"hint"` // what to do
}

// soon is how long before its end a certificate is told of, or the last third
// of its life if that is less.
const soon = 30 * 24 * time.Hour

// Check looks for what is wrong: files that are missing or do not belong
// together, certificates that are of another authority, have expired or soon
// will, keys that others can read, an unusable revocation list, client folders
// that are half made. It changes nothing. The error is for a store that cannot
// be looked at; a store without problems returns none.
func (s *Store) Check() ([]Problem, error) {
	info, err := os.Stat(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, s.noCA(s.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("look at key store: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("key store %s: not a folder", s.Dir)
	}
	c := &checker{store: s, now: s.now(), problems: []Problem{}}
	if c.entries, err = s.readIndex(); err != nil {
		c.found(s.path(indexFile), trimPath(err, s.path(indexFile)), Hint(err))
	}
	c.authority()
	c.server()
	c.list()
	names, err := s.clientNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		c.client(name)
	}
	c.leftovers(names)
	c.modes()
	return c.problems, nil
}

// checker collects the problems of one look at a store.
type checker struct {
	store    *Store
	now      time.Time
	ca       *x509.Certificate // nil if it cannot be read
	crl      *RevocationList   // nil if it cannot be believed
	entries  []Entry
	problems []Problem // never nil: JSON shows a list
}

func (c *checker) found(path, what, hint string) {
	c.problems = append(c.problems, Problem{path, what, hint})
}

// cert reads a certificate and tells if it cannot.
func (c *checker) cert(name, hint string) *x509.Certificate {
	path := c.store.path(name)
	cert, err := readCert(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.found(path, "missing", hint)
	case err != nil:
		c.found(path, "unreadable: "+trimPath(err, path), hint)
	}
	return cert
}

// key reads a key and tells if it cannot, or if it is of another certificate.
func (c *checker) key(name string, cert *x509.Certificate, missing, hint string) {
	path := c.store.path(name)
	key, err := readKey(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.found(path, "missing", missing)
	case err != nil:
		c.found(path, "unreadable: "+trimPath(err, path), hint)
	case cert != nil && !keyMatches(key, cert):
		c.found(path, "does not belong to the certificate beside it", hint)
	}
}

func (c *checker) authority() {
	const hint = "bring it back from a backup, or start anew: keytool init --force"
	missing := "make one: keytool init"
	if c.store.Exists() { // init would refuse
		missing = hint
	}
	c.ca = c.cert(caCert, missing)
	c.key(caKey, c.ca, "nothing can be signed here; right if the key is kept elsewhere on purpose", hint)
	if c.ca == nil {
		return
	}
	if problem := signingProblem(c.ca, c.now); problem != "" {
		c.found(c.store.path(caCert), problem, hint)
		return
	}
	c.life(c.store.path(caCert), c.ca, "start anew in time: keytool init --force, then every certificate")
}

// pair checks a leaf with its key against the authority. It returns the leaf if
// it is of use.
func (c *checker) pair(name, certName, keyName string) *x509.Certificate {
	hint := remake(name)
	if !exists(c.store.path(certName)) && !exists(c.store.path(keyName)) && name == serverName {
		hint = "keytool server" // nothing is there to be forced
	}
	cert := c.cert(certName, hint)
	foreign := cert != nil && c.ca != nil && !signedBy(cert, c.ca)
	if cert != nil && !foreign {
		hint = "keytool renew " + name // which takes who and where from the certificate
	}
	c.key(keyName, cert, hint, hint)
	if foreign {
		c.found(c.store.path(certName), "not signed by the authority in "+caCert, hint)
		return nil
	}
	return cert
}

func (c *checker) server() {
	cert := c.pair(serverName, serverCert, serverKey)
	if cert == nil {
		return
	}
	path := c.store.path(serverCert)
	c.life(path, cert, "keytool renew server")
	if len(hostsOf(cert)) == 0 {
		c.found(path, "names no host: clients other than the notebook plugin refuse it", "keytool server --force --host NAME")
	}
	if len(cert.ExtKeyUsage) > 0 && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) &&
		!slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny) {
		c.found(path, "not for servers (extended key usage)", remake(serverName))
	}
}

// life tells of a certificate that has ended, will soon, or has not begun.
func (c *checker) life(path string, cert *x509.Certificate, hint string) {
	warn := min(soon, cert.NotAfter.Sub(cert.NotBefore)/3)
	switch {
	case c.now.After(cert.NotAfter):
		c.found(path, "expired on "+day(cert.NotAfter), hint)
	case c.now.Add(warn).After(cert.NotAfter):
		c.found(path, "expires on "+day(cert.NotAfter), hint)
	case c.now.Before(cert.NotBefore):
		c.found(path, "not valid before "+cert.NotBefore.UTC().Format(time.RFC3339), "is this machine's clock right?")
	}
}

// list checks crl.pem: it must be readable and hold all that was revoked, and
// index.json must know of all that it holds.
func (c *checker) list() {
	path := c.store.path(crlFile)
	const hint = "keytool renew server writes it anew"
	data, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		c.found(path, "missing: a server without it lets revoked certificates in", hint)
		return
	}
	if err != nil {
		c.found(path, trimPath(err, path), "move it away: then "+hint+", from what index.json knows")
		return
	}
	if c.ca == nil {
		return
	}
	c.crl, err = ParseCRL(data, c.ca)
	if err != nil {
		c.found(path, err.Error(), "bring it back from a backup, or move it away: then "+hint+", from what index.json knows")
		return
	}
	if !c.crl.NextUpdate.IsZero() && c.now.After(c.crl.NextUpdate) {
		c.found(path, "expired on "+day(c.crl.NextUpdate), "revoke a client again, and it is written anew")
	}
	issuer := hex.EncodeToString(c.ca.SubjectKeyId)
	for _, e := range c.entries {
		serial, ok := new(big.Int).SetString(e.Serial, 16)
		if !ok || e.Issuer != issuer {
			continue
		}
		switch listed := c.crl.Revoked(serial); {
		case listed && e.RevokedAt.IsZero():
			c.found(c.store.path(indexFile), fmt.Sprintf("calls serial %s of %s good, which %s revokes", e.Serial, e.Name, crlFile),
				"bring back a newer one if there is one; the next certificate made, as by keytool renew server, puts it right")
		case !listed && !e.RevokedAt.IsZero():
			// Not by revoking the client again, who may have been let in again.
			c.found(path, fmt.Sprintf("lacks serial %s of %s, revoked on %s", e.Serial, e.Name, day(e.RevokedAt)), hint)
		}
	}
}

func (c *checker) client(name string) {
	dir := clientsDir + "/" + name
	cert := c.pair(name, dir+"/"+clientCert, dir+"/"+clientKey)
	for _, f := range []string{clientCA, clientEnv} {
		if path := c.store.path(dir, f); !exists(path) {
			c.found(path, "missing", "keytool renew "+name)
		}
	}
	if cert == nil || c.revoked(cert) {
		return
	}
	c.life(c.store.path(dir, clientCert), cert, "keytool renew "+name+", and send the new archive")
	if ca, err := readCert(c.store.path(dir, clientCA)); err == nil && c.ca != nil && !ca.Equal(c.ca) {
		c.found(c.store.path(dir, clientCA), "not the authority in "+caCert, "keytool renew "+name)
	}
	c.archive(name)
}

// archive checks that the archive to send is there and holds the folder's pair.
func (c *checker) archive(name string) {
	path := c.store.ClientDir(name) + archiveSuffix
	hint := "keytool renew " + name
	data, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		c.found(path, "missing", hint)
		return
	}
	for _, f := range []string{clientCert, clientKey} {
		var packed []byte
		if err == nil {
			packed, err = unpackFile(data, name+"/"+f)
		}
		if err != nil {
			c.found(path, "unreadable: "+trimPath(err, path), hint)
			return
		}
		lies, ferr := readFile(c.store.path(clientsDir, name, f))
		if ferr == nil && !bytes.Equal(packed, lies) {
			c.found(path, "holds another "+f+" than the folder", hint)
			return
		}
	}
}

func (c *checker) revoked(cert *x509.Certificate) bool {
	return c.crl.Revoked(cert.SerialNumber) ||
		slices.ContainsFunc(c.entries, func(e Entry) bool { return e.is(cert) && !e.RevokedAt.IsZero() })
}

// leftovers tells of what a process that was killed left behind, and of
// archives without a folder.
func (c *checker) leftovers(names []string) {
	dirs := []string{c.store.Dir, c.store.path("ca"), c.store.path("server"), c.store.path(clientsDir)}
	for _, name := range names {
		dirs = append(dirs, c.store.ClientDir(name))
	}
	for _, dir := range dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // what matters in it was told as missing
		}
		for _, f := range files {
			name, archive := strings.CutSuffix(f.Name(), archiveSuffix)
			switch {
			case strings.HasPrefix(f.Name(), tempPrefix):
				c.found(filepath.Join(dir, f.Name()), "left half made by a keytool that was stopped", "remove it")
			case archive && dir == c.store.path(clientsDir) && !slices.Contains(names, name):
				c.found(filepath.Join(dir, f.Name()), "an archive without its folder", remake(name))
			}
		}
	}
}

// modes walks the store for keys and archives that others can read, and folders
// in which others could put files of their own.
func (c *checker) modes() {
	_ = filepath.WalkDir(c.store.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			c.found(path, "cannot be looked at: "+trimPath(err, path), "run check as the owner of the key store")
			return nil
		}
		info, err := os.Stat(path) // through links, as Kubernetes mounts secrets
		if err != nil {
			return nil // gone since, or a dead link that was told as missing
		}
		secret := strings.HasSuffix(path, ".key") || strings.HasSuffix(path, archiveSuffix)
		switch mode := info.Mode().Perm(); {
		case info.IsDir() && mode&0o022 != 0:
			c.found(path, fmt.Sprintf("others can write into it (mode %04o)", mode), "chmod 700 "+path)
		case info.Mode().IsRegular() && secret && mode&0o077 != 0:
			c.found(path, fmt.Sprintf("a private key that others can read (mode %04o)", mode), "chmod 600 "+path)
		}
		return nil
	})
}

// trimPath takes the path out of an error that a Problem shows beside it.
func trimPath(err error, path string) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == path {
		return e.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), path+": ")
}
