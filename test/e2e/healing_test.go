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
)

// healed waits until a new pod serves the same data source, and says how long
// that took since begun.
func (s *site) healed(t *testing.T, user, source, oldPod string, begun time.Time) time.Duration {
	t.Helper()
	eventually(t, "the database of "+user+" is back", patience, func() error {
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
	beside(t, 40*time.Second)
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
		eventually(t, "the container is started again", patience, func() error {
			o, err := s.pod(t.Context(), "bob")
			if err == nil && (len(o.Status.ContainerStatuses) == 0 || o.Status.ContainerStatuses[0].RestartCount == 0) {
				err = errors.New("it was not restarted")
			}
			return err
		})
		if again := servers[1].workingAddress(t, "bob"); again != source {
			t.Errorf("the data source is %s, was %s", again, source)
		}
		measured(t, "4", "mariadbd killed in its pod: create_db gives the same working address after", time.Since(begun), 10*time.Second)
	})
	t.Run("watch child killed", func(t *testing.T) {
		killed := 0
		for _, server := range servers {
			for _, pid := range server.watching(t) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
					t.Fatal(err)
				}
				killed++
			}
		}
		begun := time.Now()
		servers[0].database(t, "carl")
		measured(t, "4", fmt.Sprintf("all %d watch children of two replicas killed: create_db of a new user afterwards", killed), time.Since(begun), 10*time.Second)
		source, pod := servers[1].database(t, "carl"), s.uid(t, "carl")
		begun = time.Now()
		s.kubectl(t, "", "delete", "pod", "sqlflow-mysql-carl", "--wait=false")
		measured(t, "4", "and a deleted pod is still seen: back at its address after", s.healed(t, "carl", source, pod, begun), 10*time.Second)
		for _, server := range servers {
			server.watching(t)
		}
	})
	t.Run("service deleted", func(t *testing.T) {
		servers[0].database(t, "dora")
		s.kubectl(t, "", "delete", "service", "sqlflow-mysql-dora")
		begun := time.Now()
		servers[1].workingAddress(t, "dora")
		measured(t, "4", "the service deleted by hand: create_db gives an address that works after", time.Since(begun), 10*time.Second)
	})
	t.Run("password changed", func(t *testing.T) {
		source, pod := servers[0].database(t, "fay"), s.uid(t, "fay")
		if _, err := connect(t, dsn(source)).ExecContext(t.Context(), "ALTER USER root@'%' IDENTIFIED BY 'changed'"); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		a, err := servers[1].create(t.Context(), servers[1].clients, "fay") // it was not asked before
		if err != nil || a.source() != source {
			t.Errorf("create_db: %v, %v; want %s", a, err, source)
		}
		measured(t, "4", "root's password changed by its user: create_db at the other replica gives the same address after", time.Since(begun), 10*time.Second)
		if s.uid(t, "fay") != pod {
			t.Error("the pod is another one")
		}
	})
}

// workingAddress asks for the database of a user, to which something was done that the
// server may not have heard of yet, until what it answers works.
func (s *server) workingAddress(t *testing.T, user string) (source string) {
	t.Helper()
	eventually(t, "create_db gives an address that works", patience, func() error {
		a, err := s.create(t.Context(), s.clients, user)
		if err != nil {
			return err
		}
		if source = a.source(); source == "" {
			return errors.New(a.String())
		}
		return works(t.Context(), source)
	})
	return source
}

// watching gives the kubectl by which a server watches, one for each kind of object;
// one that ended by itself is started again in a moment.
func (s *server) watching(t *testing.T) (pids []int) {
	t.Helper()
	eventually(t, "the server watches leases, services and pods", patience, func() error {
		if pids = watchers(t, s.cmd.Process.Pid); len(pids) != len(kinds) {
			return fmt.Errorf("it has %d watch children", len(pids))
		}
		return nil
	})
	return pids
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
	beside(t, 20*time.Second)
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
		eventually(t, "creation began", patience, func() error {
			all, err := s.objects(t.Context(), databaseLabel)
			if err == nil && !slices.ContainsFunc(all, func(o object) bool { return o.Kind == []string{"Lease", "Pod"}[round] }) {
				err = errors.New("nothing yet")
			}
			return err
		})
		server.kill(t)
		cancel()
		asking.Wait()
		eventually(t, "what the killed server had started ends", patience, func() error {
			if left := s.running(t); len(left) > 0 {
				return fmt.Errorf("it left running: %v", left)
			}
			return nil
		})
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

// running lists the processes that were given the site's kubeconfig: its servers and
// their kubectl.
func (s *site) running(t *testing.T) (pids []string) {
	t.Helper()
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range environs {
		if environ, _ := os.ReadFile(name); strings.Contains(string(environ), s.kubeconfig) {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
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
