package playground_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// A node that is not ready for a moment makes every pod unschedulable for that moment.
func TestAVerdictThatMayPassIsBelievedOnceItStood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		doubt time.Duration // how long the pod is failed, but unsure
		code  playground.Code
		told  time.Duration // when the caller is answered, counted from the verdict
	}{
		{"it passes", time.Second, "", time.Second},
		{"it passes at the last moment", 3900 * time.Millisecond, "", 3900 * time.Millisecond},
		{"it stands", time.Hour, playground.CannotStart, 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				f.doubt = c.doubt
				a, b := run(t, "a", f, &fakeProber{}, nil), run(t, "b", f, &fakeProber{}, nil)
				begun := time.Now()
				time.AfterFunc(f.startTime+500*time.Millisecond, func() {
					for _, m := range []bench{a, b} {
						if s := m.Database("ann"); s.State != playground.StateCreating || s.Reason != unschedulable {
							t.Errorf("meanwhile it is told as %+v, want creating with the reason", s)
						}
					}
				})
				_, err := a.Create(t.Context(), gateway, "ann")
				took := time.Since(begun) - f.startTime
				if code(err) != c.code || took != c.told {
					t.Errorf("after %v: %v, want %q after %v", took, err, c.code, c.told)
				}
				synctest.Wait()
				switch db := f.get("ann"); {
				case c.code == "" && (db.Phase != playground.Ready || f.started("ann") != 1):
					t.Errorf("%+v after %d starts, want the first pod", db, f.started("ann"))
				case c.code != "" && (db.Phase != playground.None || !strings.Contains(err.Error(), "untolerated")):
					t.Errorf("%v left %+v", err, db)
				}
			})
		})
	}
}

func TestADatabaseWhoseVerdictMayPassIsNotTornDown(t *testing.T) {
	t.Parallel()
	for name, stands := range map[string]bool{"it passes": false, "it stands": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				f := newFakeCluster()
				m := run(t, "a", f, &fakeProber{}, nil)
				mustCreate(t, m, "ann")
				verdict := func(phase playground.Phase, reason string, unsure bool) {
					f.set(func() {
						f.records["ann"].Phase, f.records["ann"].Reason, f.records["ann"].Unsure = phase, reason, unsure
						f.change("ann")
					})
				}
				verdict(playground.Failed, "CreateContainerError: context deadline exceeded", true)
				time.Sleep(2 * time.Second)
				verdict(playground.Failed, "CreateContainerError: the name is reserved", true)
				time.Sleep(time.Second)
				if !stands {
					verdict(playground.Ready, "", false)
				}
				time.Sleep(3 * time.Minute)
				want := 1
				if stands {
					want = 2
				}
				if s := m.Database("ann"); s.State != playground.StateReady || f.started("ann") != want {
					t.Errorf("%+v after %d starts, want ready after %d", s, f.started("ann"), want)
				}
			})
		})
	}
}
