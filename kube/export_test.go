package kube

import (
	"context"
	"sync/atomic"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Hurry shortens the pauses of c's watches, so that tests of lost watches are short.
func (c *Cluster) Hurry(silence, stale time.Duration) {
	c.timing = timing{
		life: 20 * time.Second, silence: silence, stable: 50 * time.Millisecond,
		first: 10 * time.Millisecond, longest: 100 * time.Millisecond, stale: stale, unfinal: 300 * time.Millisecond,
	}
}

// SweepEvery is for tests that show what happens without the sweep. Call it before Watch.
func (c *Cluster) SweepEvery(pause time.Duration) { c.timing.unfinal = pause }

// Promise is for tests of what becomes of promises that are not kept.
func (c *Cluster) Promise(spare string, user playground.User) bool {
	return c.promises.promise(spare, user)
}

// Forget is the part of the sweep that is about promises.
func (c *Cluster) Forget() { c.promises.forget() }

// Promised is how many spares are promised to users.
func (c *Cluster) Promised() int {
	c.promises.mu.Lock()
	defer c.promises.mu.Unlock()
	return len(c.promises.to)
}

// DatabaseSelector finds the objects of a name.
func DatabaseSelector(name string) string { return databaseLabel + "=" + name }

// Permissions are "verb group/resource" for each that [Cluster.Check] asks for.
func Permissions(pool, storage bool) []string {
	var all []string
	for _, p := range permissions(pool, storage) {
		all = append(all, p.verb+" "+p.group+"/"+p.resource)
	}
	return all
}

// Waiting is how many claims, starts and reads wait to be run.
func (c *Cluster) Waiting() int { return c.claims.length() + c.starts.length() + c.reads.length() }

func (g *group[T]) length() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// Present counts from now on how many claims and starts wait, or were begun with.
func (c *Cluster) Present() (count func() int) {
	var begun atomic.Int64
	c.claims.run = counting(&begun, c.claims.run)
	c.starts.run = counting(&begun, c.starts.run)
	return func() int { return c.Waiting() + int(begun.Load()) }
}

func counting[T any](begun *atomic.Int64, run func(context.Context, []T, more[T]) []error) func(context.Context, []T, more[T]) []error {
	return func(ctx context.Context, items []T, more more[T]) []error {
		begun.Add(int64(len(items)))
		defer begun.Add(int64(-len(items)))
		return run(ctx, items, more)
	}
}

// VolumeLeaves reports whether it is known that the user's data is being deleted.
func (c *Cluster) VolumeLeaves(user playground.User) bool {
	p, _ := c.view.database(user.Name())
	return p.volume != nil && p.volume.leaving
}
