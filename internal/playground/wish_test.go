package playground_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logged "github.com/sirupsen/logrus/hooks/test"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// A heart beat for a released database while all places are taken is a wish: it is
// remembered as long as a beat would keep a database, and no longer.
func TestABeatThatFindsNoPlaceIsAWishThatLapses(t *testing.T) {
	t.Parallel()
	never := func(o *playground.Options) { hourly(o); o.IdleTimeout = 0 }
	for _, c := range []struct {
		name    string
		options func(*playground.Options)
		beats   int           // every ten minutes
		free    time.Duration // a place is free so long after the last beat
		started int
	}{
		{"a place is free in time", hourly, 1, 50 * time.Minute, 1},
		{"she beats on", hourly, 30, 50 * time.Minute, 1},
		{"she has gone", hourly, 1, 70 * time.Minute, 0},
		{"nothing is ever released, and a place is free in time", never, 1, 12 * time.Minute, 1},
		{"nothing is ever released, and she has gone", never, 1, 20 * time.Minute, 0},
		{"the time-out is short, and a place is free in time", func(o *playground.Options) { hourly(o); o.IdleTimeout = time.Minute }, 1, 12 * time.Minute, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f, p := newFakeCluster(), &fakeProber{}
				p.counts.Threads = 1 // bob is at work
				f.wasReleased(t, "ann")
				log, lines := logged.NewNullLogger()
				m := runLogged(t, "a", f, p, log, func(o *playground.Options) { c.options(o); o.MaxDatabases = 1 })
				mustCreate(t, m, "bob")
				time.Sleep(time.Minute)
				for i := range c.beats {
					if i > 0 {
						time.Sleep(10 * time.Minute)
					}
					if _, err := m.Beat(gateway, "ann"); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(c.free)
				if n := warnings(lines, "cannot be brought back"); n != 1 {
					t.Errorf("it was said %d times that she has to wait, want once", n)
				}
				p.set(func() { p.counts.Threads = 0 })
				if err := m.Delete(t.Context(), gateway, "bob", false); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				if n := f.started("ann"); n != c.started {
					t.Errorf("her database was started %d times, want %d", n, c.started)
				}
			})
		})
	}
}

func warnings(lines *logged.Hook, about string) (n int) {
	for _, line := range lines.AllEntries() {
		if line.Level == logrus.WarnLevel && strings.Contains(line.Message, about) {
			n++
		}
	}
	return n
}

// Nor does it keep the address for longer than a use does.
func TestAnAddressIsGivenUpThoughABeatFoundNoPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f, p := newFakeCluster(), &fakeProber{}
		p.counts.Threads = 1
		f.wasReleased(t, "ann")
		m := run(t, "a", f, p, func(o *playground.Options) { hourly(o); o.MaxDatabases = 1 })
		mustCreate(t, m, "bob")
		time.Sleep(12 * time.Hour)
		if _, err := m.Beat(gateway, "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		if db := f.get("ann"); db.Phase != playground.Released {
			t.Errorf("phase %q 23 hours after the last beat, want released", db.Phase)
		}
		time.Sleep(2 * time.Hour)
		if db := f.get("ann"); db.Phase != playground.None {
			t.Errorf("phase %q, want none", db.Phase)
		}
	})
}
