package playground

import "strings"

// Power says for whom a client may act.
type Power string

const (
	// OneUser: our key tool made the certificate for the one user it names.
	OneUser Power = "one_user"
	// Gateway: our key tool made it for a trusted front end that acts for everybody.
	Gateway Power = "gateway"
	// Unmarked: an old certificate, or one of the maintainer's own CA.
	Unmarked Power = "unmarked"
)

// Client is who holds a certificate, as the TLS layer found it.
type Client struct {
	Name   string // common name, for the log
	Serial string // hexadecimal, for the log
	Power  Power
	User   User // whom a OneUser client acts for
}

// MayActFor reports whether c may ask for user's database and beat for it.
func (c Client) MayActFor(user User) bool {
	switch c.Power {
	case Gateway, Unmarked:
		return true
	case OneUser:
		return c.User == user
	}
	return false
}

// counted is by what name the databases that c asks for are counted: its common name,
// which survives a renewal, or the serial number of a certificate without one. It is ""
// for a certificate that acts for one user only.
func (c Client) counted() string {
	switch {
	case c.Power == OneUser:
		return ""
	case c.Name == "":
		return "serial " + c.Serial
	}
	return strings.ToValidUTF8(c.Name, "\uFFFD")
}

// Trusted reports whether c carries our key tool's mark. Routes that came after
// the Python server are only for such clients.
func (c Client) Trusted() bool { return c.Power == Gateway || c.Power == OneUser }
