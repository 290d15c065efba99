package playground_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// hourly is the shape of the options in the lease tests.
func hourly(o *playground.Options) {
	o.IdleTimeout, o.MaxIdle, o.KeepAddress = time.Hour, 3*time.Hour, 24*time.Hour
}

func TestAnIdleDatabaseIsReleasedAndComesBackAtItsAddress(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, hourly)
		before := mustCreate(t, m, "ann")
		time.Sleep(59 * time.Minute)
		if db := f.get("ann"); db.Phase != playground.Ready {
			t.Fatalf("phase %s before the time-out, want ready", db.Phase)
		}
		time.Sleep(5 * time.Minute)
		if db := f.get("ann"); db.Phase != playground.Released {
			t.Fatalf("phase %s after the time-out, want released", db.Phase)
		}
		if _, err := m.Beat(gateway, "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if s := m.Database("ann"); s.State != playground.StateReady || s.DataSource != before.DataSource {
			t.Errorf("after a beat: %+v, want ready at %s", s, before.DataSource)
		}
	})
}

func TestAReleasedAddressIsGivenUpInTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, hourly)
		mustCreate(t, m, "ann")
		time.Sleep(26 * time.Hour)
		if db := f.get("ann"); db.Phase != playground.None {
			t.Errorf("phase %s, want none", db.Phase)
		}
		if n := len(m.Databases()); n != 0 {
			t.Errorf("the manager still remembers %d", n)
		}
	})
}

func TestWhatIsUsedIsKept(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(*testing.T, bench, *fakeProber){
		"heart beats": func(t *testing.T, m bench, _ *fakeProber) {
			if _, err := m.Beat(gateway, "ann"); err != nil {
				t.Error(err)
			}
		},
		"an open connection": func(_ *testing.T, _ bench, p *fakeProber) {
			p.set(func() { p.counts.Threads = 1 })
		},
		"a query now and then": func(_ *testing.T, _ bench, p *fakeProber) {
			p.set(func() { p.counts.Connections++ })
		},
		"no answer, until max_idle": func(_ *testing.T, _ bench, p *fakeProber) {
			p.set(func() { p.ask = errors.New("time-out") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f, p := newFakeCluster(), &fakeProber{}
				m := run(t, "a", f, p, hourly)
				mustCreate(t, m, "ann")
				for range 5 {
					use(t, m, p)
					time.Sleep(31 * time.Minute)
				}
				if db := f.get("ann"); db.Phase != playground.Ready {
					t.Errorf("phase %s, want ready", db.Phase)
				}
				time.Sleep(31 * time.Minute)
				if name == "no answer, until max_idle" && f.get("ann").Phase != playground.Released {
					t.Errorf("phase %s past max_idle, want released", f.get("ann").Phase)
				}
			})
		})
	}
}

func TestNobodyIsReleasedInTheGraceAfterTheStart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		first := run(t, "a", f, &fakeProber{}, hourly)
		mustCreate(t, first, "ann")
		first.stop()
		f.set(func() { f.leader = "" })
		time.Sleep(24 * time.Hour)
		run(t, "b", f, &fakeProber{}, func(o *playground.Options) { hourly(o); o.Grace = 10 * time.Minute })
		time.Sleep(9 * time.Minute)
		if db := f.get("ann"); db.Phase != playground.Ready {
			t.Errorf("phase %s in the grace, want ready", db.Phase)
		}
		time.Sleep(10 * time.Minute)
		if db := f.get("ann"); db.Phase != playground.Released {
			t.Errorf("phase %s after the grace, want released", db.Phase)
		}
	})
}

func TestHeartBeatsAreWrittenInBatches(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, nil)
		for _, user := range []playground.User{"ann", "bob", "cal"} {
			mustCreate(t, m, user)
		}
		time.Sleep(2 * time.Minute)
		f.set(func() { f.touches = 0 })
		for range 1000 {
			for _, user := range []string{"ann", "bob", "cal"} {
				if _, err := m.Beat(gateway, user); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(time.Minute)
		if n := f.touched(); n != 1 {
			t.Errorf("3,000 heart beats were written by %d calls, want 1", n)
		}
	})
}

func TestABeatPastHalfTheTimeoutIsWrittenAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		m := run(t, "a", f, &fakeProber{}, func(o *playground.Options) { hourly(o); o.FlushInterval = 25 * time.Minute })
		mustCreate(t, m, "ann")
		time.Sleep(58 * time.Minute)
		if _, err := m.Beat(gateway, "ann"); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		synctest.Wait()
		if db := f.get("ann"); !db.LastUse.Equal(at) {
			t.Errorf("the record says %v, want %v", db.LastUse, at)
		}
	})
}

// A reaper announces itself, waits, and takes the database only if nothing changed the
// record: a beat to another replica wins at any moment.
func TestABeatToAnotherReplicaAlwaysWins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		beat func(f *fakeCluster, beat func())
	}{
		{"after the mark", func(f *fakeCluster, beat func()) {
			for f.get("ann").Marked.IsZero() {
				time.Sleep(time.Second)
			}
			beat()
		}},
		{"at the moment of release", func(f *fakeCluster, beat func()) {
			f.set(func() { f.beforeRelease = func() { beat(); synctest.Wait() } })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				a, b := run(t, "a", f, &fakeProber{}, hourly), run(t, "b", f, &fakeProber{}, hourly)
				mustCreate(t, a, "ann")
				end := time.Now().Add(110 * time.Minute)
				var beats int
				c.beat(f, func() {
					beats++
					if _, err := b.Beat(gateway, "ann"); err != nil {
						t.Error(err)
					}
				})
				pod := f.get("ann").Pod
				time.Sleep(time.Until(end))
				synctest.Wait() // beats is the reaper's until it rests
				if beats == 0 {
					t.Fatal("the test never beat")
				}
				if db := f.get("ann"); db.Phase != playground.Ready || db.Pod.UID != pod.UID {
					t.Errorf("the database was taken: %+v", db)
				}
			})
		})
	}
}

func TestBeat(t *testing.T) {
	t.Parallel()
	one := func(user playground.User) playground.Client {
		return playground.Client{Power: playground.OneUser, User: user}
	}
	for _, c := range []struct {
		name    string
		client  playground.Client
		raw     string
		greeted playground.User
		renewed []playground.User
		code    playground.Code
	}{
		{"a plain id", gateway, "ann", "ann", []playground.User{"ann"}, ""},
		{"an unknown id is greeted all the same", gateway, "eve", "eve", nil, ""},
		{"nothing is greeted all the same", gateway, "", "", nil, ""},
		{"a plus may be a plus or a blank", gateway, "a+b@x.org", "a b@x.org", []playground.User{"a+b@x.org", "a b@x.org"}, ""},
		{"a hash cuts the id", gateway, "c", "c", []playground.User{"c#1", "c&2"}, ""},
		{"percent signs that are not escapes", gateway, "100%", "100%", []playground.User{"100%"}, ""},
		{"an escaped id", gateway, "%E5%BC%A0", "张", []playground.User{"张"}, ""},
		{"raw UTF-8", gateway, "张", "张", []playground.User{"张"}, ""},
		{"a user's own certificate", one("ann"), "ann", "ann", []playground.User{"ann"}, ""},
		{"a mangled form of one's own id", one("a+b@x.org"), "a+b@x.org", "a+b@x.org", []playground.User{"a+b@x.org"}, ""},
		{"a cut form of one's own id", one("c#1"), "c", "c#1", []playground.User{"c#1"}, ""},
		{"another's id", one("ann"), "bob", "", nil, playground.Forbidden},
		{"no mark", playground.Client{Power: playground.Unmarked}, "bob", "bob", []playground.User{"bob"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				m := run(t, "a", f, &fakeProber{}, nil)
				for _, user := range []playground.User{"ann", "bob", "a+b@x.org", "a b@x.org", "c#1", "c&2", "100%", "张"} {
					mustCreate(t, m, user)
				}
				time.Sleep(time.Hour)
				now := time.Now()
				greeted, err := m.Beat(c.client, c.raw)
				if greeted != c.greeted || code(err) != c.code {
					t.Errorf("got %q, %v; want %q, %q", string(greeted), err, string(c.greeted), c.code)
				}
				var renewed []playground.User
				for _, s := range m.Databases() {
					if s.LastHeartBeat.Equal(now) {
						renewed = append(renewed, s.User)
					}
				}
				if !sameUsers(renewed, c.renewed) {
					t.Errorf("renewed %v, want %v", renewed, c.renewed)
				}
			})
		})
	}
}

func sameUsers(a, b []playground.User) bool {
	if len(a) != len(b) {
		return false
	}
	in := map[playground.User]bool{}
	for _, u := range a {
		in[u] = true
	}
	for _, u := range b {
		if !in[u] {
			return false
		}
	}
	return true
}

func TestCreateIsForTheCertificatesOwnUser(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		m := run(t, "a", newFakeCluster(), &fakeProber{}, nil)
		c := playground.Client{Power: playground.OneUser, User: "ann"}
		if _, err := m.Create(context.Background(), c, "bob"); code(err) != playground.Forbidden {
			t.Errorf("got %v, want forbidden", err)
		}
		if err := m.Delete(context.Background(), c, "bob", false); code(err) != playground.Forbidden {
			t.Errorf("got %v, want forbidden", err)
		}
	})
}
