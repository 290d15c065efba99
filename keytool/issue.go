package keytool

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// ServerOptions are the choices for the server's certificate.
type ServerOptions struct {
	// Hosts are the DNS names and IP addresses that clients reach the server
	// by; nil means localhost, 127.0.0.1, ::1 and the host's name.
	Hosts []string
	Days  int // life in days; 0 means 825, and never beyond the authority
	RSA   bool
	Force bool // replace the certificate and the key that are there
}

// ClientOptions are the choices for a client's certificate and folder.
type ClientOptions struct {
	// User is the raw id of the user that the client acts for; empty means the
	// client's name.
	User string
	// Gateway lets the client act for all users; it excludes User.
	Gateway bool
	Days    int // life in days; 0 means 825, and never beyond the authority
	RSA     bool
	// Force replaces the folder's files. The older certificates stay good:
	// to end them too, Revoke first.
	Force bool

	// ServerURL is where the client reaches the playground server, such as
	// https://playground.example.com:50052. Empty means the first public name
	// in the server's certificate, and port 50052.
	ServerURL string
	// SQLFlowServer is HOST:PORT of the SQLFlow server that runs the
	// statements; empty leaves it for the user to fill in.
	SQLFlowServer string
	// Folder is where the user will keep the files, an absolute path; empty
	// means ~/.sqlflow_playground/NAME.
	Folder string
}

// RenewOptions are the choices for a new certificate under an old name.
type RenewOptions struct {
	Days int  // life in days; 0 means 825, and never beyond the authority
	RSA  bool // an RSA key also where the old one was not
}

// Server makes the server's key and certificate. It returns ErrNoCA before Init,
// ErrExists where there is one already and o.Force is not set, and ErrOption
// for a host that no certificate can name.
func (s *Store) Server(o ServerOptions) (Issued, error) {
	if err := checkDays(o.Days); err != nil {
		return Issued{}, err
	}
	hosts := o.Hosts
	if len(hosts) == 0 {
		hosts = defaultHosts()
	}
	template, err := serverTemplate(hosts)
	if err != nil {
		return Issued{}, err
	}
	unlock, err := s.lock(false)
	if err != nil {
		return Issued{}, err
	}
	defer unlock()
	return s.issueServer(template, o.Days, o.RSA, o.Force)
}

func (s *Store) issueServer(template *x509.Certificate, days int, useRSA, force bool) (Issued, error) {
	ca, err := s.authority()
	if err != nil {
		return Issued{}, err
	}
	if !force {
		if err := s.refuseExisting("keytool renew server, or keytool server --force", serverKey, serverCert); err != nil {
			return Issued{}, err
		}
	}
	cert, key, err := ca.issue(template, s.now(), days, useRSA)
	if err != nil {
		return Issued{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Issued{}, err
	}
	if err := mkdirs(s.path("server")); err != nil {
		return Issued{}, err
	}
	entry := entryOf(cert, serverName)
	if err := errors.Join(s.record(entry, ca), s.ensureList(ca)); err != nil {
		return Issued{}, err
	}
	files := []file{
		{s.path(serverKey), keyPEM, keyMode},
		{s.path(serverCert), encodeCert(cert.Raw), certMode},
	}
	if err := writeAll(files, force); err != nil {
		return Issued{}, err
	}
	issued := issuedFrom(entry, cert)
	issued.Files = []string{files[1].path, files[0].path}
	issued.Notes = lifeNotes(cert, ca.cert)
	return issued, nil
}

// Client makes the key, the certificate and the folder of a client, and the
// archive to send. The folder appears complete or not at all. It returns
// ErrName for a name that cannot be a folder's, ErrOption for a user or an
// address that cannot be, ErrNoCA before Init, and ErrExists where there is a
// folder or an archive of that name and o.Force is not set.
func (s *Store) Client(name string, o ClientOptions) (Issued, error) {
	if err := errors.Join(checkName(name), checkDays(o.Days)); err != nil {
		return Issued{}, err
	}
	template, err := clientTemplate(name, o)
	if err != nil {
		return Issued{}, err
	}
	unlock, err := s.lock(false)
	if err != nil {
		return Issued{}, err
	}
	defer unlock()
	if !o.Force {
		hint := fmt.Sprintf("keytool renew %s, or keytool client %s --force", name, name)
		if err := s.refuseExisting(hint, clientsDir+"/"+name, clientsDir+"/"+name+archiveSuffix); err != nil {
			return Issued{}, err
		}
	}
	if o.ServerURL == "" {
		o.ServerURL = s.serverURL()
	}
	env, notes, err := envFile(name, Identify(template), o)
	if err != nil {
		return Issued{}, err
	}
	issued, err := s.issueClient(name, template, o.Days, o.RSA, env)
	issued.Notes = append(notes, issued.Notes...)
	return issued, err
}

func (s *Store) issueClient(name string, template *x509.Certificate, days int, useRSA bool, env []byte) (Issued, error) {
	ca, err := s.authority()
	if err != nil {
		return Issued{}, err
	}
	cert, key, err := ca.issue(template, s.now(), days, useRSA)
	if err != nil {
		return Issued{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return Issued{}, err
	}
	entry := entryOf(cert, name)
	if err := errors.Join(s.record(entry, ca), s.ensureList(ca)); err != nil {
		return Issued{}, err
	}
	paths, err := s.writeClient(name, []file{
		{clientKey, keyPEM, keyMode},
		{clientCert, encodeCert(cert.Raw), certMode},
		{clientCA, encodeCert(ca.cert.Raw), certMode},
		{clientEnv, env, certMode},
	}, cert.NotBefore)
	if err != nil {
		return Issued{}, err
	}
	issued := issuedFrom(entry, cert)
	issued.Files = paths
	issued.Notes = lifeNotes(cert, ca.cert)
	return issued, nil
}

// Renew makes a new key and certificate for the same name, user and hosts;
// "server" is the server. The environment file stays as it is. The old
// certificate is not revoked: a client that runs keeps working, and the user
// has until it expires to take the new folder. It returns ErrUnknown where
// there is nothing to renew, and ErrRevoked for a client whose certificate in
// the folder is revoked, by index.json or by crl.pem alone, since a renewal would
// quietly let it in again; a crl.pem that cannot be believed is ErrCRL.
func (s *Store) Renew(name string, o RenewOptions) (Issued, error) {
	if name != serverName {
		if err := checkName(name); err != nil {
			return Issued{}, err
		}
	}
	if err := checkDays(o.Days); err != nil {
		return Issued{}, err
	}
	unlock, err := s.lock(false)
	if err != nil {
		return Issued{}, err
	}
	defer unlock()
	ca, err := s.authority()
	if err != nil {
		return Issued{}, err
	}
	path, command := s.path(clientsDir, name, clientCert), "keytool client "+name
	if name == serverName {
		path, command = s.path(serverCert), "keytool server"
	}
	old, err := readCert(path)
	if errors.Is(err, os.ErrNotExist) {
		return Issued{}, &Error{
			Err:  fmt.Errorf("%s: %w", path, ErrUnknown),
			Hint: "make it by " + command + "; keytool list shows what there is",
		}
	}
	if err != nil {
		return Issued{}, err
	}
	if !signedBy(old, ca.cert) {
		return Issued{}, &Error{
			Err:  fmt.Errorf("%s: %w: it is of another authority, so what it says is not repeated", path, ErrUnknown),
			Hint: "make it anew by " + remake(name),
		}
	}
	useRSA := o.RSA || isRSA(old)
	if name == serverName {
		template, err := serverTemplate(hostsOf(old))
		if err != nil {
			return Issued{}, err
		}
		return s.issueServer(template, o.Days, useRSA, true)
	}
	return s.renewClient(name, old, ca.cert, o.Days, useRSA)
}

func (s *Store) renewClient(name string, old, ca *x509.Certificate, days int, useRSA bool) (Issued, error) {
	entries, err := s.readIndex()
	if err != nil {
		return Issued{}, err
	}
	list, err := s.readList(ca)
	if err != nil {
		return Issued{}, err
	}
	entries = adopt(entries, name, old)
	markRevoked(entries, ca, list)
	for _, e := range entries {
		if e.is(old) && !e.RevokedAt.IsZero() {
			return Issued{}, &Error{
				Err:  fmt.Errorf("client %s: %w on %s", name, ErrRevoked, day(e.RevokedAt)),
				Hint: "if it shall come back: " + remake(name),
			}
		}
	}
	id := Identify(old)
	o := ClientOptions{User: id.User, Gateway: id.Kind == Gateway}
	if id.Kind == Unmarked || id.Kind == OneUser && id.User == "" {
		return Issued{}, &Error{
			Err:  fmt.Errorf("client %s: %w: its certificate does not say who it acts for", name, ErrUnknown),
			Hint: "keytool client " + name + " --force --user ID",
		}
	}
	template, err := clientTemplate(name, o)
	if err != nil {
		return Issued{}, err
	}
	env, err := readFile(s.EnvFile(name))
	var notes []string
	if errors.Is(err, os.ErrNotExist) {
		o.ServerURL = s.serverURL()
		env, notes, err = envFile(name, id, o)
	}
	if err != nil {
		return Issued{}, err
	}
	issued, err := s.issueClient(name, template, days, useRSA, env)
	issued.Notes = append(notes, issued.Notes...)
	return issued, err
}

// remake is the command that makes a certificate without looking at the one that
// is there. So it must be told anew who and where that was: left to the defaults,
// the client would act for another user, and the server have other names.
func remake(name string) string {
	if name == serverName {
		return "keytool server --force, with every --host it had"
	}
	return "keytool client " + name + " --force, with the --user or --gateway it had"
}

func (s *Store) refuseExisting(hint string, names ...string) error {
	for _, name := range names {
		if path := s.path(name); exists(path) {
			return &Error{Err: fmt.Errorf("%s: %w", path, ErrExists), Hint: hint}
		}
	}
	return nil
}

// lifeNotes tells of a certificate that ends before its days are over.
func lifeNotes(cert, ca *x509.Certificate) []string {
	if cert.NotAfter.Before(ca.NotAfter) {
		return nil
	}
	return []string{fmt.Sprintf("It ends on %s, as its authority does.", day(ca.NotAfter))}
}

// clientName is a folder, a common name (64 characters at most, RFC 5280
// ub-common-name) and a word on a command line.
var clientName = regexp.MustCompile(`^[A-Za-z0-9_@+][A-Za-z0-9._@+-]{0,63}$`)

func checkName(name string) error {
	var why string
	switch lower := strings.ToLower(name); {
	case lower == caName || lower == serverName:
		why = "that word stands for the key store's own"
	case strings.HasSuffix(lower, archiveSuffix):
		why = "it would be taken for an archive"
	case !clientName.MatchString(name):
		why = "not 1 to 64 letters, digits, or . _ - @ + with no . or - in front"
	default:
		return nil
	}
	return &Error{
		Err:  fmt.Errorf("%w: %q: %s", ErrName, name, why),
		Hint: "choose a plain name; --user ID says who the client acts for, whatever its name",
	}
}

func clientTemplate(name string, o ClientOptions) (*x509.Certificate, error) {
	mark := gatewayMark()
	if o.Gateway {
		if o.User != "" {
			return nil, optionError("a gateway acts for all users, not for one", "give --gateway or --user, not both")
		}
	} else {
		user := o.User
		if user == "" {
			user = name
		}
		if err := checkUser(user); err != nil {
			return nil, err
		}
		mark = userMark(user)
	}
	return &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{organization}, CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{mark},
	}, nil
}
