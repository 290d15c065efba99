package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/templates"
	"sqlflow.org/sqlflow_playground/test/images"
)

// eight is how many users come at once to a real node of two cores.
const eight = 8

// floorLabel is on what is made by hand; its value tells which run.
const floorLabel = "floor"

// manifests are pods and services for making so many databases by hand, of the same
// templates that the server uses.
func (s *site) manifests(t *testing.T, set *templates.Set, run string, many int) string {
	t.Helper()
	var text strings.Builder
	for i := range many {
		name := fmt.Sprintf("floor-%s-%d", run, i)
		own := map[string]string{floorLabel: run, "name": name}
		d := templates.Database{Name: name, Namespace: s.namespace, User: name, Image: images.MySQLName, Labels: own, Annotations: own, Selector: own}
		for _, render := range []func(templates.Database) ([]byte, error){set.Pod, set.Service} {
			object, err := render(d)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(object)
			text.WriteByte('\n')
		}
	}
	return text.String()
}

// tornadoPod is the pod that the single-threaded server makes for "USER".
func (s *site) tornadoPod(t *testing.T, set *templates.Set) string {
	t.Helper()
	own := map[string]string{"tornado": "pod"}
	pod, err := set.Pod(templates.Database{Name: "sqlflow-mysql-USER", Namespace: s.namespace, User: "USER", Image: images.MySQLName, Labels: own, Annotations: own, Selector: own})
	if err != nil {
		t.Fatal(err)
	}
	return string(pod)
}

func templateSet(t *testing.T, dir string) *templates.Set {
	t.Helper()
	set, err := templates.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A contest is what takes part wherever databases are made: our server, the kubectl of
// an operator, and tornado unless the machine has none. Each has a namespace of its own.
type contest struct {
	ours  *server
	hand  *site
	peer  *server // nil: no tornado
	set   *templates.Set
	runs  int // by hand
	users int // of ours that there ever were
	guest int // of tornado
}

func newContest(t *testing.T, newSite func() *site, templateDir string, tornado bool, flags ...string) *contest {
	t.Helper()
	c := &contest{ours: newSite().serveAsInTheImage(t, flags...), hand: newSite(), set: templateSet(t, templateDir)}
	if tornado {
		s := newSite()
		s.makeKeys(t)
		c.peer = s.tornadoWithOurKeys(t, s.tornadoPod(t, c.set))
	}
	return c
}

// outcome is what making databases took.
type outcome struct {
	took time.Duration
	cost
	created time.Duration // by hand: when kubectl create was done
}

// byHand makes so many databases with two runs of kubectl and removes them again.
func (c *contest) byHand(t *testing.T, many int) outcome {
	t.Helper()
	c.runs++
	run := fmt.Sprintf("run-%d", c.runs)
	text := c.hand.manifests(t, c.set, run, many)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	created, waited, cpu, err := c.hand.byHand(ctx, text, floorLabel+"="+run)
	if err != nil {
		t.Fatal(err)
	}
	c.hand.kubectl(t, "", "delete", "pods,services", "--selector="+floorLabel+"="+run, "--wait=true")
	return outcome{created + waited, cost{cpu, 2, created + waited}, created}
}

// bySelf has our server make databases for so many new users at once. They stay.
func (c *contest) bySelf(t *testing.T, many int) (outcome, []string) {
	t.Helper()
	var users []string
	for range many {
		users = append(users, student(c.users))
		c.users++
	}
	before := c.ours.cost(t)
	took := c.ours.together(t, users)
	return outcome{took: took, cost: c.ours.cost(t).since(before)}, users
}

// byTornado has tornado do the same, and removes them again.
func (c *contest) byTornado(t *testing.T, many int) outcome {
	t.Helper()
	var users []string
	for range many {
		users = append(users, fmt.Sprintf("guest-%d", c.guest))
		c.guest++
	}
	before := c.peer.tornadoCost(t)
	took := c.peer.together(t, users)
	taken := c.peer.tornadoCost(t).since(before)
	c.peer.kubectl(t, "", "delete", "pods", "--all", "--wait=true")
	return outcome{took: took, cost: taken}
}

// together asks for the databases of all users at once, over a connection each, and
// tells when the last of them was served.
func (s *server) together(t *testing.T, users []string) time.Duration {
	t.Helper()
	errs := make([]error, len(users))
	var all sync.WaitGroup
	begun := time.Now()
	for i, user := range users {
		all.Go(func() { _, errs[i] = s.createPatiently(t.Context(), user) })
	}
	all.Wait()
	took := time.Since(begun)
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("not all were served: %.2000v", err)
	}
	return took
}

// remove deletes databases and waits until their pods are gone.
func (s *server) remove(t *testing.T, users []string) {
	t.Helper()
	for _, user := range users {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("/api/delete_db"), strings.NewReader(`{"user_id": "`+user+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := do(s.clients, request); err != nil || a.status != http.StatusOK {
			t.Fatalf("delete_db of %s was answered %s, %v", user, a, err)
		}
	}
	eventually(t, "the pods are gone", time.Minute, func() error {
		pods, err := s.list(t.Context(), "/api/v1", "pods", databaseLabel)
		for _, pod := range pods {
			if pod.Metadata.DeletionTimestamp != "" {
				err = fmt.Errorf("%s is there", pod.Metadata.Name)
			}
		}
		return err
	})
}

// stages are the events of a creation in their order.
var stages = []string{"scheduled", "started", "ready"}

// stagesOf tells when each event of a user's creation came, counted from now.
func (s *server) stagesOf(t *testing.T, user string) (done func() map[string]time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("/api/db_events?user_id="+user), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.clients.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	begun, came := time.Now(), map[string]time.Duration{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer response.Body.Close()
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				came[event] = time.Since(begun)
			}
		}
	}()
	return func() map[string]time.Duration {
		<-ended
		cancel()
		return maps.Clone(came)
	}
}

// measureCreates makes databases on a real node, one at a time and eight at once.
func measureCreates(t *testing.T, p *performance, tornado bool) {
	const rounds, rushes = 7, 5
	c := newContest(t, func() *site { return newSite(t) }, "", tornado)
	var took, cpu, kubectl [3]sample
	note := func(who int, o outcome) {
		took[who] = append(took[who], o.took.Seconds())
		cpu[who] = append(cpu[who], o.cpu.Seconds())
		kubectl[who] = append(kubectl[who], float64(o.kubectl))
	}
	came := map[string][]time.Duration{}
	for round := range rounds + 1 { // the first warms up
		hand := c.byHand(t, 1)
		following := c.ours.stagesOf(t, student(c.users))
		self, users := c.bySelf(t, 1)
		events := following()
		c.ours.remove(t, users)
		var old outcome
		if c.peer != nil {
			old = c.byTornado(t, 1)
		}
		if round == 0 {
			continue
		}
		note(0, self)
		note(1, hand)
		if c.peer != nil {
			note(2, old)
		}
		came["created"], came["waited"] = append(came["created"], hand.created), append(came["waited"], hand.took)
		came["answered"], came["kubectl"] = append(came["answered"], self.took), append(came["kubectl"], self.running)
		for event, at := range events {
			came[event] = append(came[event], at)
		}
	}
	p.one = took[2]
	p.add(t, comparison{what: "create_db of a new user, cold, on a real node", unit: inSeconds, ours: took[0], floor: took[1], peer: took[2], goals: []goal{floorPlus(0.15)}})
	p.add(t, comparison{what: "processor time of it, kubectl included", unit: inSeconds, ours: cpu[0], floor: cpu[1], peer: cpu[2]})
	p.add(t, comparison{what: "kubectl processes of it", unit: number, ours: kubectl[0], floor: kubectl[1], peer: kubectl[2]})
	p.details = append(p.details, timeline(came))
	measureAgain(t, p, c)
	measureEight(t, p, c, rushes)
}

// timeline shows where a lone creation spends its time.
func timeline(came map[string][]time.Duration) detail {
	d := detail{
		title: "One cold create_db, step by step",
		text:  "Medians of when each step was over: by hand as kubectl returned, for the server as a client of `/api/db_events` was told.",
		head:  []string{"step", "over after"},
		rows: [][]string{
			{"by hand: kubectl create", brief(share(came["created"], 0.5))},
			{"by hand: kubectl wait", brief(share(came["waited"], 0.5))},
		},
	}
	for _, stage := range append(stages, "answered") {
		if len(came[stage]) > 0 {
			d.rows = append(d.rows, []string{"server: " + stage, brief(share(came[stage], 0.5))})
		}
	}
	d.rows = append(d.rows, []string{"how long the server's runs of kubectl took of that", brief(share(came["kubectl"], 0.5))})
	return d
}

// measureAgain asks for databases that are there.
func measureAgain(t *testing.T, p *performance, c *contest) {
	const rounds = 25
	s := c.ours.site
	s.keytool(t, "client", beatUser)
	all := []*server{c.ours, s.bare(t)}
	if c.peer != nil {
		c.peer.keytool(t, "client", beatUser)
		all = append(all, c.peer)
	}
	var fresh, kept [3]sample
	for i, server := range all {
		if _, err := server.createPatiently(t.Context(), beatUser); err != nil {
			t.Fatal(err)
		}
		ask := func(client *http.Client) (answer, error) { return server.create(t.Context(), client, beatUser) }
		client := server.client(t, beatUser)
		for round := range rounds + 1 {
			took := server.newConnection(t, ask)
			a, err := ask(client)
			if err != nil || a.source() == "" {
				t.Fatalf("create_db again was answered %s, %v", a, err)
			}
			if round > 0 {
				fresh[i], kept[i] = append(fresh[i], took.Seconds()), append(kept[i], a.took.Seconds())
			}
		}
		client.CloseIdleConnections()
	}
	c.ours.remove(t, []string{beatUser})
	if c.peer != nil {
		c.peer.kubectl(t, "", "delete", "pods", "--all", "--wait=true")
	}
	p.add(t, comparison{what: "create_db again, over a new connection", unit: inSeconds, ours: fresh[0], floor: fresh[1], peer: fresh[2], goals: []goal{atMost(0.005)}})
	p.add(t, comparison{what: "create_db again, over a kept connection", unit: inSeconds, ours: kept[0], floor: kept[1], peer: kept[2], goals: []goal{atMost(0.005)}})
}

// measureEight has eight new users come at once.
func measureEight(t *testing.T, p *performance, c *contest, rounds int) {
	var took, worst [3]sample
	var used usedBy
	for range rounds {
		took[1] = append(took[1], c.byHand(t, eight).took.Seconds())
		before, beating := now(t), c.ours.pulse(t, beatUser, pulseEvery)
		self, users := c.bySelf(t, eight)
		used.add(t, before, c.ours.cmd.Process.Pid)
		slowest, _ := beating.stop(t)
		took[0], worst[0] = append(took[0], self.took.Seconds()), append(worst[0], slowest.Seconds())
		c.ours.remove(t, users)
		if c.peer == nil {
			continue
		}
		beating = c.peer.pulse(t, beatUser, pulseEvery)
		old := c.byTornado(t, eight)
		slowest, _ = beating.stop(t)
		took[2], worst[2] = append(took[2], old.took.Seconds()), append(worst[2], slowest.Seconds())
	}
	p.eight, p.eightWorst = took[2], worst[2]
	p.add(t, comparison{what: "8 users at once, cold, on a real node, until the last is served", unit: inSeconds, ours: took[0], floor: took[1], peer: took[2], goals: []goal{tornadoTimes(8)}})
	p.add(t, comparison{what: "the worst heart beat meanwhile", unit: inSeconds, ours: worst[0], peer: worst[2]})
	p.details = append(p.details, used.detail("Who uses the processors while 8 databases start cold on a real node",
		"From the first request to the last answer, as /proc tells. What came and went are runc, the starting scripts in the pods, and probes."))
}

// pulseEvery is how often a heart beat is tried while others create.
const pulseEvery = 20 * time.Millisecond
