package keytool

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
)

// defaultPort is where the documents of SQLFlow start the server.
const defaultPort = "50052"

func serverTemplate(hosts []string) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{organization}, CommonName: "playground server"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
			ip := net.IP(addr.Unmap().AsSlice())
			if !slices.ContainsFunc(template.IPAddresses, ip.Equal) {
				template.IPAddresses = append(template.IPAddresses, ip)
			}
			continue
		}
		name := strings.ToLower(host)
		if !validHost(name) {
			return nil, optionError(fmt.Sprintf("host %q", host),
				"give --host as a DNS name or an IP address, without scheme and port (an IDN as xn--...)")
		}
		if !slices.Contains(template.DNSNames, name) {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template, nil
}

// hostLabel is a DNS label; the underscore is for names that containers get.
var hostLabel = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

func validHost(name string) bool {
	if len(name) > 253 {
		return false
	}
	labels := strings.Split(strings.TrimPrefix(name, "*."), ".")
	if strings.HasPrefix(name, "*.") && len(labels) < 2 {
		return false // a wildcard over a whole top-level domain
	}
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return false
		}
	}
	return true
}

func defaultHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	// Some machines have a name that no certificate can carry; they do without.
	if name, err := os.Hostname(); err == nil && validHost(strings.ToLower(name)) {
		hosts = append(hosts, name)
	}
	return hosts
}

// hostsOf returns the names and addresses of a server's certificate.
func hostsOf(cert *x509.Certificate) []string {
	hosts := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

// serverURL guesses how clients reach the server: by the first name in its
// certificate that means something on another machine.
func (s *Store) serverURL() string {
	hosts := defaultHosts()
	if cert, err := readCert(s.path(serverCert)); err == nil && len(hostsOf(cert)) > 0 {
		hosts = hostsOf(cert)
	}
	for _, host := range hosts {
		if host != "localhost" && !net.ParseIP(host).IsLoopback() && !strings.HasPrefix(host, "*.") {
			return "https://" + net.JoinHostPort(host, defaultPort)
		}
	}
	return "https://" + net.JoinHostPort("localhost", defaultPort)
}
