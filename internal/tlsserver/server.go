package tlsserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	defaultHold      = 2 * time.Second
	defaultMaxHeld   = 1000
	defaultRecheck   = 30 * time.Second
	handshakeTimeout = 10 * time.Second
)

// Revocations tells which certificates are no longer accepted, by serial number, and
// when its authority meant to have made a newer list; zero if it did not say.
type Revocations interface {
	Revoked(serial *big.Int) bool
	NextUpdate() time.Time
}

// Options say where the files are and how strict the door is. The three files and
// Log are required.
type Options struct {
	// CAFile has one or more certificates of authorities, in PEM. CertFile has the
	// server's certificate and those between it and the authority, KeyFile its key.
	CAFile, CertFile, KeyFile string
	// CRLFile, unless empty, has the revocation list that ParseCRL understands. With
	// CRLMayLack it need not be there yet; once it was, it must be.
	CRLFile    string
	CRLMayLack bool
	ParseCRL   func(pem []byte, cas []*x509.Certificate) (Revocations, error)

	// HoldRefused is how long a refused client waits for the refusal, 2 s by
	// default. At most MaxHeld (1,000 by default) wait at a time; beyond that a
	// refused client hears of it at once.
	HoldRefused time.Duration
	MaxHeld     int

	// Recheck is how often [Server.Watch] looks at the files even if the file
	// system reported no change; 30 s by default.
	Recheck time.Duration

	Log logrus.FieldLogger
	Now func() time.Time // time.Now by default
}

func (o *Options) validate() error {
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"CAFile", o.CAFile == ""},
		{"CertFile", o.CertFile == ""},
		{"KeyFile", o.KeyFile == ""},
		{"ParseCRL", o.CRLFile != "" && o.ParseCRL == nil},
		{"Log", o.Log == nil},
	} {
		if field.missing {
			return fmt.Errorf("tlsserver: Options.%s is missing", field.name)
		}
	}
	if o.HoldRefused == 0 {
		o.HoldRefused = defaultHold
	}
	if o.MaxHeld == 0 {
		o.MaxHeld = defaultMaxHeld
	}
	if o.Recheck == 0 {
		o.Recheck = defaultRecheck
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Server holds the certificates in force. Make one with [New].
type Server struct {
	Options
	current atomic.Pointer[set]
	// held has one token for each refused client that waits.
	held chan struct{}

	reloading sync.Mutex
	rejected  [32]byte              // digest of the files that were refused last; under reloading
	told      []string              // what tell found last; under reloading
	problem   atomic.Pointer[error] // why the files on disk are not in force; nil: they are
}

// New reads the files. Its errors are one line each, name the file, and say what
// to do; errors.Is finds fs.ErrNotExist.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Server{Options: o, held: make(chan struct{}, o.MaxHeld)}
	files, err := s.read()
	if err != nil {
		return nil, err
	}
	if err := s.install(files); err != nil {
		return nil, err
	}
	return s, nil
}

// RefusedError says why a client that shook hands correctly is not accepted, or no
// longer.
type RefusedError struct {
	Cert   *x509.Certificate // nil if it showed none
	Reason string
}

func (e *RefusedError) Error() string { return e.Reason }

// Check returns a [*RefusedError] unless the certificate by which a connection was
// opened would open one now: not expired, not revoked, and verified by an authority
// that is still in CAFile. It is quick enough for every request.
func (s *Server) Check(state *tls.ConnectionState) error {
	return s.current.Load().check(state, s.Now())
}

// NewHTTPServer returns a server for [Server.Listen]'s listener with bounds on what a
// slow client can hold. An answer may take longest; a route that streams for longer
// moves its own deadlines with http.ResponseController.
func (s *Server) NewHTTPServer(handler http.Handler, longest time.Duration) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // bodies are 64 KiB at most
		WriteTimeout:      longest + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(lineWriter{s.Log}, "", 0),
	}
}

// lineWriter gives net/http's complaints, which are about clients that broke off, to
// the debug log.
type lineWriter struct{ log logrus.FieldLogger }

var _ io.Writer = lineWriter{}

func (w lineWriter) Write(line []byte) (int, error) {
	const longest = 1024
	w.log.WithField("line", string(line[:min(len(line), longest)])).Debug("http server")
	return len(line), nil
}

// refused logs a handshake that failed. Those whose certificate was looked at are
// audited; the rest is what any open port sees all day.
func (s *Server) refused(remote net.Addr, err error) {
	log := s.Log.WithField("remote", remote.String())
	refusal, ours := errors.AsType[*RefusedError](err)
	unverified, chain := errors.AsType[*tls.CertificateVerificationError](err)
	var cert *x509.Certificate
	switch {
	case ours:
		cert = refusal.Cert
	case chain && len(unverified.UnverifiedCertificates) > 0:
		cert = unverified.UnverifiedCertificates[0]
	}
	if cert == nil {
		log.WithError(err).Debug("TLS handshake failed")
		return
	}
	const longest = 256
	name := cert.Subject.CommonName
	log.WithFields(logrus.Fields{
		"audit":  "revoked",
		"result": "refused",
		"serial": cert.SerialNumber.Text(16),
		"name":   name[:min(len(name), longest)],
		"error":  err.Error(),
	}).Warn("certificate refused")
}
