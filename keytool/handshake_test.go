package keytool_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/keytool"
)

func pool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	p.AddCert(readCert(t, path))
	return p
}

func pair(t *testing.T, cert, key string) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serverConfig is the server's side as the files say; every client certificate
// is verified against the store's authority.
func serverConfig(t *testing.T, s *keytool.Store) *tls.Config {
	t.Helper()
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair(t, s.Paths().ServerCert, s.Paths().ServerKey)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool(t, s.Paths().CACert),
		Time:         s.Now,
	}
}

func clientConfig(t *testing.T, s *keytool.Store, name, host string) *tls.Config {
	t.Helper()
	dir := s.ClientDir(name)
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair(t, dir+"/client.crt", dir+"/client.key")},
		RootCAs:      pool(t, dir+"/ca.crt"),
		ServerName:   host,
		Time:         s.Now,
	}
}

// handshake shakes hands and exchanges a byte, since in TLS 1.3 a client learns
// only then that it was refused. It returns what the server saw.
func handshake(t *testing.T, server, client *tls.Config) (keytool.Identity, error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	seen := make(chan keytool.Identity, 1)
	refused := make(chan error, 1)
	go func() {
		defer a.Close()
		conn := tls.Server(a, server)
		err := conn.Handshake()
		var id keytool.Identity
		if err == nil {
			id = keytool.Identify(conn.ConnectionState().PeerCertificates[0])
			_, err = conn.Write([]byte{1})
		}
		seen <- id
		refused <- err
	}()
	defer b.Close()
	conn := tls.Client(b, client)
	_, err := conn.Read(make([]byte, 1))
	b.Close()
	return <-seen, errors.Join(err, <-refused)
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	for _, rsa := range []bool{false, true} {
		s := &keytool.Store{Dir: t.TempDir()}
		must(t)(s.Init(keytool.InitOptions{RSA: rsa}))
		must(t)(s.Server(keytool.ServerOptions{RSA: rsa, Hosts: []string{"Playground.Example.com", "*.wild.org", "10.1.2.3", "::1"}}))
		newClient(t, s, "alice", keytool.ClientOptions{RSA: rsa, User: "用户"})
		newClient(t, s, "dsw", keytool.ClientOptions{RSA: rsa, Gateway: true})
		for _, host := range []string{"playground.example.com", "a.wild.org", "10.1.2.3", "::1"} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				client := clientConfig(t, s, "alice", host)
				client.MinVersion, client.MaxVersion = version, version
				id, err := handshake(t, serverConfig(t, s), client)
				if err != nil || id.Kind != keytool.OneUser || id.User != "用户" || id.Name != "alice" {
					t.Errorf("RSA %v, %s, %s: %+v, %v", rsa, host, tls.VersionName(version), id, err)
				}
			}
		}
		if id, err := handshake(t, serverConfig(t, s), clientConfig(t, s, "dsw", "10.1.2.3")); err != nil || id.Kind != keytool.Gateway {
			t.Errorf("gateway: %+v, %v", id, err)
		}
		if _, err := handshake(t, serverConfig(t, s), clientConfig(t, s, "alice", "elsewhere.org")); err == nil {
			t.Error("the server is believed under a name that it does not have")
		}
	}
}

func TestMutualTLSRefuses(t *testing.T) {
	t.Parallel()
	s, other := newStore(t), newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	newClient(t, other, "alice", keytool.ClientOptions{})
	client := func(change func(*tls.Config)) *tls.Config {
		c := clientConfig(t, s, "alice", "localhost")
		change(c)
		return c
	}
	for what, c := range map[string]*tls.Config{
		"no certificate": client(func(c *tls.Config) { c.Certificates = nil }),
		"another authority's client": client(func(c *tls.Config) {
			c.Certificates = clientConfig(t, other, "alice", "").Certificates
		}),
		"the server's own certificate": client(func(c *tls.Config) {
			c.Certificates = []tls.Certificate{pair(t, s.Paths().ServerCert, s.Paths().ServerKey)}
		}),
	} {
		if _, err := handshake(t, serverConfig(t, s), c); err == nil {
			t.Errorf("%s was let in", what)
		}
	}
	late := *s
	late.Now = func() time.Time { return time.Now().AddDate(0, 0, 826) }
	must(t)(late.Renew("server", keytool.RenewOptions{}))
	c := clientConfig(t, &late, "alice", "localhost")
	if _, err := handshake(t, serverConfig(t, &late), c); err == nil {
		t.Error("an expired client was let in")
	}
}

// A client that runs while its certificate, or the server's, is renewed goes on.
func TestRenewalCutsNobodyOff(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	old := clientConfig(t, s, "alice", "localhost")
	must(t)(s.Renew("server", keytool.RenewOptions{}))
	must(t)(s.Renew("alice", keytool.RenewOptions{}))
	data, err := os.ReadFile(s.Paths().CRL)
	if err != nil {
		t.Fatal(err)
	}
	crl, err := keytool.ParseCRL(data, readCert(t, s.Paths().CACert))
	if err != nil || crl.Len() != 0 {
		t.Errorf("revocation list after a renewal: %d, %v", crl.Len(), err)
	}
	for what, c := range map[string]*tls.Config{"old": old, "new": clientConfig(t, s, "alice", "localhost")} {
		if _, err := handshake(t, serverConfig(t, s), c); err != nil {
			t.Errorf("%s certificate: %v", what, err)
		}
	}
}

// What RFC 5280 asks for, field by field.
func TestCertificateFields(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	ca := readCert(t, s.Paths().CACert)
	if !ca.IsCA || ca.MaxPathLen != 0 || !ca.MaxPathLenZero || ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("CA: %v, path length %d, usage %b", ca.IsCA, ca.MaxPathLen, ca.KeyUsage)
	}
	for path, usage := range map[string]x509.ExtKeyUsage{
		"ca/ca.crt": -1, "server/server.crt": x509.ExtKeyUsageServerAuth, "clients/alice/client.crt": x509.ExtKeyUsageClientAuth,
	} {
		cert := readCert(t, filepath.Join(s.Dir, path))
		if len(cert.SubjectKeyId) != 20 || hex.EncodeToString(cert.AuthorityKeyId) != hex.EncodeToString(ca.SubjectKeyId) {
			t.Errorf("%s: key ids %x, authority's %x", path, cert.SubjectKeyId, cert.AuthorityKeyId)
		}
		if bits := cert.SerialNumber.BitLen(); cert.SerialNumber.Sign() <= 0 || bits < 64 || bits > 129 {
			t.Errorf("%s: serial of %d bits", path, bits)
		}
		critical := map[string]bool{}
		for _, ext := range cert.Extensions {
			critical[ext.Id.String()] = ext.Critical
		}
		if !critical["2.5.29.19"] || !critical["2.5.29.15"] { // basicConstraints, keyUsage
			t.Errorf("%s: basic constraints and key usage are not critical: %v", path, critical)
		}
		if usage < 0 {
			continue
		}
		if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != usage || cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s: CA %v, usage %b %v", path, cert.IsCA, cert.KeyUsage, cert.ExtKeyUsage)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool(t, s.Paths().CACert), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// tlsGreeter tells every client whose certificate it believes the user id.
type tlsGreeter struct {
	listener net.Listener
	done     chan struct{}
}

func newTLSGreeter(l net.Listener, config *tls.Config) *tlsGreeter {
	g := &tlsGreeter{listener: tls.NewListener(l, config), done: make(chan struct{})}
	go func() {
		defer close(g.done)
		for {
			conn, err := g.listener.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if c := conn.(*tls.Conn); c.Handshake() == nil {
				_, _ = c.Write([]byte(keytool.Identify(c.ConnectionState().PeerCertificates[0]).User))
			}
			conn.Close()
		}
	}()
	return g
}

func (g *tlsGreeter) close() {
	g.listener.Close()
	<-g.done
}
