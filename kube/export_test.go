package kube

import "time"

// Hurry shortens the pauses of c's watches, so that tests of lost watches are short.
func (c *Cluster) Hurry(silence, stale time.Duration) {
	c.timing = timing{
		life: 20 * time.Second, silence: silence, stable: 50 * time.Millisecond,
		first: 10 * time.Millisecond, longest: 100 * time.Millisecond, stale: stale, unfinal: 300 * time.Millisecond,
	}
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
