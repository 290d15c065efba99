package kube_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
)

// A node whose network or volumes are broken keeps a pod waiting, and never says that it
// is in vain.
func TestSparesThatDoNotComeUpAreMadeAnew(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	limit, now := playground.DefaultOptions().StartLimit, time.Now()
	told := new(logtest.Hook)
	c := b.cluster(withPool, func(o *kube.Options) {
		o.Now = func() time.Time { return now }
		o.Log.(*logrus.Logger).AddHook(told)
	})
	w := b.watch(c)
	w.until("the first list", func() bool { return w.synced > 0 })
	must(t, c.Restock(t.Context(), 2, 0))
	now = now.Add(limit - time.Minute)
	w.spares(c, playground.Spares{Coming: 2}) // what the watch has not told whole is bad by now
	stuck := b.fake.Names("pods")
	_, changed := c.Spares()
	b.podStatus(stuck[0], `{"phase": "Pending", "containerStatuses": [{"name": "mysql", "state": {"waiting": {"reason": "ContainerCreating"}}}]}`)
	<-changed
	must(t, c.Restock(t.Context(), 2, 0))
	if names := b.fake.Names("pods"); !slices.Equal(names, stuck) {
		t.Errorf("there are %v, were %v", names, stuck)
	}

	now = now.Add(2 * time.Minute)
	w.spares(c, playground.Spares{Bad: 2})
	must(t, c.Restock(t.Context(), 2, 0))
	for _, name := range stuck {
		b.finishPod(name)
	}
	now = time.Now() // when the fake made them
	w.spares(c, playground.Spares{Coming: 2})
	for _, name := range b.fake.Names("pods") {
		if slices.Contains(stuck, name) {
			t.Errorf("%s is still there", name)
		}
	}
	must(t, c.Restock(t.Context(), 2, 0))
	warnings := 0
	for _, e := range told.AllEntries() {
		if e.Level == logrus.WarnLevel && strings.Contains(e.Message, "not ready within 15m0s") && strings.Contains(e.Message, "ContainerCreating") {
			warnings++
		}
	}
	if warnings != 1 {
		t.Errorf("it was told %d times", warnings)
	}
}

// What was ready once counts from when it no longer was.
func TestASpareMayBeUnreadyForAMoment(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	limit, now := playground.DefaultOptions().StartLimit, time.Now()
	c := b.cluster(withPool, func(o *kube.Options) { o.Now = func() time.Time { return now } })
	w := b.watch(c)
	spare := b.stock(c, w, 1)[0]
	now = now.Add(10 * limit)
	b.podStatus(spare, fmt.Sprintf(`{"phase":"Running","conditions":[{"type":"Ready","status":"False","lastTransitionTime":%q}]}`, now.UTC().Format(time.RFC3339)))
	w.spares(c, playground.Spares{Coming: 1})
	now = now.Add(limit + time.Minute)
	w.spares(c, playground.Spares{Bad: 1})
}
