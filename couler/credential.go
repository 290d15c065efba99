package couler

import "fmt"

// Credential is text that must not be seen: a password, a token, a data source
// with its password. However it is printed, logged or marshalled it shows as
// "[redacted]"; Reveal gives the text.
type Credential string

const redacted = "[redacted]"

// Reveal gives the text itself.
func (c Credential) Reveal() string { return string(c) }

// String gives "[redacted]", or nothing for an empty credential.
func (c Credential) String() string {
	if c == "" {
		return ""
	}
	return redacted
}

// Format keeps the text from every verb of package fmt.
func (c Credential) Format(s fmt.State, _ rune) { fmt.Fprint(s, c.String()) }

// MarshalText keeps the text out of JSON, YAML and structured logs.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
