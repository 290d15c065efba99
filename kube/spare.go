package kube

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// A spare is a database made ahead, nobody's yet: a service, a pod and, with storage, a
// volume claim of one name. It is taken by writing the user into the service, on the
// service's resourceVersion, so that nobody else takes it too. The user's record names
// it as the place of the user's database, and was made before, so that no user takes
// two. Pod and volume are told whose they are a moment later (hand over), by who took
// the spare, or by any replica if that one died.

const (
	sparePrefix = "sqlflow-spare-"
	spareChars  = 10 // of rand.Text in lower case, 50 bits

	// values of poolLabel
	poolSpare   = "spare"
	poolTaken   = "taken"
	poolDropped = "dropped"

	// halfMade is how long the pieces of a spare may take to appear.
	halfMade = 30 * time.Second
	// startLimit is how long a spare may be unready: as long as a user's own database may
	// take to start (playground.Options.StartLimit). What its pod waits for (a network, a
	// volume, a node) may never come, and Kubernetes does not say so.
	startLimit = 15 * time.Minute
	// restockedAtOnce is how many spares may be coming up at a time, so that nodes have
	// room for databases that somebody waits for.
	restockedAtOnce = 8
	// takingRounds is how many spares a user tries for, of which others were faster each
	// time, before a database is made for him alone.
	takingRounds = 4
)

// isSpare tells names of spares, which no user's own name is like.
func isSpare(name string) bool {
	rest, ok := strings.CutPrefix(name, sparePrefix)
	return ok && len(rest) == spareChars && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func newSpareName() string { return sparePrefix + strings.ToLower(rand.Text()[:spareChars]) }

// worth of a place as a spare.
type worth int

const (
	noSpare worth = iota // taken, or gone
	ready                // somebody may take it
	coming               // it is coming up
	late                 // it should have come up by now: it must go
	bad                  // it must go
)

// appraise says what a place is worth as a spare.
func (c *Cluster) appraise(p pieces, now time.Time) worth {
	switch {
	case p.service != nil && p.service.user != "" || p.pod != nil && p.pod.user != "":
		return noSpare
	case p.service == nil && p.pod == nil: // a volume alone: a user's, or a leftover
		if p.volume == nil || p.volume.user != "" || p.volume.leaving || now.Sub(p.volume.created) < halfMade {
			return noSpare
		}
		return bad
	case p.service == nil && p.pod.leaving: // dropped, and nearly gone
		return noSpare
	case p.service == nil || p.pod == nil || c.o.Storage != "" && p.volume == nil:
		if now.Sub(p.created()) < halfMade {
			return coming
		}
		return bad
	case p.service.dropped || p.pod.leaving || p.pod.hash != c.hash:
		return bad
	case p.pod.phase == playground.Ready:
		return ready
	case p.pod.phase == playground.Starting && now.Sub(p.pod.unready) < startLimit:
		return coming
	case p.pod.phase == playground.Starting:
		return late
	}
	return bad
}

func (p pieces) created() time.Time {
	if p.pod != nil {
		return p.pod.created
	}
	return p.service.created
}

// spares sorts the names of all spares by their worth, the oldest first.
func (c *Cluster) spares() map[worth][]string {
	now := c.o.Now()
	type spare struct {
		name    string
		created time.Time
	}
	sorted := make(map[worth][]spare)
	for name, p := range c.view.ahead() {
		if worth := c.appraise(p, now); worth != noSpare {
			s := spare{name: name}
			if p.pod != nil || p.service != nil {
				s.created = p.created()
			}
			sorted[worth] = append(sorted[worth], s)
		}
	}
	names := make(map[worth][]string)
	for worth, all := range sorted {
		slices.SortFunc(all, func(a, b spare) int {
			if by := a.created.Compare(b.created); by != 0 {
				return by
			}
			return strings.Compare(a.name, b.name)
		})
		for _, s := range all {
			names[worth] = append(names[worth], s.name)
		}
	}
	return names
}

// Spares implements [playground.Pool].
func (c *Cluster) Spares() (playground.Spares, <-chan struct{}) {
	changed := c.view.sparesChange()
	all := c.spares()
	return playground.Spares{Ready: len(all[ready]), Coming: len(all[coming]), Bad: len(all[bad]) + len(all[late])}, changed
}
