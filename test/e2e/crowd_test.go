package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowds are the numbers of databases at which figures are taken.
var crowds = [...]int{500, 1000, 2000}

// One server at growing numbers of databases, whose pods run on simulated nodes.
func crowd(t *testing.T) {
	t.Parallel()
	b, flags := fakeNodes(t)
	s := newSiteOn(t, b)
	server := s.serve(t, flags...)
	empty := server.usage(t)
	there := 0
	var memories, watchers, creates, beats []string
	for _, number := range crowds {
		took := server.createMany(t, there, number, 64)
		there = number
		creates = append(creates, fmt.Sprintf("%s, %s", brief(share(took, 0.5)), brief(share(took, 0.99))))
		waits := server.beatMany(t, 200, number)
		beats = append(beats, fmt.Sprintf("%s, %s", brief(share(waits, 0.5)), brief(share(waits, 0.99))))
		u := server.usage(t)
		memories = append(memories, strconv.Itoa(u.memory>>20))
		watchers = append(watchers, strconv.Itoa(u.children>>20))
	}
	at := fmt.Sprintf("%d, %d, %d databases", crowds[0], crowds[1], crowds[2])
	most := crowds[len(crowds)-1]

	record(t, "9", at+": the server's memory, which grows with them", fmt.Sprintf("%s MB (empty: %d)", strings.Join(memories, ", "), empty.memory>>20), "< 256 MB")
	record(t, "9", at+": memory of its three watching kubectl, which does not", fmt.Sprintf("%s MB (empty: %d)", strings.Join(watchers, ", "), empty.children>>20), "recorded")
	record(t, "9", at+": create_db of a new user, 64 waiting at any time, p50 and p99", strings.Join(creates, "; "), "≤ "+brief(pluginPatience))
	record(t, "9", at+": heart beat of 200 clients at once, p50 and p99", strings.Join(beats, "; "), "≤ 200 ms")
	if u := server.usage(t); u.memory > 10*256<<20 {
		t.Errorf("the server takes %d MB for %d databases", u.memory>>20, most)
	}

	// While all are there and little happens, the processors have time for something else.
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() { t.Run("package kube", func(t *testing.T) { packageKube(t, b) }) })
	server.steady(t, most)
	meanwhile.Wait()

	begun := server.usage(t)
	const rush = 200
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	took := make([]time.Duration, rush)
	errs := make([]error, rush)
	var all sync.WaitGroup
	beating := server.pulse(t, student(0), 20*time.Millisecond)
	for i := range rush {
		all.Go(func() {
			errs[i] = sleep(ctx, time.Duration(i)*time.Second/rush)
			if errs[i] == nil {
				start := time.Now()
				_, errs[i] = server.createPatiently(ctx, student(most+i))
				took[i] = time.Since(start)
			}
		})
	}
	all.Wait()
	slowest, _ := beating.stop(t)
	if err := errors.Join(errs...); err != nil {
		t.Errorf("not all of the rush were served: %v", err)
	}
	ended := server.usage(t)
	measured(t, "9", fmt.Sprintf("%d create_db in one second beside %d databases: p50", rush, most), share(took, 0.5), pluginPatience)
	measured(t, "9", "the same: p99", share(took, 0.99), pluginPatience)
	measured(t, "9", "the slowest heart beat meanwhile", slowest, 200*time.Millisecond)
	record(t, "9", fmt.Sprintf("kubectl started for those %d", rush), strconv.Itoa(ended.kubectl-begun.kubectl), fmt.Sprintf("< %d", rush))
	for kind, objects := range s.databases(t) {
		if len(objects) != most+rush {
			t.Errorf("there are %d %ss for %d users", len(objects), kind, most+rush)
		}
	}
}

// steady has every database's client beat from a connection of its own, sixty times
// as often as the notebook plugin does, and measures the server meanwhile.
func (s *server) steady(t *testing.T, number int) {
	t.Helper()
	const every, length = 10 * time.Second, time.Minute // last uses are written once a minute
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	config := s.tlsConfig(t, gateway)
	var all, shaken sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	counting := false
	shaken.Add(number)
	for i := range number {
		all.Go(func() {
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config}}
			defer client.CloseIdleConnections()
			first := sync.OnceFunc(shaken.Done)
			defer first()
			for wait := rand.N(every); sleep(ctx, wait) == nil; wait = every {
				a, err := s.beat(ctx, client, student(i))
				first()
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				if failed == nil {
					failed = err
				}
				if counting {
					took = append(took, a.took)
				}
				mu.Unlock()
			}
		})
	}
	started := s.usage(t).kubectl
	rest := time.NewTimer(length)
	shaken.Wait() // the handshakes are another matter
	mu.Lock()
	counting = true
	mu.Unlock()
	before, begun := s.usage(t), time.Now()
	<-rest.C
	after, over := s.usage(t), time.Since(begun)
	cancel()
	all.Wait()
	if failed != nil {
		t.Error(failed)
	}
	what := fmt.Sprintf("%d clients beat every %s, each over its own connection: ", number, brief(every))
	measured(t, "9", what+"heart beat, p50", share(took, 0.5), 50*time.Millisecond)
	measured(t, "9", what+"heart beat, p99", share(took, 0.99), 200*time.Millisecond)
	record(t, "9", what+"the server's memory", fmt.Sprintf("%d MB", after.memory>>20), "< 256 MB")
	record(t, "9", what+"CPU of the server, and of its kubectl", fmt.Sprintf("%.0f %%, %.0f %% of a core",
		100*float64(after.cpu-before.cpu)/float64(over), 100*float64(after.childCPU-before.childCPU)/float64(over)), "recorded")
	record(t, "9", what+"kubectl started a minute", fmt.Sprintf("%.0f", float64(after.kubectl-started)/length.Minutes()), "< 60")
}

// createMany makes the databases of students from first to number, so many at a time.
func (s *server) createMany(t *testing.T, first, number, together int) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	turns := make(chan int)
	took := make([]time.Duration, number-first)
	errs := make([]error, number-first)
	var all sync.WaitGroup
	for range together {
		all.Go(func() {
			for i := range turns {
				begun := time.Now()
				_, errs[i-first] = s.createPatiently(ctx, student(i))
				took[i-first] = time.Since(begun)
			}
		})
	}
	for i := first; i < number; i++ {
		turns <- i
	}
	close(turns)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("not all were served: %.2000v", err)
	}
	return took
}

// beatMany has so many clients beat at once, for users chosen among number.
func (s *server) beatMany(t *testing.T, clients, number int) []time.Duration {
	t.Helper()
	took := make([]time.Duration, clients)
	errs := make([]error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			var a answer
			a, errs[i] = s.beat(t.Context(), s.clients, student(rand.IntN(number)))
			took[i] = a.took
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	return took
}

// usage is what a server has taken of the machine so far.
type usage struct {
	memory, children int // resident bytes: of itself, and of its children now
	cpu, childCPU    time.Duration
	kubectl          int // processes started
}

func (s *server) usage(t *testing.T) usage {
	t.Helper()
	pid := s.cmd.Process.Pid
	u := usage{memory: resident(pid)}
	for _, child := range watchers(t, pid) {
		u.children += resident(child)
	}
	u.cpu, u.childCPU = spent(t, pid)
	response, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "sqlflow_playground_kubectl_seconds_count") {
			n, _ := strconv.ParseFloat(line[strings.LastIndex(line, " ")+1:], 64)
			u.kubectl += int(n)
		}
	}
	return u
}

func resident(pid int) int {
	statm, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if fields := strings.Fields(string(statm)); len(fields) > 1 {
		pages, _ := strconv.Atoi(fields[1])
		return pages * os.Getpagesize()
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
