package bed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const certificateLife = 30 * 24 * time.Hour

// An authority signs the certificates of one cluster.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes the cluster's certificate authority and keeps its
// certificate in dir. The key is forgotten with the boot.
func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "sqlflow_playground test cluster"},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{dir: dir, cert: cert, key: key}
	return a, os.WriteFile(a.path("ca.crt"), certPEM(der), 0o644)
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.crt and name.key: for a server when it has hosts, and for
// a client in any case. Kubernetes takes the user from the common name and the
// groups from the organisations.
func (a *authority) issue(name string, subject pkix.Name, hosts ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(a.path(name+".crt"), certPEM(der), 0o644); err != nil {
		return err
	}
	return writeKey(a.path(name+".key"), key)
}

// signingKey writes the key that signs the tokens of service accounts.
func (a *authority) signingKey(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return writeKey(a.path(name+".key"), key)
}

func writeKey(name string, key *ecdsa.PrivateKey) error {
	// SEC 1, since the API server's token signer does not read PKCS #8 everywhere.
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// A credential is what a kubeconfig proves its user with.
type credential struct {
	Certificate []byte `json:"client-certificate-data,omitempty"`
	Key         []byte `json:"client-key-data,omitempty"`
	Token       string `json:"token,omitempty"`
}

// writeKubeconfig writes a kubeconfig that holds everything it needs; JSON is
// YAML. The namespace may be empty.
func writeKubeconfig(name, server string, ca []byte, namespace string, user credential) error {
	type named map[string]any
	body, err := json.MarshalIndent(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "playground",
		"clusters": []named{{"name": "playground", "cluster": named{"server": server, "certificate-authority-data": ca}}},
		"users":    []named{{"name": "playground", "user": user}},
		"contexts": []named{{"name": "playground", "context": named{
			"cluster": "playground", "user": "playground", "namespace": namespace,
		}}},
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, body, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// issueKubeconfig issues a client certificate and writes the kubeconfig that
// carries it to name.kubeconfig.
func (a *authority) issueKubeconfig(name, server string, subject pkix.Name) error {
	if err := a.issue(name, subject); err != nil {
		return err
	}
	var user credential
	var ca []byte
	for file, into := range map[string]*[]byte{"ca.crt": &ca, name + ".crt": &user.Certificate, name + ".key": &user.Key} {
		body, err := os.ReadFile(a.path(file))
		if err != nil {
			return err
		}
		*into = body
	}
	return writeKubeconfig(a.path(name+".kubeconfig"), server, ca, "", user)
}
