package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// healed waits until a new pod serves the same data source, and says how long
// that took since begun.
func (s *site) healed(t *testing.T, user, source, oldPod string, begun time.Time) time.Duration {
	t.Helper()
	eventually(t, "the database of "+user+" is back", time.Minute, func() error {
		o, err := s.pod(t.Context(), user)
		if err != nil {
			return err
		}
		if o.Metadata.UID == oldPod {
			return errors.New("the old pod is still there")
		}
		return works(t.Context(), source)
	})
	return time.Since(begun)
}

func TestHealing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	servers := s.replicas(t)

	t.Run("pod deleted", func(t *testing.T) {
		source := servers[0].database(t, "ann")
		pod := s.uid(t, "ann")
		begun := time.Now()
		s.kubectl(t, "", "delete", "pod", "sqlflow-mysql-ann", "--wait=false")
		if _, err := servers[1].beat(t.Context(), servers[1].clients, "ann"); err != nil {
			t.Error(err)
		}
		measured(t, "4", "kubectl delete pod, one heart beat: the database is back at its address after", s.healed(t, "ann", source, pod, begun), 10*time.Second)
		if again := servers[0].database(t, "ann"); again != source {
			t.Errorf("the data source is %s, was %s", again, source)
		}
	})
	t.Run("pod deleted and nobody asks", func(t *testing.T) {
		source := servers[1].database(t, "quiet")
		pod := s.uid(t, "quiet")
		begun := time.Now()
		s.kubectl(t, "", "delete", "pod", "sqlflow-mysql-quiet", "--grace-period=0", "--force")
		measured(t, "4", "a pod deleted by force, no heart beat: back at its address after", s.healed(t, "quiet", source, pod, begun), 10*time.Second)
	})
	t.Run("MariaDB killed", func(t *testing.T) {
		source := servers[0].database(t, "bob")
		begun := time.Now()
		s.kubectl(t, "", "exec", "sqlflow-mysql-bob", "--", "bash", "-c", "kill -9 $(pidof mariadbd)")
		eventually(t, "the container is started again", time.Minute, func() error {
			out, err := s.tryKubectl(t.Context(), "", "get", "pod", "sqlflow-mysql-bob", "--output=jsonpath={.status.containerStatuses[0].restartCount}")
			if err == nil && out != "1" {
				err = fmt.Errorf("it was restarted %s times", out)
			}
			return err
		})
		if again := servers[1].database(t, "bob"); again != source {
			t.Errorf("the data source is %s, was %s", again, source)
		}
		measured(t, "4", "mariadbd killed in its pod: create_db gives the same working address after", time.Since(begun), 10*time.Second)
	})
	t.Run("watch child killed", func(t *testing.T) {
		killed := 0
		for _, server := range servers {
			for _, pid := range watchers(t, server.cmd.Process.Pid) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				killed++
			}
		}
		if killed != 6 {
			t.Errorf("two servers had %d watch children, want 3 each", killed)
		}
		begun := time.Now()
		servers[0].database(t, "carl")
		measured(t, "4", fmt.Sprintf("all %d watch children of two replicas killed: create_db of a new user afterwards", killed), time.Since(begun), 10*time.Second)
		source, pod := servers[1].database(t, "carl"), s.uid(t, "carl")
		begun = time.Now()
		s.kubectl(t, "", "delete", "pod", "sqlflow-mysql-carl", "--wait=false")
		measured(t, "4", "and a deleted pod is still seen: back at its address after", s.healed(t, "carl", source, pod, begun), 10*time.Second)
		for _, server := range servers {
			if got := len(watchers(t, server.cmd.Process.Pid)); got != 3 {
				t.Errorf("a server has %d watch children, want 3", got)
			}
		}
	})
	t.Run("service deleted", func(t *testing.T) {
		servers[0].database(t, "dora")
		s.kubectl(t, "", "delete", "service", "sqlflow-mysql-dora")
		begun := time.Now()
		eventually(t, "create_db gives an address that works", time.Minute, func() error {
			a, err := servers[1].create(t.Context(), servers[1].clients, "dora")
			if err == nil {
				err = works(t.Context(), a.source())
			}
			return err
		})
		measured(t, "4", "the service deleted by hand: create_db gives an address that works after", time.Since(begun), 10*time.Second)
	})
}

// watchers are the kubectl children of a process that watch.
func watchers(t *testing.T, parent int) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		stat, _ := os.ReadFile(name)
		_, rest, _ := strings.Cut(string(stat), ") ") // after the name: state, parent
		fields := strings.Fields(rest)
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) || !strings.Contains(string(line), "watch=1") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// The server is killed twice while ten users wait for their first database.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := s.serve(t)
	const users = 10
	watched, pods := s.watchPods(t)
	answered := make([]string, users) // data sources
	var mu sync.Mutex
	for round := range 3 {
		var asking sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range users {
			asking.Go(func() {
				a, err := server.create(ctx, server.clients, student(i))
				if err != nil || a.status != http.StatusOK {
					return // the server died, as it should
				}
				mu.Lock()
				defer mu.Unlock()
				if before := answered[i]; before != "" && before != a.source() {
					t.Errorf("%s was at %s and is at %s", student(i), before, a.source())
				}
				answered[i] = a.source()
			})
		}
		if round == 2 {
			asking.Wait()
			cancel()
			break
		}
		// The first time when the first record is there, the second in the middle.
		eventually(t, "creation began", time.Minute, func() error {
			out, err := s.tryKubectl(t.Context(), "", "get", []string{"leases.coordination.k8s.io", "pods"}[round], "--output=name")
			if err == nil && !strings.Contains(out, "sqlflow-mysql-") {
				err = errors.New("nothing yet")
			}
			return err
		})
		server.kill(t)
		cancel()
		asking.Wait()
		if left := watchers(t, 1); slices.ContainsFunc(left, func(pid int) bool { return s.isOurs(pid) }) {
			t.Errorf("killed, the server left kubectl running: %v", left)
		}
		server.again(t)
	}
	begun := time.Now()
	for i := range users {
		if source := server.database(t, student(i)); answered[i] != "" && source != answered[i] {
			t.Errorf("%s was at %s and is at %s", student(i), answered[i], source)
		}
	}
	record(t, "4", "kill -9 of the server twice amid ten creates: after the restart all ten are served within", brief(time.Since(begun)), "none lost")
	for kind, all := range s.databases(t) {
		if len(all) != users {
			t.Errorf("there are %d %ss for %d users", len(all), kind, users)
		}
	}
	watched()
	if made := pods(); made != users {
		t.Errorf("%d pods were made for %d users", made, users)
	}
	record(t, "4", "pods ever made for the ten, and objects without an owner", fmt.Sprintf("%d, 0", pods()), "10, 0")
}

func student(i int) string { return fmt.Sprintf("student-%d", i) }

// isOurs says whether a process was given the site's kubeconfig.
func (s *site) isOurs(pid int) bool {
	environ, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return strings.Contains(string(environ), s.kubeconfig)
}

// watchPods counts all pods of databases that are ever made, until stop.
func (s *site) watchPods(t *testing.T) (stop func(), made func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var out []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		out, _ = s.Kubectl(ctx, nil, "get", "pods", "--namespace="+s.namespace, "--selector="+databaseLabel,
			"--watch", `--output=jsonpath={.metadata.uid}{"\n"}`)
	}()
	t.Cleanup(cancel)
	return func() { cancel(); <-done }, func() int {
		uids := map[string]bool{}
		for uid := range strings.FieldsSeq(string(out)) {
			uids[uid] = true
		}
		return len(uids)
	}
}

// What the cluster itself suffers, one thing after the other: no other test runs
// meanwhile.
func TestClusterDisturbed(t *testing.T) {
	s := newSite(t)
	servers := s.replicas(t, "--create_timeout=4s")
	source := servers[0].database(t, "ann")
	pod := s.uid(t, "ann")
	undisturbed := func(t *testing.T) {
		t.Helper()
		for _, server := range servers {
			if again := server.database(t, "ann"); again != source {
				t.Errorf("the data source is %s, was %s", again, source)
			}
		}
		if again := s.uid(t, "ann"); again != pod {
			t.Error("the pod was made anew, with its data lost")
		}
	}

	t.Run("kubelet", func(t *testing.T) {
		beating := servers[0].pulse(t, "ann", 100*time.Millisecond)
		if err := s.Stop(t.Context(), bed.Kubelet); err != nil {
			t.Fatal(err)
		}
		back := sync.OnceFunc(func() { s.startAgain(t, bed.Kubelet) })
		defer back()
		if err := works(t.Context(), source); err != nil {
			t.Error(err)
		}
		a, err := servers[1].create(t.Context(), servers[1].clients, "kubelet")
		if err != nil || a.status != http.StatusServiceUnavailable || a.retryAfter == "" {
			t.Errorf("without a kubelet a new user was answered %s, want 503 with Retry-After: %v", a, err)
		}
		back()
		begun := time.Now()
		servers[0].database(t, "kubelet")
		measured(t, "4", "the kubelet stopped: a new user gets 503 with Retry-After; started: the database is there after", time.Since(begun), 10*time.Second)
		slowest, beats := beating.stop(t)
		measured(t, "4", fmt.Sprintf("the slowest of %d heart beats meanwhile, all 200", beats), slowest, 200*time.Millisecond)
		undisturbed(t)
	})

	t.Run("API server", func(t *testing.T) {
		const away = 30 * time.Second
		beating := []*pulse{servers[0].pulse(t, "ann", 100*time.Millisecond), servers[1].pulse(t, "nobody", 100*time.Millisecond)}
		if err := s.Stop(t.Context(), bed.APIServer); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		back := sync.OnceFunc(func() { s.startAgain(t, bed.APIServer) })
		defer back()
		refused := 0
		for i := 0; time.Since(begun) < away; i++ {
			server := servers[i%2]
			a, err := server.create(t.Context(), server.clients, "during")
			if err != nil || a.status != http.StatusServiceUnavailable || a.retryAfter == "" {
				t.Errorf("without an API server a new user was answered %s, want 503 with Retry-After: %v", a, err)
			}
			refused++
			if a, err = server.create(t.Context(), server.clients, "ann"); err != nil || a.source() != source {
				t.Errorf("without an API server the user of a ready database was answered %s: %v", a, err)
			}
			pause(t, 2*time.Second)
		}
		if err := servers[0].readyz(t.Context()); err == nil {
			t.Error("/readyz is green without an API server")
		}
		back()
		begun = time.Now()
		servers[0].database(t, "during")
		there := time.Since(begun)
		made, err := time.Parse(time.RFC3339, s.kubectl(t, "", "get", "pod", "sqlflow-mysql-during", "--output=jsonpath={.metadata.creationTimestamp}"))
		if err != nil {
			t.Fatal(err)
		}
		record(t, "4", fmt.Sprintf("the API server down for %s: %d create_db of a new user answered 503 with Retry-After", brief(away), refused), "all", "all")
		measured(t, "4", "the API server up again: the server has made the new user's pod after", max(0, made.Sub(begun)), 5*time.Second)
		record(t, "4", "and the database is there after (until Kubernetes' own scheduler has noticed)", brief(there), "recorded")
		for _, p := range beating {
			slowest, beats := p.stop(t)
			measured(t, "4", fmt.Sprintf("the slowest of %d heart beats meanwhile, all 200", beats), slowest, 200*time.Millisecond)
		}
		for _, server := range servers {
			eventually(t, "/readyz is green again", time.Minute, func() error { return server.readyz(t.Context()) })
		}
		undisturbed(t)
	})

	t.Run("etcd", func(t *testing.T) {
		beating := servers[1].pulse(t, "ann", 100*time.Millisecond)
		if err := s.Restart(t.Context(), bed.Etcd); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		servers[1].database(t, "etcd")
		measured(t, "4", "etcd restarted: a new user's database is there after", time.Since(begun), 15*time.Second)
		slowest, beats := beating.stop(t)
		measured(t, "4", fmt.Sprintf("the slowest of %d heart beats meanwhile, all 200", beats), slowest, 200*time.Millisecond)
		undisturbed(t)
	})
}

// startAgain starts a component also where the test was given up.
func (s *site) startAgain(t *testing.T, c bed.Component) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	defer cancel()
	if err := s.Start(ctx, c); err != nil {
		t.Error(err)
	}
}
