package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// measureCrowd makes databases on nodes that only pretend, where a pod is ready at once
// and two thousand fit: what is left is the server, kubectl and Kubernetes itself.
func measureCrowd(t *testing.T, p *performance, tornado bool) {
	b, flags := fakeNodes(t)
	c := newContest(t, func() *site { return newSiteOn(t, b) }, fakeTemplates(t), tornado, flags...)
	bare := c.ours.bare(t)

	const few, most = 200, 2000
	c.memory(t, p, bare, "memory without databases")
	c.fill(t, few)
	c.memory(t, p, bare, "memory at 200 databases")
	for _, many := range []int{eight, 50, 200} {
		c.rush(t, p, bare, many)
	}
	c.fill(t, most)
	c.memory(t, p, bare, "memory at 2,000 databases", atMost(60))
}

// fill makes databases until there are so many.
func (c *contest) fill(t *testing.T, number int) {
	t.Helper()
	c.ours.createMany(t, c.users, number, 64)
	c.users = max(c.users, number)
}

// memory reads what our server holds, and the bare handler.
func (c *contest) memory(t *testing.T, p *performance, bare *server, what string, goals ...goal) {
	t.Helper()
	const readings = 5
	var ours, floor, watching, anonymous, floorAnonymous sample
	for range readings {
		pause(t, time.Second)
		u := c.ours.usage(t)
		ours = append(ours, float64(u.memory)/(1<<20))
		watching = append(watching, float64(u.children)/(1<<20))
		floor = append(floor, float64(resident(bare.cmd.Process.Pid))/(1<<20))
		anonymous = append(anonymous, ownMemory(c.ours.cmd.Process.Pid))
		floorAnonymous = append(floorAnonymous, ownMemory(bare.cmd.Process.Pid))
	}
	p.add(t, comparison{what: what, unit: megabytes, ours: ours, floor: floor, goals: goals})
	p.add(t, comparison{what: "of that, without pages of the program's file", unit: megabytes, ours: anonymous, floor: floorAnonymous})
	p.add(t, comparison{what: "memory of its watching kubectl", unit: megabytes, ours: watching})
}

// ownMemory is what a process holds that is no page of a file, in megabytes.
func ownMemory(pid int) float64 {
	kilobytes, _, _ := strings.Cut(procField(fmt.Sprintf("/proc/%d/status", pid), "RssAnon"), " ")
	n, _ := strconv.ParseFloat(kilobytes, 64)
	return n / (1 << 10)
}

// rush has many new users come at once, five times over, while somebody's heart beats.
func (c *contest) rush(t *testing.T, p *performance, bare *server, many int) {
	t.Helper()
	const rounds = 5
	var took, kubectl, cpu, worst [3]sample
	var running sample
	var used usedBy
	note := func(who int, o outcome) {
		took[who] = append(took[who], o.took.Seconds())
		kubectl[who] = append(kubectl[who], float64(o.kubectl)/float64(many))
		cpu[who] = append(cpu[who], o.cpu.Seconds()/float64(many))
	}
	for range rounds {
		note(1, c.byHand(t, many))
		beating, beside := c.ours.pulse(t, student(0), pulseEvery), bare.pulse(t, student(0), pulseEvery)
		before := now(t)
		self, _ := c.bySelf(t, many)
		used.add(t, before, c.ours.cmd.Process.Pid)
		slowest, _ := beating.stop(t)
		least, _ := beside.stop(t)
		note(0, self)
		running = append(running, self.running.Seconds())
		worst[0], worst[1] = append(worst[0], slowest.Seconds()), append(worst[1], least.Seconds())
		if c.peer == nil {
			continue
		}
		beating = c.peer.pulse(t, student(0), pulseEvery)
		note(2, c.byTornado(t, many))
		slowest, _ = beating.stop(t)
		worst[2] = append(worst[2], slowest.Seconds())
	}
	var speed, slow, runs []goal
	switch many {
	case eight:
		speed = []goal{tornadoTimes(8)}
	case 50:
		slow, runs = []goal{atMost(0.05)}, []goal{atMost(0.2)}
	}
	if len(speed)+len(slow) > 0 {
		p.details = append(p.details, used.detail(fmt.Sprintf("Who uses the processors while %d users come at once, on simulated nodes", many),
			"From the first request to the last answer, as /proc tells. An idle real cluster runs beside the simulated one."))
	}
	p.add(t, comparison{what: fmt.Sprintf("%d users at once, on simulated nodes, until the last is served", many), unit: inSeconds, ours: took[0], floor: took[1], peer: took[2], goals: speed})
	p.add(t, comparison{what: "how long kubectl ran of that, all runs together", unit: inSeconds, ours: running})
	p.add(t, comparison{what: "the worst heart beat meanwhile (floor: of the bare handler)", unit: inSeconds, ours: worst[0], floor: worst[1], peer: worst[2], goals: slow})
	p.add(t, comparison{what: "kubectl processes for each create", unit: number, ours: kubectl[0], floor: kubectl[1], peer: kubectl[2], goals: runs})
	p.add(t, comparison{what: "processor time for each create, kubectl included", unit: inSeconds, ours: cpu[0], floor: cpu[1], peer: cpu[2]})
}
