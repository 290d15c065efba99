package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// TestPerformance measures the server beside what no server can beat and beside a
// server like the one that it replaces, and writes docs/performance.md. It takes half
// an hour and the machine for itself, so `make e2e` leaves it out; `make bench-e2e`
// runs it. A goal that is missed is written down and fails nothing: machines differ.
func TestPerformance(t *testing.T) {
	tornado := tornadoVersion(t)
	p := &performance{machine: describeMachine(tornado)}
	done := 0
	for _, part := range []struct {
		name    string
		measure func(*testing.T, *performance, bool)
	}{
		{"creates", measureCreates},
		{"pool", measurePool},
		{"beats", measureBeats},
		{"crowd", measureCrowd},
	} {
		t.Run(part.name, func(t *testing.T) {
			part.measure(t, p, tornado != "")
			done++
		})
	}
	fmt.Println(p.text())
	if t.Failed() || done < 4 {
		t.Log("the document is left as it was: this was not all of the benchmark")
		return
	}
	if err := p.write(); err != nil {
		t.Fatal(err)
	}
}

// serveAsInTheImage starts the server that is measured: the one that runs beside a cluster.
func (s *site) serveAsInTheImage(t *testing.T, flags ...string) *server {
	t.Helper()
	s.program = imageProgram(t)
	return s.serve(t, flags...)
}

// beatClients is how many clients beat at once where that is measured.
const beatClients = 16

// measureBeats compares servers that answer as fast as they can.
func measureBeats(t *testing.T, p *performance, tornado bool) {
	s := newSite(t)
	s.makeKeys(t)
	s.keytool(t, "client", beatUser)
	ours := s.serveAsInTheImage(t)
	ours.database(t, beatUser)
	bare := s.bare(t)
	names, targets := []string{"sqlflow_playground", "bare handler"}, []target{ours.target(t), bare.target(t)}
	if tornado {
		old := newOldKeys(t)
		peer := s.tornado(t, old.ca, old.cert, old.key, "")
		to := target{address: peer.target(t).address, config: old.client, pid: peer.cmd.Process.Pid}
		names, targets = append(names, "tornado"), append(targets, to)
	}
	compareBeats(t, p, names, targets)
}

// compareBeats loads our server, the bare handler and perhaps tornado in turns.
func compareBeats(t *testing.T, p *performance, names []string, targets []target) {
	t.Helper()
	const rounds, length = 5, 2 * time.Second
	var rates, onServer, onClient [2][3]sample
	for round := range rounds + 1 { // the first warms up
		for mode, keep := range []bool{true, false} {
			for i, to := range targets {
				l := to.load(t, beatClients, keep, length)
				if round > 0 {
					rates[mode][i] = append(rates[mode][i], l.rate)
					onServer[mode][i] = append(onServer[mode][i], l.server.Seconds())
					onClient[mode][i] = append(onClient[mode][i], l.client.Seconds())
				}
			}
		}
	}
	for mode, what := range []string{"heart beats, %d clients, connections kept", "heart beats, %d clients, a new connection each (tornado: RSA)"} {
		c := comparison{what: fmt.Sprintf(what, beatClients), unit: aSecond, more: true,
			ours: rates[mode][0], floor: rates[mode][1], peer: rates[mode][2], goals: []goal{tornadoTimes(12), floorShare(0.85)}}
		if mode == 1 {
			c.goals = []goal{tornadoTimes(3)}
		}
		p.add(t, c)
	}
	d := detail{
		title: "What one heart beat takes of the processors",
		text: "Client and server share the cores. The client is one program for all servers, so what it takes is the same for\n" +
			"the server and for the bare handler; with tornado's RSA certificates it has to sign with RSA as well.",
		head: []string{"", "kept: server", "kept: client", "new connection: server", "new connection: client"},
	}
	micro := func(s sample) string { return fmt.Sprintf("%.0f µs", s.median()*1e6) }
	for i, name := range names {
		d.rows = append(d.rows, []string{name, micro(onServer[0][i]), micro(onClient[0][i]), micro(onServer[1][i]), micro(onClient[1][i])})
	}
	p.details = append(p.details, d)
}
