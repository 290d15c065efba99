package embedded

import (
	"time"

	"github.com/sirupsen/logrus"
)

// Options are what [New] needs; the zero value will do.
type Options struct {
	// Host is the address that databases listen on, 127.0.0.1 by default. Everybody
	// who reaches it may use every database: the password is no secret.
	Host string
	// Log is told about panics of the engine. Nothing is logged by default.
	Log logrus.FieldLogger
	// Now is time.Now by default.
	Now func() time.Time
}
