package tlsserver

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// soon is how long before its end a certificate is told of, or the last third of its life
// if that is less. So does the key tool's check.
const soon = 30 * 24 * time.Hour

// What to do about a certificate that ends, which does not depend on whether it has yet.
const (
	renewCA     = "make a new one, and new certificates for everybody (keytool init --force)"
	renewServer = "renew it (keytool renew server)"
)

// dates tells what the clock did to a set: expired says why New would refuse it by now,
// the warnings what is no reason for that.
func (s *Server) dates(in *set, now time.Time) (warnings []string, expired error) {
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if in.revocations != nil {
		if next := in.revocations.NextUpdate(); !next.IsZero() && now.After(next) {
			warn("a newer revocation list than %s was due on %s: who was revoked since gets in; have its authority write it anew", s.CRLFile, day(next))
		}
	}
	if err := s.verify(in, now); err != nil {
		return warnings, err
	}
	last := slices.MaxFunc(in.cas, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	for _, ca := range in.cas {
		if now.After(ca.NotAfter) {
			warn("a CA certificate in %s expired on %s: clients with certificates that it signed are refused: give them new ones", s.CAFile, day(ca.NotAfter))
		}
	}
	if ends(last, now) {
		warn("the CA certificate %s expires on %s: %s", s.CAFile, day(last.NotAfter), renewCA)
	}
	if ends(in.leaf, now) {
		warn("the server certificate %s expires on %s: %s", s.CertFile, day(in.leaf.NotAfter), renewServer)
	}
	return warnings, nil
}

// ends reports whether cert will end soon.
func ends(cert *x509.Certificate, now time.Time) bool {
	return now.Add(min(soon, cert.NotAfter.Sub(cert.NotBefore)/3)).After(cert.NotAfter)
}

// tell logs what the dates say that was not so when it was called last.
func (s *Server) tell() {
	lines, expired := s.dates(s.current.Load(), s.Now())
	for _, line := range lines {
		if !slices.Contains(s.told, line) {
			s.Log.Warn(line)
		}
	}
	if expired != nil {
		if line := expired.Error(); !slices.Contains(s.told, line) {
			s.Log.Error(line)
		}
		lines = append(lines, expired.Error())
	}
	s.told = lines
}
