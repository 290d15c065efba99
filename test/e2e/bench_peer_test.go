package e2e_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// debianPython is the interpreter that Debian's python3-tornado is for.
const debianPython = "/usr/bin/python3"

// tornadoVersion is what the machine has of tornado and what it runs on, "" if nothing.
func tornadoVersion(t *testing.T) string {
	t.Helper()
	const script = "import platform, ssl, tornado; print('tornado', tornado.version, 'on Python', platform.python_version(), 'and', ssl.OPENSSL_VERSION)"
	out, err := exec.CommandContext(t.Context(), debianPython, "-c", script).Output()
	if err != nil {
		t.Logf("there is no tornado to measure (apt-get install --yes python3-tornado): %v", err)
		return ""
	}
	return strings.TrimSpace(string(out))
}

// startPeer starts a server that ours is measured against, at port. It ends with the
// test.
func startPeer(t *testing.T, port int, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(path)
			t.Logf("%s wrote\n%s", args[0], text[max(0, len(text)-4000):])
		}
	})
	eventually(t, args[0]+" listens", 20*time.Second, func() error {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return cmd
}

// bare starts the bare handler with the certificates of the site's server.
func (s *site) bare(t *testing.T) *server {
	t.Helper()
	s.makeKeys(t)
	path := filepath.Join(t.TempDir(), "bare")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", path, "../cmd/bare")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the bare handler: %v\n%s", err, out)
	}
	port := freePorts(t, 1)[0]
	cmd := startPeer(t, port, nil, path, "--address=127.0.0.1:"+strconv.Itoa(port), "--ca="+filepath.Join(s.keys, "ca/ca.crt"),
		"--cert="+filepath.Join(s.keys, "server/server.crt"), "--key="+filepath.Join(s.keys, "server/server.key"))
	return &server{site: s, port: port, cmd: cmd, clients: s.client(t, gateway)}
}

// tornado starts the single-threaded server of testdata, which makes pods of the
// manifest in the site's namespace; "USER" in it stands for the user. keys is the
// folder with its certificates.
func (s *site) tornado(t *testing.T, ca, cert, key, manifest string) *server {
	t.Helper()
	pod := filepath.Join(t.TempDir(), "pod.json")
	if err := os.WriteFile(pod, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	port := freePorts(t, 1)[0]
	cmd := startPeer(t, port, []string{"KUBECONFIG=" + s.kubeconfig}, debianPython, "testdata/tornado_server.py",
		strconv.Itoa(port), ca, cert, key, s.KubectlPath(), pod)
	client := s.client(t, gateway)
	client.Timeout = 10 * time.Minute // it answers one after the other
	return &server{site: s, port: port, cmd: cmd, clients: client}
}

// tornadoWithOurKeys starts it with the certificates of the site's server.
func (s *site) tornadoWithOurKeys(t *testing.T, manifest string) *server {
	t.Helper()
	return s.tornado(t, filepath.Join(s.keys, "ca/ca.crt"), filepath.Join(s.keys, "server/server.crt"), filepath.Join(s.keys, "server/server.key"), manifest)
}

// tornadoCost is what the single-threaded server has taken so far.
func (s *server) tornadoCost(t *testing.T) cost {
	t.Helper()
	own, children := spent(t, s.cmd.Process.Pid)
	response, err := s.clients.Get(s.url("/kubectl"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("how often kubectl was run: %s, %v", response.Status, err)
	}
	runs, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return cost{cpu: own + children, kubectl: runs}
}

// oldKeys are certificates of the kind that the Python package's gen_cert.sh made: RSA
// of 2048 bits throughout.
type oldKeys struct {
	ca, cert, key string // files
	client        *tls.Config
}

func newOldKeys(t *testing.T) oldKeys {
	t.Helper()
	dir := t.TempDir()
	newKey := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sign := func(serial int64, template, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) []byte {
		template.SerialNumber = big.NewInt(serial)
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 30)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key, by)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	caKey, serverKey, clientKey := newKey(), newKey(), newKey()
	ca := &x509.Certificate{Subject: pkix.Name{Organization: []string{"sqlflow.tech CA"}}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER := sign(1, ca, ca, &caKey.PublicKey, caKey)
	leaf := func(serial int64, name string, key *rsa.PrivateKey) []byte {
		subject := pkix.Name{Organization: []string{"sqlflow.tech"}, CommonName: "sqlflow-playground-" + name}
		return sign(serial, &x509.Certificate{Subject: subject, DNSNames: []string{"localhost"}}, ca, &key.PublicKey, caKey)
	}
	root, err := x509.ParseCertificate(caDER)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	return oldKeys{
		ca: write("ca.crt", "CERTIFICATE", caDER), cert: write("server.crt", "CERTIFICATE", leaf(2, "server", serverKey)),
		key: write("server.key", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(serverKey)),
		client: &tls.Config{
			RootCAs: roots, ServerName: "localhost",
			Certificates: []tls.Certificate{{Certificate: [][]byte{leaf(3, "client", clientKey)}, PrivateKey: clientKey}},
		},
	}
}

// byHand makes databases as an operator would, with one kubectl create and one kubectl
// wait for all pods of a label, and tells how long both took and their processor time.
func (s *site) byHand(ctx context.Context, manifests, selector string) (created, waited, cpu time.Duration, err error) {
	run := func(stdin string, args ...string) (time.Duration, error) {
		cmd := exec.CommandContext(ctx, s.KubectlPath(), args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
		cmd.Stdin = strings.NewReader(stdin)
		begun := time.Now()
		out, err := cmd.CombinedOutput()
		took := time.Since(begun)
		if err != nil {
			return took, fmt.Errorf("kubectl %s: %w: %.2000s", args[0], err, out)
		}
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		return took, nil
	}
	if created, err = run(manifests, "create", "--filename=-"); err != nil {
		return created, 0, cpu, err
	}
	waited, err = run("", "wait", "pod", "--selector="+selector, "--for=condition=Ready", "--timeout=240s")
	return created, waited, cpu, err
}
