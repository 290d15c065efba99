package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Four users of two replicas with a short time-out: only who does nothing at all
// loses the pod.
func TestIdle(t *testing.T) {
	t.Parallel()
	const timeout = 10 * time.Second
	s := newSite(t)
	servers := s.replicas(t, "--idle_timeout="+timeout.String())
	sources, pods := map[string]string{}, map[string]string{}
	users := []string{"connected", "beating", "querying", "idle"}
	var creating sync.WaitGroup
	for i, user := range users {
		creating.Go(func() {
			if _, err := servers[i%2].createPatiently(t.Context(), user); err != nil {
				t.Error(err)
			}
		})
	}
	creating.Wait()
	for i, user := range users {
		sources[user] = servers[i%2].database(t, user)
		pods[user] = s.uid(t, user)
	}

	open, err := sql.Open("mysql", strings.TrimSuffix(dsn(sources["connected"]), "&readTimeout=10s&writeTimeout=10s"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	connection, err := open.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var busy sync.WaitGroup
	every := func(d time.Duration, do func(i int) error) {
		busy.Go(func() {
			ticker := time.NewTicker(d)
			defer ticker.Stop()
			for i := 0; ; i++ {
				if err := do(i); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
			}
		})
	}
	every(timeout/4, func(i int) error { _, err := servers[i%2].beat(ctx, servers[i%2].clients, "beating"); return err })
	every(timeout/2, func(int) error { return works(ctx, sources["querying"]) })

	begun := time.Now()
	eventually(t, "the idle database is released", time.Minute, func() error {
		_, err := s.pod(t.Context(), "idle")
		if err != nil && strings.Contains(err.Error(), "NotFound") {
			return nil
		}
		return errors.Join(err, errors.New("its pod is there"))
	})
	record(t, "5", "nobody uses a database: its pod is released after", brief(time.Since(begun)), "time-out of "+brief(timeout)+", two passes")
	pause(t, max(0, 3*timeout-time.Since(begun)))
	stop()
	busy.Wait()
	for i, why := range []string{"an open connection that says nothing", "heart beats, to both replicas in turn", "a short query now and then"} {
		if user := users[i]; s.uid(t, user) != pods[user] {
			t.Errorf("%s did not keep the database", why)
		}
		record(t, "5", why+": the pod is kept over", brief(time.Since(begun)), "time-out of "+brief(timeout))
	}
	if err := connection.PingContext(t.Context()); err != nil {
		t.Errorf("the open connection: %v", err)
	}

	begun = time.Now()
	if _, err := servers[1].beat(t.Context(), servers[1].clients, "idle"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a heart beat brings it back", time.Minute, func() error { return works(t.Context(), sources["idle"]) })
	measured(t, "5", "one heart beat for a released database: it answers at its old address after", time.Since(begun), 10*time.Second)
}

// Heart beats go to one replica at the very moment in which the other one, or the
// same, takes the database. Whoever wins, the user has a database afterwards, at
// the same address, and without another beat.
func TestRaceOfBeatAndReaper(t *testing.T) {
	t.Parallel()
	const (
		users   = 8
		timeout = 5 * time.Second
		length  = time.Minute
	)
	s := newSite(t)
	servers := s.replicas(t, "--idle_timeout="+timeout.String())
	end := time.Now().Add(length)
	var kept, broughtBack atomic.Int64
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			user := student(i)
			source, err := servers[i%2].createPatiently(t.Context(), user)
			for n := 0; err == nil && time.Now().Before(end); n++ {
				var took bool
				took, err = s.race(t.Context(), servers[(i+n)%2], user, source)
				switch {
				case errors.Is(err, errNoRace):
					err = nil
				case took:
					broughtBack.Add(1)
				case err == nil:
					kept.Add(1)
				}
			}
			if err != nil && t.Context().Err() == nil {
				t.Errorf("%s: %v", user, err)
			}
		})
	}
	all.Wait()
	if kept.Load()+broughtBack.Load() == 0 {
		t.Error("there was no race")
	}
	record(t, "5", fmt.Sprintf("a heart beat at one replica while either reaps, as often as fits in %s (the thousand are in internal/playground, on a cluster in memory)", brief(length)),
		fmt.Sprintf("%d races, %d kept the pod, %d came back, 0 lost", kept.Load()+broughtBack.Load(), kept.Load(), broughtBack.Load()), "0 lost")
}

// errNoRace says that no reaper came, which is so on a machine that has other
// things to do: a reaper asks a database right before it marks it, or lets it be.
var errNoRace = errors.New("no reaper announced itself")

// race waits until a reaper announces itself, beats at a random moment around the
// release, and waits until the database answers.
func (s *site) race(ctx context.Context, server *server, user, source string) (released bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	before, err := s.pod(ctx, user)
	if err != nil {
		return false, err
	}
	if _, err := s.tryKubectl(ctx, "", "wait", "lease/sqlflow-mysql-"+user, `--for=jsonpath={.metadata.annotations.sqlflow\.org/marked}`, "--timeout=15s"); err != nil {
		if strings.Contains(err.Error(), "timed out") {
			err = errNoRace
		}
		return false, err
	}
	timer := time.NewTimer(rand.N(900 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if _, err := server.beat(ctx, server.clients, user); err != nil {
		return false, err
	}
	// What was decided before the beat may still be under way for a moment.
	settled := time.NewTimer(1500 * time.Millisecond)
	defer settled.Stop()
	select {
	case <-settled.C:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	for {
		err := works(ctx, source)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("a beat was answered hello, and the database is lost: %w", err)
		case <-time.After(300 * time.Millisecond):
		}
	}
	after, err := s.pod(ctx, user)
	return after.Metadata.UID != before.Metadata.UID, err
}

// createPatiently asks for a database until it is there.
func (s *server) createPatiently(ctx context.Context, user string) (source string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	for {
		a, err := s.create(ctx, s.clients, user)
		if err != nil {
			return "", err
		}
		if source := a.source(); source != "" {
			return source, nil
		}
		if a.retryAfter == "" {
			return "", errors.New(a.String())
		}
		select {
		case <-ctx.Done():
			return "", errors.New(a.String())
		case <-time.After(time.Second):
		}
	}
}
