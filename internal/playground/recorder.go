package playground

// Recorder counts what the Manager does; package metrics makes Prometheus of it.
type Recorder interface {
	// Created tells how one creation ended (one of [CreateResults]) after seconds.
	Created(result string, seconds float64)
	// Beat counts one heart beat that was answered with hello.
	Beat()
	// Reaped counts one released database (reason: one of [ReapReasons]).
	Reaped(reason string)
}

// CreateResults are all values of Created's result: "ready", or an error's code.
func CreateResults() []string {
	return []string{"ready", string(CannotStart), string(Full), string(Unavailable), string(Interrupted), string(Internal)}
}

const (
	// ReapIdle: nobody used it for the idle time-out.
	ReapIdle = "idle"
	// ReapUnasked: it could not be asked about its use until the longest idle time.
	ReapUnasked = "unasked"
	// ReapAddress: it was released long ago, and now its address was given up too.
	ReapAddress = "address"
)

// ReapReasons are all values of Reaped's reason.
func ReapReasons() []string { return []string{ReapIdle, ReapUnasked, ReapAddress} }

// Silent is a Recorder that records nothing.
type Silent struct{}

func (Silent) Created(string, float64) {}
func (Silent) Beat()                   {}
func (Silent) Reaped(string)           {}
