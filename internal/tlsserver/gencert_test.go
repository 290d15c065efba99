package tlsserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

// The commands of the Python package's gen_cert.sh: RSA, an X.509 v1 authority that
// openssl makes for 30 days and without extensions, leaves without a subject
// alternative name.
func TestCertificatesOfTheOldScriptWork(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl to make old certificates with")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), openssl, args...)
		command.Dir = dir
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, output)
		}
	}
	config := func(name, subject string) string {
		t.Helper()
		content := "[ req ]\ndistinguished_name = dn\nprompt = no\n[ dn ]\n" + subject
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run("genrsa", "-out", "ca.key", "2048")
	run("req", "-out", "ca.req", "-key", "ca.key", "-new", "-config", config("ca.conf", "O = sqlflow.tech CA\n"))
	run("x509", "-req", "-in", "ca.req", "-signkey", "ca.key", "-sha256", "-out", "ca.crt")
	for _, name := range []string{"server", "client"} {
		run("genrsa", "-out", name+".key", "2048")
		run("req", "-out", name+".req", "-key", name+".key", "-new",
			"-config", config(name+".conf", "O = sqlflow.tech\nCN = sqlflow-playground-"+name+"\n"))
		run("x509", "-req", "-in", name+".req", "-out", name+".crt", "-sha256", "-CAcreateserial", "-days", "5000",
			"-CA", "ca.crt", "-CAkey", "ca.key")
	}

	o := tlsserver.Options{
		CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "server.crt"), KeyFile: filepath.Join(dir, "server.key"),
		HoldRefused: time.Nanosecond, Log: newStore(t).options().Log,
	}
	address, server, _ := open(t, o)
	if version := caOf(t, o.CAFile).Version; version != 1 {
		t.Errorf("openssl made an authority of version %d; this test is about version 1", version)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(caOf(t, o.CAFile))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		mustEnter(t, address, &tls.Config{
			Certificates: []tls.Certificate{pair},
			MaxVersion:   version,
			// The old client verified the chain but no host name.
			InsecureSkipVerify: true,
			VerifyConnection: func(state tls.ConnectionState) error {
				_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
				return err
			},
		})
	}
	mustFail(t, address, newStore(t).ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t))
	if left := time.Until(server.Status().Certificates[0].NotAfter); left > 31*24*time.Hour {
		t.Errorf("the authority is good for %v; openssl's default was 30 days", left)
	}
}

func caOf(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatalf("%s has no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
