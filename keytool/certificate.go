package keytool

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

const (
	caDays   = 3650
	leafDays = 825   // the longest server certificate that Apple's clients accept
	maxDays  = 36500 // a century: RFC 5280 dates end in the year 9999

	// clockSkew is how far a certificate starts in the past, for the clients
	// whose clocks are slow.
	clockSkew = time.Hour

	rsaCABits   = 3072
	rsaLeafBits = 2048

	organization = "SQLFlow Playground"
)

// authority is a CA certificate with its private key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// checkDays refuses a life that is negative or ends beyond RFC 5280's calendar.
func checkDays(days int) error {
	if days < 0 || days > maxDays {
		return &Error{
			Err:  fmt.Errorf("%w: %d days", ErrOption, days),
			Hint: fmt.Sprintf("give --days from 1 to %d, or leave it out", maxDays),
		}
	}
	return nil
}

// newAuthority makes a CA that signs leaves only, and itself.
func newAuthority(now time.Time, days int, useRSA bool) (*authority, error) {
	key, err := newKey(useRSA, rsaCABits)
	if err != nil {
		return nil, err
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	notBefore, notAfter := lifetime(now, days, caDays)
	template := &x509.Certificate{
		SerialNumber: serial,
		// A name of its own, so that OpenSSL, which looks an issuer up by name,
		// cannot take an older authority for this one.
		Subject: pkix.Name{
			Organization: []string{organization},
			CommonName:   organization + " CA " + hex.EncodeToString(id[:4]),
		},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// Explicit: Go does not write the key id that it derives back into the
		// template, and a leaf without one fails Python's VERIFY_X509_STRICT.
		SubjectKeyId:   id,
		AuthorityKeyId: id,
		URIs:           []*url.URL{{Scheme: markScheme, Host: markCA}},
	}
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, nil
}

// issue signs a leaf for a new key. The template brings subject, names and
// extended usage; everything RFC 5280 asks for besides is set here.
func (a *authority) issue(template *x509.Certificate, now time.Time, days int, useRSA bool) (*x509.Certificate, crypto.Signer, error) {
	key, err := newKey(useRSA, rsaLeafBits)
	if err != nil {
		return nil, nil, err
	}
	if template.SubjectKeyId, err = keyID(key.Public()); err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = newSerial(); err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = lifetime(now, days, leafDays)
	if template.NotBefore.Before(a.cert.NotBefore) {
		template.NotBefore = a.cert.NotBefore
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if useRSA {
		// Old peers still exchange keys by RSA encryption.
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	template.BasicConstraintsValid = true
	template.AuthorityKeyId = a.cert.SubjectKeyId
	cert, err := sign(template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	return cert, key, nil
}

// signedBy reports whether ca signed the certificate, whenever that was.
func signedBy(cert, ca *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, ca.RawSubject) && cert.CheckSignatureFrom(ca) == nil
}

// signingProblem says why a CA certificate cannot sign, or "".
func signingProblem(ca *x509.Certificate, now time.Time) string {
	switch {
	case !ca.BasicConstraintsValid || !ca.IsCA:
		return "it has no CA extension (the old gen_cert.sh made such ones)"
	case ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return "its key usage forbids signing certificates"
	case len(ca.SubjectKeyId) == 0:
		return "it has no subject key id, which strict clients ask for"
	case now.After(ca.NotAfter):
		return "it expired on " + day(ca.NotAfter)
	}
	return ""
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	// Read back, so that nothing is written that Go itself would not parse.
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the certificate just signed: %w", err)
	}
	return cert, nil
}

func newKey(useRSA bool, bits int) (key crypto.Signer, err error) {
	if useRSA {
		key, err = rsa.GenerateKey(rand.Reader, bits)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, nil
}

// keyID is the first 160 bits of SHA-256 of the public key (RFC 7093, method 1).
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}

// newSerial returns 128 random bits; RFC 5280 wants it positive.
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	serial, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return nil, fmt.Errorf("random serial: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

// lifetime counts as Apple's clients do: a day has 86,400 seconds, and both the
// first and the last second belong to the life (RFC 5280 section 4.1.2.5). So the
// hour before now is a part of the days, and the end is a second early.
func lifetime(now time.Time, days, standard int) (notBefore, notAfter time.Time) {
	if days == 0 {
		days = standard
	}
	notBefore = now.UTC().Truncate(time.Second).Add(-clockSkew)
	return notBefore, notBefore.AddDate(0, 0, days).Add(-time.Second)
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func readCert(path string) (*x509.Certificate, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return parseCert(path, data)
}

// parseCert takes the first certificate of a PEM file, as TLS servers do.
func parseCert(path string, data []byte) (*x509.Certificate, error) {
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("%s: no PEM certificate in it", path)
		}
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			return cert, nil
		}
		data = rest
	}
}

// readKey reads a private key in any of the three PEM forms that openssl writes.
// Its errors never carry what the file holds.
func readKey(path string) (crypto.Signer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, fmt.Errorf("%s: no PEM private key in it", path)
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default: // openssl puts EC PARAMETERS before a key
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: not a usable private key", path)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("%s: a key that cannot sign", path)
		}
		return signer, nil
	}
}

func keyMatches(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

func isRSA(cert *x509.Certificate) bool { return cert.PublicKeyAlgorithm == x509.RSA }

func serialHex(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
