package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsConfig reads the certificates.
func (o Options) tlsConfig(host string) (*tls.Config, error) {
	ca, err := content("CA certificate", o.CAFile, o.CA)
	if err != nil {
		return nil, err
	}
	cert, err := content("client certificate", o.CertFile, o.Cert)
	if err != nil {
		return nil, err
	}
	key, err := content("client key", o.KeyFile, o.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("the CA certificate %s is not a certificate in PEM", o.CAFile)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("the client certificate %s and key %s do not fit: %w", o.CertFile, o.KeyFile, err)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		ServerName:   host,
		RootCAs:      roots,
		Certificates: []tls.Certificate{pair},
		// The server is verified in VerifyConnection, as strictly but for one thing:
		// certificates of the old gen_cert.sh name no host at all, and the notebook
		// plugin never looked (check_hostname = False in pysqlflow's sqlflow/magic.py).
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if err := verifyServer(state, roots, host); err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
			}
			return nil
		},
	}, nil
}

func content(what, file string, pem []byte) ([]byte, error) {
	switch {
	case file != "":
		read, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the %s: %w", what, err)
		}
		return read, nil
	case len(pem) > 0:
		return pem, nil
	}
	return nil, fmt.Errorf("the %s is missing", what)
}

// verifyServer does what crypto/tls does by default, except that a certificate of our
// own authority without any name is taken for whatever host it serves. One made for a
// client cannot pass for it: our key tool's carry their extended usage.
func verifyServer(state tls.ConnectionState, roots *x509.CertPool, host string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server showed no certificate")
	}
	leaf := state.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	if named(leaf) {
		if err := leaf.VerifyHostname(host); err != nil {
			return err
		}
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}

func named(leaf *x509.Certificate) bool {
	return len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs)+len(leaf.EmailAddresses) > 0
}
