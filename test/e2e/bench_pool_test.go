package e2e_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// measurePool takes databases that were made ahead.
func measurePool(t *testing.T, p *performance, _ bool) {
	const pool, rounds, rushes = eight, 7, 5
	one := comparison{what: "create_db of a new user from the pool, on a real node", unit: inSeconds, goals: []goal{atMost(0.4)}}
	rush := comparison{what: "8 users at once from a pool of 8, until the last is served", unit: inSeconds, peer: p.eight, goals: []goal{tornadoTimes(8)}}
	defer func() {
		p.add(t, one)
		p.add(t, rush)
	}()
	if help, _ := exec.CommandContext(t.Context(), program(t), "--help").CombinedOutput(); !strings.Contains(string(help), "--pool ") {
		one.why, rush.why = "there is no --pool", "there is no --pool"
		return
	}
	c := &contest{ours: newSite(t).serve(t, fmt.Sprintf("--pool=%d", pool))}
	full := c.ours.fills(t, pool)
	for round := range rounds {
		full(t, round)
		o, users := c.bySelf(t, 1)
		one.ours = append(one.ours, o.took.Seconds())
		c.ours.remove(t, users)
	}
	for round := range rushes {
		full(t, rounds+pool*round)
		o, users := c.bySelf(t, pool)
		rush.ours = append(rush.ours, o.took.Seconds())
		c.ours.remove(t, users)
	}
}

// fills gives a function that waits until the pool is full again after so many
// databases were taken from it and deleted.
func (s *server) fills(t *testing.T, pool int) func(t *testing.T, taken int) {
	t.Helper()
	ever := map[string]bool{}
	return func(t *testing.T, taken int) {
		t.Helper()
		eventually(t, "the pool is full", 2*time.Minute, func() error {
			pods, err := s.objects(t.Context(), "pods")
			ready := 0
			for _, pod := range pods {
				ever[pod.Metadata.UID] = true
				if pod.ready() {
					ready++
				}
			}
			if err == nil && (ready != pool || len(pods) != pool || len(ever) < pool+taken) {
				err = fmt.Errorf("%d pods of %d are ready, %d were ever there", ready, len(pods), len(ever))
			}
			return err
		})
		pause(t, 2*time.Second) // the machine settles, and the server knows it too
	}
}
