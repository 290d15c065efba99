package command_test

import "time"

// pause is between two looks at something outside this process that tells nobody when
// it is ready, as a server that another process starts.
func pause() {
	timer := time.NewTimer(10 * time.Millisecond)
	<-timer.C
}
