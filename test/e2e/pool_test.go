package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// pool is what list_db tells of the databases made ahead.
type pool struct{ Want, Ready, Coming int }

// pool asks the server for its pool.
func (s *server) pool(t *testing.T) (pool, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/api/list_db"), nil)
	if err != nil {
		return pool{}, err
	}
	a, err := do(s.clients, request)
	if err != nil {
		return pool{}, err
	}
	var body struct{ Pool pool }
	return body.Pool, json.Unmarshal([]byte(a.body), &body)
}

// full waits until the server's pool is.
func (s *server) full(t *testing.T) {
	t.Helper()
	eventually(t, "the pool is full", patience, func() error {
		p, err := s.pool(t)
		if err == nil && p.Ready != p.Want {
			err = fmt.Errorf("the pool is %+v", p)
		}
		return err
	})
}

// Databases made ahead are given out at once, to one user each, by two replicas, as the
// account of scripts/ may. This test runs alone, because it measures.
func TestPool(t *testing.T) {
	const size, rounds = 6, 5
	s := newSite(t)
	s.grant(t, "rbac.yaml", "rbac-pool.yaml")
	flags := []string{fmt.Sprintf("--pool=%d", size), "--idle_timeout=1m", "--max_idle=1m"}
	servers := s.replicas(t, flags...)
	var took []time.Duration
	for i := range rounds {
		servers[0].full(t)
		user := fmt.Sprintf("early-%d", i)
		begun := time.Now()
		source, err := servers[i%2].createPatiently(t.Context(), user)
		if err != nil {
			t.Fatalf("create_db of %s: %v", user, err)
		}
		took = append(took, time.Since(begun))
		if err := works(t.Context(), source); err != nil {
			t.Fatal(err)
		}
	}
	measured(t, "pool", fmt.Sprintf("create_db of a new user from a pool of %d, median of %d", size, rounds), share(took, 0.5), 400*time.Millisecond)

	servers[0].full(t)
	var all sync.WaitGroup
	sources := make([]string, 2*size)
	for i := range sources {
		all.Go(func() {
			var err error
			if sources[i], err = servers[i%2].createPatiently(t.Context(), student(i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for i, source := range sources {
		if seen[source] {
			t.Errorf("%s has the database of another", student(i))
		}
		seen[source] = true
		if err := works(t.Context(), source); err != nil {
			t.Error(err)
		}
	}
	record(t, "pool", fmt.Sprintf("%d users at once at two replicas for %d spares: databases of one's own", 2*size, size), fmt.Sprintf("%d", len(seen)), fmt.Sprint(2*size))

	// The pool is in the cluster, not in a server.
	servers[0].full(t)
	servers[0].kill(t)
	servers[0].again(t)
	p, err := servers[0].pool(t)
	if err != nil || p.Ready < size {
		t.Errorf("after a restart the pool is %+v: %v", p, err)
	}
	record(t, "pool", "kill -9 of a server: spares of the pool that it finds again", fmt.Sprintf("%d of %d", p.Ready, size), "all")

	source := sources[0]
	servers[1].database(t, student(0))
	pod := s.podAt(t, source)
	s.kubectl(t, "", "delete", "pod", pod, "--wait=false")
	eventually(t, "a database from the pool is healed at its address", patience, func() error {
		if again := s.podAt(t, source); again != pod {
			return errors.New("it moved")
		}
		if _, err := servers[1].beat(t.Context(), servers[1].clients, student(0)); err != nil {
			return err
		}
		return works(t.Context(), source)
	})
	record(t, "pool", "a pod that came from the pool is deleted: the database is back at its address", "yes", "yes")
}

// podAt is the name of the pod behind a data source.
func (s *site) podAt(t *testing.T, source string) string {
	t.Helper()
	host, _ := hostPort(t, source)
	all, err := s.list(t.Context(), "/api/v1", "services", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if o.Spec.ClusterIP == host {
			return o.Metadata.Name
		}
	}
	t.Fatalf("no service has the address %s", host)
	return ""
}

// grant has the servers act as the account of scripts/, with the roles of these files.
func (s *site) grant(t *testing.T, files ...string) {
	t.Helper()
	for _, file := range files {
		s.kubectl(t, s.shipped(t, file), "apply", "--filename=-")
	}
	path, err := s.ServiceAccountKubeconfig(t.Context(), s.namespace, account)
	if err != nil {
		t.Fatal(err)
	}
	s.useAccount(t, path)
}
