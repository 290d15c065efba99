package tlsserver_test

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

// clock is a time that a test sets.
type clock struct{ now atomic.Pointer[time.Time] }

func (c *clock) set(t time.Time) { c.now.Store(&t) }
func (c *clock) get() time.Time  { return *c.now.Load() }

// knock shakes hands in memory and returns how long it took to hear the refusal.
func knock(t *testing.T, door *tlstest.Memory, config *tls.Config) time.Duration {
	t.Helper()
	began := time.Now()
	raw, err := door.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, config)
	// In TLS 1.3 the client hears of it at its first read only.
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("it was let in")
	}
	return time.Since(began)
}

// inBubble runs test with a server that refuses after hold, in memory.
func inBubble(t *testing.T, hold time.Duration, maxHeld int, test func(*testing.T, *store, *tlstest.Memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		o := s.options()
		o.HoldRefused, o.MaxHeld = hold, maxHeld
		server, err := tlsserver.New(o)
		if err != nil {
			t.Fatal(err)
		}
		door := tlstest.NewMemory()
		listener := server.Listen(door)
		defer listener.Close()
		test(t, s, door)
	})
}

func TestARefusalIsHeld(t *testing.T) {
	t.Parallel()
	for version, number := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		for who, client := range map[string]func(*testing.T, *store) *tls.Config{
			"of another authority": func(t *testing.T, s *store) *tls.Config {
				return tlstest.NewAuthority(t, "other").Issue(t, tlstest.Leaf{Name: "ann"}).Client(t, s.ca)
			},
			"without a certificate": func(t *testing.T, s *store) *tls.Config {
				config := s.ca.Issue(t, tlstest.Leaf{}).Client(t)
				config.GetClientCertificate = nil
				return config
			},
			"expired": func(t *testing.T, s *store) *tls.Config {
				return s.ca.Issue(t, tlstest.Leaf{Name: "ann", NotAfter: time.Now().Add(-time.Minute)}).Client(t)
			},
		} {
			t.Run(who+", "+version, func(t *testing.T) {
				t.Parallel()
				inBubble(t, 0, 0, func(t *testing.T, s *store, door *tlstest.Memory) {
					config := client(t, s)
					config.MaxVersion = number
					if took := knock(t, door, config); took != 2*time.Second {
						t.Errorf("the refusal came after %v, want 2s", took)
					}
				})
			})
		}
	}
}

func TestOnlySoManyRefusalsAreHeld(t *testing.T) {
	t.Parallel()
	inBubble(t, 2*time.Second, 2, func(t *testing.T, s *store, door *tlstest.Memory) {
		config := tlstest.NewAuthority(t, "other").Issue(t, tlstest.Leaf{Name: "ann"}).Client(t, s.ca)
		var mu sync.Mutex
		took := map[time.Duration]int{}
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				d := knock(t, door, config)
				mu.Lock()
				defer mu.Unlock()
				took[d]++
			})
		}
		all.Wait()
		if took[0] != 3 || took[2*time.Second] != 2 {
			t.Errorf("refusals came after %v, want 3 at once and 2 after 2s", took)
		}
	})
}

func TestAHandshakeIsBoundedInTime(t *testing.T) {
	t.Parallel()
	inBubble(t, 0, 0, func(t *testing.T, _ *store, door *tlstest.Memory) {
		began := time.Now()
		var conn net.Conn
		conn, err := door.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1)) // and never says a word
		if took := time.Since(began); err == nil || took != 10*time.Second {
			t.Errorf("closed after %v (%v), want 10s", took, err)
		}
	})
}
