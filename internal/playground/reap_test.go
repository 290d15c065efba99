package playground_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// goodbyeCluster is a fakeCluster whose pods take a while to end, as real ones do.
type goodbyeCluster struct {
	*fakeCluster
	takes time.Duration
}

func (c goodbyeCluster) Release(ctx context.Context, db playground.Database, at time.Time) error {
	if err := c.fakeCluster.Release(ctx, db, at); err != nil {
		return err
	}
	c.set(func() {
		c.records[db.User].Phase, c.records[db.User].Pod = playground.Leaving, db.Pod
		c.change(db.User)
	})
	time.AfterFunc(c.takes, func() {
		c.set(func() {
			c.records[db.User].Phase, c.records[db.User].Pod = playground.Released, playground.Version{}
			c.change(db.User)
		})
	})
	return nil
}

// reapCounter counts releases.
type reapCounter struct {
	playground.Silent
	reaped atomic.Int64
}

func (r *reapCounter) Reaped(string) { r.reaped.Add(1) }

func TestAPodThatIsBeingDeletedIsNotReapedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := goodbyeCluster{newFakeCluster(), 5 * time.Minute}
		counter := &reapCounter{}
		o := playground.DefaultOptions()
		hourly(&o)
		m, err := playground.NewManager(c, &fakeProber{}, o, quiet(), counter)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		defer func() { cancel(); <-done }()
		mustCreate(t, bench{Manager: m}, "ann")
		time.Sleep(2 * time.Hour)
		if n := counter.reaped.Load(); n != 1 || c.get("ann").Phase != playground.Released {
			t.Errorf("it was reaped %d times and is %s, want once and released", n, c.get("ann").Phase)
		}
	})
}

// Somebody waits for a pod that is still coming up, perhaps at another replica.
func TestAPodThatIsComingUpIsNotReaped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := newFakeCluster()
		f.startTime = 10 * time.Minute
		impatient := func(o *playground.Options) {
			o.IdleTimeout, o.CreateTimeout, o.FlushInterval = 5*time.Minute, 12*time.Minute, 10*time.Second
		}
		run(t, "a", f, &fakeProber{}, impatient)
		b := run(t, "b", f, &fakeProber{}, impatient)
		begun := time.Now()
		mustCreate(t, b, "ann")
		if took, n := time.Since(begun), f.started("ann"); took > 11*time.Minute || n != 1 {
			t.Errorf("it took %v and %d pods, want one pod", took, n)
		}
	})
}

// busyCluster takes long to make a pod, and counts the marks.
type busyCluster struct {
	*fakeCluster
	takes time.Duration
	marks atomic.Int64
}

func (c *busyCluster) Start(ctx context.Context, user playground.User) error {
	time.Sleep(c.takes)
	return c.fakeCluster.Start(ctx, user)
}

func (c *busyCluster) Mark(ctx context.Context, db playground.Database, at time.Time) error {
	c.marks.Add(1)
	return c.fakeCluster.Mark(ctx, db, at)
}

// Nor is a record whose pod is still to be made, by a replica that has much to do: its
// user was told that there will be a database.
func TestARecordWhosePodIsStillToBeMadeIsNotReaped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := &busyCluster{fakeCluster: newFakeCluster(), takes: 25 * time.Second}
		impatient := func(o *playground.Options) {
			o.IdleTimeout, o.MaxIdle, o.CreateTimeout, o.FlushInterval = 10*time.Second, 10*time.Second, time.Minute, time.Second
		}
		run(t, "a", c, &fakeProber{}, impatient)
		b := run(t, "b", c, &fakeProber{}, impatient)
		begun := time.Now()
		mustCreate(t, b, "ann")
		if took, marks := time.Since(begun), c.marks.Load(); took > 30*time.Second || marks > 0 {
			t.Errorf("it took %v, and it was marked %d times, want never", took, marks)
		}
	})
}
