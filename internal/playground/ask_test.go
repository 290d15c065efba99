package playground_test

import (
	"errors"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

var errSilent = errors.New("time-out")

// What a database told is compared with what it tells next, also when it could not be
// asked in between, or its MySQL began anew.
func TestWhatWasNotSeenIsNotTakenForIdleness(t *testing.T) {
	t.Parallel()
	answers := func(p *fakeProber, err error, connections int64) {
		p.set(func() { p.ask, p.counts.Connections = err, connections })
	}
	for _, c := range []struct {
		name string
		use  func(*fakeProber)
	}{
		{"it could not be asked while it was used", func(p *fakeProber) {
			answers(p, nil, 5)
			time.Sleep(5 * time.Minute)
			answers(p, errSilent, 40)
			time.Sleep(59 * time.Minute)
			answers(p, nil, 40)
		}},
		{"it could never be asked before", func(p *fakeProber) {
			answers(p, errSilent, 40)
			time.Sleep(64*time.Minute + 30*time.Second)
			answers(p, nil, 40)
			for range 4 {
				time.Sleep(time.Minute)
				p.set(func() { p.counts.Connections++ })
			}
		}},
		{"it began anew, and counts less", func(p *fakeProber) {
			answers(p, nil, 40)
			time.Sleep(61*time.Minute - 30*time.Second)
			answers(p, nil, 10)
			for range 2 {
				time.Sleep(time.Minute)
				p.set(func() { p.counts.Connections++ })
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f, p := &busyCluster{fakeCluster: newFakeCluster()}, &fakeProber{}
				m := run(t, "a", f, p, hourly)
				mustCreate(t, m, "ann")
				begun := time.Now()
				c.use(p)
				time.Sleep(time.Until(begun.Add(2 * time.Hour)))
				if db := f.get("ann"); db.Phase != playground.Ready || f.marks.Load() > 0 {
					t.Errorf("phase %s after %d marks, want ready and never marked", db.Phase, f.marks.Load())
				}
				time.Sleep(20 * time.Minute)
				if db := f.get("ann"); db.Phase != playground.Released {
					t.Errorf("phase %s, and nobody used it for more than an hour, want released", db.Phase)
				}
			})
		})
	}
}

// A server that begins has nothing to compare with: it asks twice.
func TestAServerThatBeginsReleasesWhatIsIdleSoon(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f, p := newFakeCluster(), &fakeProber{}
		first := run(t, "a", f, p, hourly)
		mustCreate(t, first, "ann")
		first.stop()
		time.Sleep(5 * time.Hour)
		run(t, "b", f, p, hourly)
		for i, want := range []struct {
			marked bool
			phase  playground.Phase
		}{{false, playground.Ready}, {true, playground.Ready}, {false, playground.Released}} {
			time.Sleep(time.Minute + time.Second)
			if db := f.get("ann"); db.Marked.IsZero() == want.marked || db.Phase != want.phase {
				t.Errorf("after pass %d: %s, marked at %v; want %+v", i+1, db.Phase, db.Marked, want)
			}
		}
	})
}

// A database that does not answer costs seconds each time.
func TestWhatDoesNotAnswerIsAskedNowAndThen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := &fakeProber{ask: errSilent}
		m := run(t, "a", newFakeCluster(), p, nil)
		mustCreate(t, m, "ann")
		time.Sleep(71 * time.Hour)
		if n := len(p.asked()); n < 60 || n > 75 {
			t.Errorf("it was asked %d times in 71 hours, want about every hour", n)
		}
	})
}

func TestAPassThatTookLongIsNotFollowedByTheNextAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const takes = 90 * time.Second
		p := &fakeProber{ask: errSilent, askTakes: takes}
		m := run(t, "a", newFakeCluster(), p, func(o *playground.Options) { o.IdleTimeout = 10 * time.Minute })
		mustCreate(t, m, "ann")
		time.Sleep(time.Hour)
		asks := p.asked()
		if len(asks) < 10 {
			t.Fatalf("it was asked %d times", len(asks))
		}
		for i, at := range asks[1:] {
			if rest := at.Sub(asks[i]) - takes; rest < time.Minute {
				t.Errorf("pass %d rested for %v", i, rest)
			}
		}
	})
}
