package keytool

import "errors"

// What can be wrong, for errors.Is. All but failing files come as an *Error,
// which also says what to do.
var (
	// ErrExists is returned where something would be overwritten without Force.
	ErrExists = errors.New("already there")
	// ErrNoCA is returned where a certificate is to be signed and there is no
	// authority, or only its certificate.
	ErrNoCA = errors.New("there is no certificate authority")
	// ErrBadCA is returned for an authority that may not sign: expired, or not
	// made to be one (as those of the old gen_cert.sh, without extensions).
	ErrBadCA = errors.New("this certificate authority cannot sign")
	// ErrKeyMismatch is returned for a private key of another certificate.
	ErrKeyMismatch = errors.New("the key does not belong to")
	// ErrName is returned for a client name that cannot be a folder and a
	// common name.
	ErrName = errors.New("not a client name")
	// ErrOption is returned for a setting that makes no sense.
	ErrOption = errors.New("wrong setting")
	// ErrUnknown is returned for a client or a server that was never issued a
	// certificate here.
	ErrUnknown = errors.New("no such certificate")
	// ErrRevoked is returned where a renewal would undo a revocation.
	ErrRevoked = errors.New("revoked")
	// ErrBusy is returned when another process keeps the store too long.
	ErrBusy = errors.New("another keytool is at work in this key store")
	// ErrIndex is returned for an index.json that cannot be read.
	ErrIndex = errors.New("unreadable index of certificates")
	// ErrCRL is returned for a revocation list that cannot be believed.
	ErrCRL = errors.New("unusable revocation list")
)

// Error is an error with advice.
type Error struct {
	Err  error  // what is wrong; wraps one of the errors above
	Hint string // what to do next, in one line
}

// Error returns what is wrong, without the hint.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap makes errors.Is see what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the advice in err's chain, or "".
func Hint(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Hint
	}
	return ""
}
