package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// Two clusters that know nothing of each other: one is disturbed, and is waited for most
// of the time; on the nodes of the other, which only pretend, two thousand databases are
// measured. Nothing else runs meanwhile but, for half a minute, package kube's own tests.
func TestClusters(t *testing.T) {
	sharedDatabase(t, cluster(t)) // which the crowd needs, and which takes an API server
	t.Run("disturbed", clusterDisturbed)
	t.Run("crowd", crowd)
}

// What the cluster itself suffers, one thing after the other.
func clusterDisturbed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	servers := s.replicas(t, "--create_timeout=4s")
	source := servers[0].database(t, "ann")
	pod := s.uid(t, "ann")
	// Whatever comes of a test, the next one does not suffer from it.
	settled := func(t *testing.T) {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
			defer cancel()
			if err := s.Settle(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	undisturbed := func(t *testing.T) {
		t.Helper()
		for _, server := range servers {
			// A node that was away for long is held for lost, with all that is on it,
			// until the controller manager hears of it again.
			if again := server.workingAddress(t, "ann"); again != source {
				t.Errorf("the data source is %s, was %s", again, source)
			}
		}
		if again := s.uid(t, "ann"); again != pod {
			t.Error("the pod was made anew, with its data lost")
		}
	}

	t.Run("kubelet", func(t *testing.T) {
		settled(t)
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
		servers[0].databaseOnceThereIsANode(t, "kubelet")
		measured(t, "4", "the kubelet stopped: a new user gets 503 with Retry-After; started: the database is there after", time.Since(begun), 10*time.Second)
		slowest, beats := beating.stop(t)
		measured(t, "4", fmt.Sprintf("the slowest of %d heart beats meanwhile, all 200", beats), slowest, 200*time.Millisecond)
		undisturbed(t)
	})

	t.Run("API server", func(t *testing.T) {
		settled(t)
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
		made := s.appearance(t, "during", begun)
		servers[0].databaseOnceThereIsANode(t, "during")
		there := time.Since(begun)
		record(t, "4", fmt.Sprintf("the API server down for %s: %d create_db of a new user answered 503 with Retry-After", brief(away), refused), "all", "all")
		measured(t, "4", "the API server up again: the server has made the new user's pod after", <-made, 5*time.Second)
		record(t, "4", "and the database is there after (until Kubernetes' own scheduler has noticed, and its controllers that the node is well)", brief(there), "recorded")
		for _, p := range beating {
			slowest, beats := p.stop(t)
			measured(t, "4", fmt.Sprintf("the slowest of %d heart beats meanwhile, all 200", beats), slowest, 200*time.Millisecond)
		}
		for _, server := range servers {
			eventually(t, "/readyz is green again", patience, func() error { return server.readyz(t.Context()) })
		}
		undisturbed(t)
	})

	t.Run("etcd", func(t *testing.T) {
		settled(t)
		beating := servers[1].pulse(t, "ann", 100*time.Millisecond)
		if err := s.Restart(t.Context(), bed.Etcd); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		servers[1].databaseOnceThereIsANode(t, "etcd")
		measured(t, "4", "etcd restarted: a new user's database is there after", time.Since(begun), 15*time.Second)
		slowest, beats := beating.stop(t)
		measured(t, "4", fmt.Sprintf("the slowest of %d heart beats meanwhile, all 200", beats), slowest, 200*time.Millisecond)
		undisturbed(t)
	})
}

// startAgain starts a component also where the test was given up.
func (s *site) startAgain(t *testing.T, c bed.Component) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := s.Start(ctx, c); err != nil {
		t.Error(err)
	}
}

// databaseOnceThereIsANode waits for a new user's database where Kubernetes itself may
// say for a moment that no node takes pods, which is all that a server can pass on.
func (s *server) databaseOnceThereIsANode(t *testing.T, user string) {
	t.Helper()
	eventually(t, "the database of "+user, patience, func() error {
		a, err := s.create(t.Context(), s.clients, user)
		switch {
		case err != nil:
			return err
		case a.status == http.StatusServiceUnavailable && a.retryAfter != "",
			a.status == http.StatusBadGateway && strings.Contains(a.message(), "untolerated taint"):
			return errors.New(a.String())
		case a.status != http.StatusOK:
			t.Fatalf("create_db of %q was answered %s", user, a)
		}
		return works(t.Context(), a.source())
	})
}

// appearance tells how long after begun the first pod of a user was there. Kubernetes may
// refuse that one for a while, and others take its place.
func (s *site) appearance(t *testing.T, user string, begun time.Time) <-chan time.Duration {
	t.Helper()
	told := make(chan time.Duration, 1)
	go func() {
		defer close(told)
		for sleep(t.Context(), 50*time.Millisecond) == nil {
			if _, err := s.pod(t.Context(), user); err == nil {
				told <- time.Since(begun)
				return
			}
		}
	}()
	return told
}
