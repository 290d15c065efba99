package playground

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

// Trusted reports whether c carries our key tool's mark. Routes that came after
// the Python server are only for such clients.
func (c Client) Trusted() bool { return c.Power == Gateway || c.Power == OneUser }
