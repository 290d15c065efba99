package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// measurePool takes databases that were made ahead.
func measurePool(t *testing.T, p *performance, _ bool) {
	const rounds, rushes = 7, 5
	c := &contest{ours: newSite(t).serveAsInTheImage(t, fmt.Sprintf("--pool=%d", eight))}
	one := comparison{what: "create_db of a new user, warm: from the pool, on a real node", unit: inSeconds, peer: p.one, goals: []goal{atMost(0.4)}}
	for range rounds {
		c.ours.quietPool(t, eight)
		o, users := c.bySelf(t, 1)
		one.ours = append(one.ours, o.took.Seconds())
		c.ours.remove(t, users)
	}
	rush := comparison{what: "8 users at once, warm: from a pool of 8, until the last is served", unit: inSeconds, peer: p.eight, goals: []goal{tornadoTimes(8)}}
	worst := comparison{what: "the worst heart beat meanwhile", unit: inSeconds, peer: p.eightWorst}
	for range rushes {
		c.ours.quietPool(t, eight)
		beating := c.ours.pulse(t, beatUser, pulseEvery)
		o, users := c.bySelf(t, eight)
		slowest, _ := beating.stop(t)
		rush.ours, worst.ours = append(rush.ours, o.took.Seconds()), append(worst.ours, slowest.Seconds())
		c.ours.remove(t, users)
	}
	p.add(t, one)
	p.add(t, rush)
	p.add(t, worst)
}

// quietPool waits until the pool is full and nothing else is there, nor under way.
func (s *server) quietPool(t *testing.T, size int) {
	t.Helper()
	s.full(t)
	eventually(t, "only the pool is there", 2*time.Minute, func() error {
		now, err := s.pool(t)
		if err != nil {
			return err
		}
		pods, err := s.list(t.Context(), "/api/v1", "pods", "")
		if err == nil && (now.Ready != size || len(pods) != size) {
			err = fmt.Errorf("the pool is %+v, and there are %d pods", now, len(pods))
		}
		return err
	})
	pause(t, 2*time.Second) // the node has just started a pod
}
