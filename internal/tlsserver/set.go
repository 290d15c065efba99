package tlsserver

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// maxFile bounds what is read of one file, in bytes. Revocation lists are the
// largest, at about 40 bytes an entry.
const maxFile = 16 << 20

// files are the contents as they were read at one time.
type files struct{ ca, cert, key, crl []byte }

func (f files) digest() [32]byte {
	h := sha256.New()
	for _, content := range [][]byte{f.ca, f.cert, f.key, f.crl} {
		sum := sha256.Sum256(content)
		h.Write(sum[:])
	}
	return [32]byte(h.Sum(nil))
}

// set is everything that decides who gets in, checked and never changed.
type set struct {
	digest       [32]byte // of all files
	certificates [32]byte // of all but the list
	loaded       time.Time
	cas          []*x509.Certificate
	leaf         *x509.Certificate
	revocations  Revocations // nil: no list
	config       *tls.Config
}

func (s *Server) read() (files, error) {
	var f files
	for _, file := range []struct {
		what, path string
		to         *[]byte
		hint       string
	}{
		{"CA certificate", s.CAFile, &f.ca, "name another by --ca_crt, or make one (keytool init)"},
		{"server certificate", s.CertFile, &f.cert, "name another by --server_crt, or make one (keytool server)"},
		{"server key", s.KeyFile, &f.key, "name another by --server_key, or make one (keytool server)"},
		{"revocation list", s.CRLFile, &f.crl, "name another by --crl, or have the key tool write it anew (keytool renew server)"},
	} {
		if file.path == "" {
			continue
		}
		content, err := readFile(file.path)
		if errors.Is(err, fs.ErrNotExist) && file.to == &f.crl && s.CRLMayLack && !s.hasList() {
			continue
		}
		if err != nil {
			return files{}, fmt.Errorf("cannot read the %s: %w: %s", file.what, err, file.hint)
		}
		*file.to = content
	}
	return f, nil
}

// hasList reports whether there is a revocation list in force.
func (s *Server) hasList() bool {
	now := s.current.Load()
	return now != nil && now.revocations != nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d bytes", maxFile)}
	}
	return content, nil
}

// build checks that the files fit together and makes a set of them. Certificates that are
// in force were checked when they came: one that has expired since keeps no newer list out.
func (s *Server) build(f files) (*set, error) {
	certificates := files{ca: f.ca, cert: f.cert, key: f.key}.digest()
	in := s.current.Load()
	if in == nil || in.certificates != certificates {
		var err error
		if in, err = s.certify(f); err != nil {
			return nil, err
		}
	}
	made := *in
	made.digest, made.certificates, made.loaded, made.revocations = f.digest(), certificates, s.Now(), nil
	if f.crl != nil {
		var err error
		if made.revocations, err = s.ParseCRL(f.crl, made.cas); err != nil {
			return nil, fmt.Errorf("the revocation list %s: %w: bring it back from a backup (keytool check)", s.CRLFile, err)
		}
	}
	return &made, nil
}

// certify is build for the certificates.
func (s *Server) certify(f files) (*set, error) {
	cas, err := parseCertificates(f.ca)
	if err != nil {
		return nil, fmt.Errorf("%s is not a CA certificate in PEM: %w: give --ca_crt the authority's (keytool check)", s.CAFile, err)
	}
	roots := x509.NewCertPool()
	for _, ca := range cas {
		roots.AddCert(ca)
	}
	pair, err := s.keyPair(f)
	if err != nil {
		return nil, err
	}
	made := &set{cas: cas, leaf: pair.Leaf}
	made.config = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
		NextProtos:   []string{"h2", "http/1.1"},
		Time:         s.Now,
		// Called for resumed sessions too, which are not verified again. It asks
		// for the set in force at that moment, not for the one of its own config.
		VerifyConnection: func(state tls.ConnectionState) error { return s.Check(&state) },
	}
	return made, s.verify(made, s.Now())
}

// verify checks that at that time clients can be let in, and accept the server.
func (s *Server) verify(in *set, now time.Time) error {
	if !slices.ContainsFunc(in.cas, func(ca *x509.Certificate) bool { return now.Before(ca.NotAfter) }) {
		return fmt.Errorf("the CA certificate %s expired on %s: %s", s.CAFile, day(in.cas[0].NotAfter), renewCA)
	}
	return s.checkLeaf(in.config.Certificates[0], in.config.ClientCAs, now)
}

func (s *Server) keyPair(f files) (tls.Certificate, error) {
	if _, err := parseCertificates(f.cert); err != nil {
		return tls.Certificate{}, fmt.Errorf("%s is not a certificate in PEM: %w: give --server_crt the server's (keytool check)", s.CertFile, err)
	}
	pair, err := tls.X509KeyPair(f.cert, f.key)
	if err == nil {
		return pair, nil
	}
	if block, _ := pem.Decode(f.key); block == nil {
		return tls.Certificate{}, fmt.Errorf("%s is not a private key in PEM: give --server_key the server's (keytool check)", s.KeyFile)
	}
	// crypto/tls has no error types for these; its text says mismatch or format.
	return tls.Certificate{}, fmt.Errorf("the key %s does not fit the certificate %s: %w: give both of the same server, or make them anew (keytool server --force)",
		s.KeyFile, s.CertFile, err)
}

// checkLeaf verifies the server's certificate as its clients will.
func (s *Server) checkLeaf(pair tls.Certificate, roots *x509.CertPool, now time.Time) error {
	leaf := pair.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the server certificate %s expired on %s: %s", s.CertFile, day(leaf.NotAfter), renewServer)
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the server certificate %s is not valid before %s: check the clock", s.CertFile, leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if cert, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(cert)
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	if err == nil {
		return nil
	}
	switch invalid, _ := errors.AsType[x509.CertificateInvalidError](err); {
	case invalid.Cert == nil:
	case invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("the certificate %s is not one for a server: give --server_crt a server's (keytool server)", s.CertFile)
	case invalid.Reason == x509.Expired: // its text has the time in it
		return fmt.Errorf("an authority of the server certificate %s is not valid now: make a new certificate by one that is (keytool server --force)", s.CertFile)
	}
	return fmt.Errorf("the CA %s did not sign the server certificate %s: give the authority that did, or make a new certificate (keytool server): %w",
		s.CAFile, s.CertFile, err)
}

// parseCertificates takes one or more certificates and nothing else. Text between
// the blocks is allowed, as openssl writes it.
func parseCertificates(content []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, content = pem.Decode(content)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it contains a block of type %q", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 || bytes.Contains(content, []byte("-----BEGIN")) {
		return nil, errors.New("a certificate is missing or cut off")
	}
	return certs, nil
}

// check is Server.Check for one set.
func (s *set) check(state *tls.ConnectionState, now time.Time) error {
	if len(state.PeerCertificates) == 0 {
		return &RefusedError{Reason: "no client certificate"}
	}
	leaf := state.PeerCertificates[0]
	refuse := func(format string, args ...any) error {
		return &RefusedError{Cert: leaf, Reason: fmt.Sprintf(format, args...)}
	}
	if now.After(leaf.NotAfter) {
		return refuse("the certificate expired on %s", day(leaf.NotAfter))
	}
	var reason error
	for _, chain := range state.VerifiedChains {
		if reason = s.checkChain(chain, now); reason == nil {
			return nil
		}
	}
	if reason == nil {
		return refuse("the certificate was not verified")
	}
	return refuse("%v", reason)
}

func (s *set) checkChain(chain []*x509.Certificate, now time.Time) error {
	root := chain[len(chain)-1]
	if !slices.ContainsFunc(s.cas, root.Equal) {
		return errors.New("its authority is no longer accepted")
	}
	for _, cert := range chain {
		if now.After(cert.NotAfter) {
			return fmt.Errorf("the certificate of its authority expired on %s", day(cert.NotAfter))
		}
		if s.revocations != nil && s.revocations.Revoked(cert.SerialNumber) {
			return errors.New("the certificate is revoked")
		}
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
