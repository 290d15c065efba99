package keytool_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/keytool"
)

// run runs a program to its end and returns all that it printed. A program that
// is missing skips the test, but not under CI, where it must be installed.
func run(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	return runEnv(t, dir, nil, name, args...)
}

func runEnv(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed: what it says of our files stays unknown", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, "openssl", args...)
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func TestOpenSSLAccepts(t *testing.T) {
	t.Parallel()
	for _, rsa := range []bool{false, true} {
		s := &keytool.Store{Dir: t.TempDir()}
		must(t)(s.Init(keytool.InitOptions{RSA: rsa}))
		must(t)(s.Server(keytool.ServerOptions{RSA: rsa, Hosts: []string{"localhost"}}))
		newClient(t, s, "alice", keytool.ClientOptions{RSA: rsa, User: strings.Repeat("€", 341)})
		newClient(t, s, "bob", keytool.ClientOptions{RSA: rsa})
		newClient(t, s, "dsw", keytool.ClientOptions{RSA: rsa, Gateway: true})
		revoke(t, s, "bob")

		verify := []string{"verify", "-x509_strict", "-check_ss_sig", "-policy_check", "-CAfile", "ca/ca.crt"}
		openssl(t, s.Dir, append(verify, "ca/ca.crt")...)
		openssl(t, s.Dir, append(verify, "-purpose", "sslserver", "-verify_hostname", "localhost", "server/server.crt")...)
		openssl(t, s.Dir, append(verify, "-purpose", "sslclient", "clients/alice/client.crt", "clients/dsw/client.crt")...)

		openssl(t, s.Dir, "crl", "-in", "crl.pem", "-verify", "-CAfile", "ca/ca.crt", "-noout")
		verify = append(verify, "-crl_check", "-CRLfile", "crl.pem")
		openssl(t, s.Dir, append(verify, "clients/alice/client.crt")...)
		out, err := run(t, s.Dir, "openssl", append(verify, "clients/bob/client.crt")...)
		if err == nil || !strings.Contains(out, "certificate revoked") {
			t.Errorf("openssl says of a revoked certificate: %v\n%s", err, out)
		}
		key := openssl(t, s.Dir, "pkey", "-in", "clients/alice/client.key", "-pubout")
		if cert := openssl(t, s.Dir, "x509", "-in", "clients/alice/client.crt", "-noout", "-pubkey"); key != cert {
			t.Error("openssl reads another public key from the key than from the certificate")
		}
	}
}

// Python since 3.13 verifies as strictly by default; before, it can be told to.
const strictPython = `
import socket, ssl, sys
ca, cert, key, port = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
context.verify_flags |= ssl.VERIFY_X509_STRICT
context.load_cert_chain(cert, key)
context.load_verify_locations(ca)
with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as raw:
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        print(tls.recv(100).decode())
`

func TestStrictPythonShakesHands(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed: whether strict Python accepts our certificates stays unknown")
	}
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{User: "用户"})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newTLSGreeter(listener, serverConfig(t, s))
	t.Cleanup(server.close)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	dir := s.ClientDir("alice")
	out, err := run(t, dir, "python3", "-c", strictPython, "ca.crt", "client.crt", "client.key", port)
	if err != nil || strings.TrimSpace(out) != "用户" {
		t.Errorf("strict Python: %v, it read %q, want the user id", err, out)
	}
}

// The files of the old gen_cert.sh: an authority of X.509 version 1 without any
// extension, RSA 2048, and leaves without alternative names.
func oldCerts(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	conf := func(file, subject string) {
		text := "[ req ]\ndistinguished_name = dn\nprompt = no\n[ dn ]\n" + subject
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf("ca.conf", "O = sqlflow.tech CA\n")
	openssl(t, dir, "genrsa", "-out", "ca.key", "2048")
	openssl(t, dir, "req", "-new", "-key", "ca.key", "-config", "ca.conf", "-out", "ca.req")
	openssl(t, dir, "x509", "-req", "-in", "ca.req", "-signkey", "ca.key", "-sha256", "-out", "ca.crt")
	for _, name := range []string{"server", "alice"} {
		conf(name+".conf", "O = sqlflow.tech\nCN = sqlflow-playground-"+name+"\n")
		openssl(t, dir, "genrsa", "-out", name+".key", "2048")
		openssl(t, dir, "req", "-new", "-key", name+".key", "-config", name+".conf", "-out", name+".req")
		openssl(t, dir, "x509", "-req", "-in", name+".req", "-sha256", "-days", "5000",
			"-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", name+".crt")
	}
	return dir
}

func TestOldCertificatesAreUnmarked(t *testing.T) {
	t.Parallel()
	dir := oldCerts(t)
	ca := readCert(t, dir+"/ca.crt")
	if ca.Version != 1 && len(ca.Extensions) > 0 {
		t.Fatalf("this openssl made a CA with extensions: %v", ca.Extensions)
	}
	if keytool.MadeCA(ca) {
		t.Error("MadeCA of the old gen_cert.sh's authority")
	}
	id := keytool.Identify(readCert(t, dir+"/alice.crt"))
	if id.Kind != keytool.Unmarked || id.User != "" || id.Name != "sqlflow-playground-alice" || id.Serial == "" {
		t.Errorf("an old client is %+v, want unmarked", id)
	}

	// Such an authority signs no more: strict clients would refuse its leaves.
	s := &keytool.Store{Dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.Dir, "ca"), 0o700); err != nil {
		t.Fatal(err)
	}
	copyFile(t, dir+"/ca.crt", s.Paths().CACert)
	copyFile(t, dir+"/ca.key", s.Dir+"/ca/ca.key")
	if _, err := s.Client("alice", keytool.ClientOptions{}); !errors.Is(err, keytool.ErrBadCA) || !strings.Contains(err.Error(), "gen_cert.sh") {
		t.Errorf("signing with the old authority: %v, want ErrBadCA", err)
	}
	// But a server can be moved onto its files, and Check says what they are.
	wantProblems(t, s, "ca/ca.crt: no CA extension", "crl.pem: missing", "server/server.crt: missing", "server/server.key: missing")
}

// An authority of the maintainer's own, as a company has one: its certificates
// get our marks, and it is not ours for all that.
func TestMaintainersOwnAuthority(t *testing.T) {
	t.Parallel()
	s := &keytool.Store{Dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.Dir, "ca"), 0o700); err != nil {
		t.Fatal(err)
	}
	openssl(t, s.Dir, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-days", "100",
		"-subj", "/O=Company/CN=Company CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
		"-keyout", "ca/ca.key", "-out", "ca/ca.crt")
	chmod(t, s.Dir+"/ca/ca.key", 0o600)
	must(t)(s.Server(keytool.ServerOptions{}))
	issued := newClient(t, s, "alice", keytool.ClientOptions{SQLFlowServer: "h:50051"})
	ca := readCert(t, s.Paths().CACert)
	if keytool.MadeCA(ca) {
		t.Error("MadeCA of a company's authority")
	}
	if len(issued.Notes) != 1 || !issued.NotAfter.Equal(ca.NotAfter) {
		t.Errorf("the client ends %v with notes %q, want the authority's end and a note", issued.NotAfter, issued.Notes)
	}
	openssl(t, s.Dir, "verify", "-x509_strict", "-CAfile", "ca/ca.crt", "clients/alice/client.crt", "server/server.crt")
	if id, err := handshake(t, serverConfig(t, s), clientConfig(t, s, "alice", "localhost")); err != nil || id.User != "alice" {
		t.Errorf("handshake: %+v, %v", id, err)
	}
	revoke(t, s, "alice")
	wantProblems(t, s)

	// Some authorities may not sign revocation lists.
	openssl(t, s.Dir, "req", "-x509", "-key", "ca/ca.key", "-days", "100", "-subj", "/O=Company/CN=Company CA",
		"-addext", "keyUsage=critical,keyCertSign", "-out", "ca/ca.crt")
	newClient(t, s, "bob", keytool.ClientOptions{})
	before, err := os.ReadFile(s.Paths().CRL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Revoke("bob"); !errors.Is(err, keytool.ErrBadCA) || keytool.Hint(err) == "" {
		t.Errorf("revoking without the right to: %v, want ErrBadCA with a hint", err)
	}
	if after, _ := os.ReadFile(s.Paths().CRL); !bytes.Equal(before, after) {
		t.Error("the list changed")
	}
}
