package playground_test

import (
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

func TestOptionsThatMakeNoSenseAreNamed(t *testing.T) {
	t.Parallel()
	for names, change := range map[string]func(*playground.Options){
		"":                       func(*playground.Options) {},
		"--idle_timeout is -1s":  func(o *playground.Options) { o.IdleTimeout = -time.Second },
		"--create_timeout is 0s": func(o *playground.Options) { o.CreateTimeout = 0 },
		"--max_idle (1s)":        func(o *playground.Options) { o.MaxIdle = time.Second },
		"--max_databases is -1":  func(o *playground.Options) { o.MaxDatabases = -1 },
		"--max_per_gateway is -1": func(o *playground.Options) {
			o.MaxPerGateway = -1
		},
		"--max_creates is 0": func(o *playground.Options) { o.MaxCreates = 0 },
	} {
		o := playground.DefaultOptions()
		change(&o)
		err := o.Validate()
		if (err == nil) != (names == "") || err != nil && !strings.Contains(err.Error(), names) {
			t.Errorf("got %v, want %q", err, names)
		}
	}
}
