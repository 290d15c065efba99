package keytool

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"
)

// The mark of a certificate is a URI among its subject alternative names
// (RFC 5280 section 4.2.1.6, RFC 3986), as SPIFFE does it:
//
//	sqlflow-playground://user/ID    a client that acts for one user; ID is the
//	                                raw id, percent-escaped byte by byte
//	sqlflow-playground://gateway    a client that acts for all users
//	sqlflow-playground://ca         an authority that our key tool made
const (
	markScheme  = "sqlflow-playground"
	markUser    = "user"
	markGateway = "gateway"
	markCA      = "ca"
)

// MaxUserBytes is the longest user id, in bytes, that a certificate can name.
const MaxUserBytes = 1024

// Kind is what a client certificate says of the users that it acts for.
type Kind int

const (
	// OneUser acts for Identity.User and nobody else. It is the zero Kind: with
	// an empty User it acts for nobody at all.
	OneUser Kind = iota
	// Gateway acts for every user.
	Gateway
	// Unmarked has no mark of ours: made by the old gen_cert.sh or by the
	// maintainer's own authority. What it may do is the server's choice.
	Unmarked
)

// String returns "user", "gateway" or "unmarked".
func (k Kind) String() string {
	switch k {
	case OneUser:
		return "user"
	case Gateway:
		return "gateway"
	default:
		return "unmarked"
	}
}

// Identity is what a client certificate says of who may be acted for.
type Identity struct {
	Kind   Kind
	User   string // for OneUser, the raw user id
	Name   string // common name, for logs; anything at all, so quote it
	Serial string // hex
}

// Identify reads the mark of a client certificate. Believe it only after the
// certificate was verified against the authority: anybody can write a mark.
//
// A certificate whose mark cannot be read, or that carries several, acts for
// nobody: OneUser with an empty User. The same goes for nil.
func Identify(cert *x509.Certificate) Identity {
	if cert == nil {
		return Identity{}
	}
	id := Identity{Kind: Unmarked, Name: cert.Subject.CommonName}
	if cert.SerialNumber != nil {
		id.Serial = serialHex(cert)
	}
	for _, mark := range cert.URIs {
		if mark.Scheme != markScheme {
			continue
		}
		if id.Kind != Unmarked {
			id.Kind, id.User = OneUser, ""
			return id
		}
		id.Kind, id.User = readMark(mark)
	}
	return id
}

// readMark takes only what userMark and gatewayMark write.
func readMark(mark *url.URL) (Kind, string) {
	if *mark == *gatewayMark() {
		return Gateway, ""
	}
	escaped, ok := strings.CutPrefix(mark.EscapedPath(), "/")
	if !ok || mark.Host != markUser || mark.User != nil || mark.RawQuery != "" ||
		mark.ForceQuery || mark.Fragment != "" || mark.Opaque != "" {
		return OneUser, ""
	}
	user, err := url.PathUnescape(escaped)
	if err != nil || checkUser(user) != nil {
		return OneUser, ""
	}
	return OneUser, user
}

func gatewayMark() *url.URL { return &url.URL{Scheme: markScheme, Host: markGateway} }

// userMark escapes every byte that is not unreserved in RFC 3986, more than
// url.PathEscape does, so that no reader's idea of a path ("." and "..", "//")
// can change an id.
func userMark(user string) *url.URL {
	var escaped strings.Builder
	for i := range len(user) {
		c := user[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			escaped.WriteByte(c)
		default:
			fmt.Fprintf(&escaped, "%%%02X", c)
		}
	}
	return &url.URL{Scheme: markScheme, Host: markUser, Path: "/" + user, RawPath: "/" + escaped.String()}
}

// MadeCA reports whether our key tool made this authority. Then every client
// that it trusts can have a mark, and those without one are refused by default.
func MadeCA(ca *x509.Certificate) bool {
	if ca == nil {
		return false
	}
	for _, mark := range ca.URIs {
		if mark.Scheme == markScheme && mark.Host == markCA {
			return true
		}
	}
	return false
}

// checkUser accepts any id that the server would: UTF-8 of 1 to 1,024 bytes.
func checkUser(user string) error {
	switch {
	case user == "":
		return optionError("the user id is empty", "leave --user out to take the client's name")
	case len(user) > MaxUserBytes:
		return optionError(fmt.Sprintf("the user id has %d bytes", len(user)),
			fmt.Sprintf("a user id has at most %d bytes", MaxUserBytes))
	case !utf8.ValidString(user):
		return optionError("the user id is not UTF-8", "write it in UTF-8")
	}
	return nil
}

func optionError(what, hint string) error {
	return &Error{Err: fmt.Errorf("%w: %s", ErrOption, what), Hint: hint}
}
