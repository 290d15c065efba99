package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Heart beats go to one replica at the very moment in which the other one, or the
// same, takes the database. Whoever wins, the user has a database afterwards, at
// the same address, and without another beat. Here pods truly run; the thousand
// races are on simulated nodes.
func TestRaceOfBeatAndReaper(t *testing.T) {
	beside(t, 70*time.Second)
	r := newRaceTrack(t, newSite(t), 10*time.Second)
	r.answers = works
	got := r.run(t, 4, 12)
	record(t, "5", "a heart beat at one replica while either reaps, MariaDB in the pods: afterwards the database answers at its address", got.String(), "0 lost")
}

// manyRaces are a thousand on a real API server. The pods only pretend, so no database
// can be asked whether it is used, and the lease alone decides.
func manyRaces(t *testing.T, s *site) {
	const races, users, timeout = 1000, 200, 10 * time.Second
	unreachable(t, s.PodCIDR(), s.ServiceCIDR())
	r := newRaceTrack(t, s, timeout, "--max_idle="+timeout.String(),
		"--template_dir="+changedTemplates(t, "cpu: 50m", "cpu: 1m", "memory: 256Mi", "memory: 1Mi"))
	got := r.run(t, users, races)
	if got.kept == 0 || got.back == 0 {
		t.Errorf("%s, which is no race", got)
	}
	record(t, "5", "the same on a real API server with simulated nodes: afterwards the pod is Ready and its record alive", got.String(), "1000 races, 0 lost")
}

// unreachable has this machine say at once that nobody is at the addresses of ranges.
func unreachable(t *testing.T, ranges ...string) {
	t.Helper()
	route := func(ctx context.Context, do, to string) error {
		out, err := exec.CommandContext(ctx, "ip", "route", do, "unreachable", to).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("ip route %s unreachable %s: %w: %s", do, to, err, out)
		}
		return err
	}
	for _, to := range ranges {
		if err := route(t.Context(), "replace", to); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := route(context.Background(), "delete", to); err != nil {
				t.Error(err)
			}
		})
	}
}

// A raceTrack is a playground of two replicas with a short time-out, whose users beat
// only when a reaper has announced itself.
type raceTrack struct {
	*site
	servers [2]*server
	timeout time.Duration // of an idle database; a tenth of it is between two passes
	answers func(ctx context.Context, source string) error
	left    atomic.Int64 // races to begin

	mu    sync.Mutex
	users map[string]*racer // by the name of the objects
}

// A racer is what the API server says of one user's database.
type racer struct {
	lease, pod object
	changed    chan struct{} // closed and made anew with each change
}

func newRaceTrack(t *testing.T, s *site, timeout time.Duration, flags ...string) *raceTrack {
	t.Helper()
	return &raceTrack{
		site: s, timeout: timeout, users: map[string]*racer{},
		servers: s.replicas(t, append([]string{"--idle_timeout=" + timeout.String()}, flags...)...),
		answers: func(context.Context, string) error { return nil },
	}
}

// outcomes count the races: the pod was kept, or it came back, or the race is void.
type outcomes struct{ kept, back, void int }

func (o outcomes) String() string {
	text := fmt.Sprintf("%d races, %d kept the pod, %d came back, 0 lost", o.kept+o.back, o.kept, o.back)
	if o.void > 0 {
		text += fmt.Sprintf("; %d more are void", o.void)
	}
	return text
}

// run has so many users race until it is enough.
func (r *raceTrack) run(t *testing.T, users, wanted int) outcomes {
	const limit = 20 * time.Minute // should no reaper ever come
	ctx, stop := context.WithTimeout(t.Context(), limit)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	r.left.Store(int64(wanted))
	for _, k := range kinds {
		if k.kind != "Service" {
			watching.Go(func() {
				path := k.path + "/namespaces/" + r.namespace + "/" + k.resource + "?watch=1&labelSelector=" + url.QueryEscape(databaseLabel)
				if err := r.Watch(ctx, path, r.observe); ctx.Err() == nil {
					t.Errorf("the test's watch of %s ended: %v", k.resource, err)
					stop()
				}
			})
		}
	}
	var kept, back, void atomic.Int64
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			user := student(i)
			source, err := r.servers[i%2].createPatiently(ctx, user)
			for n := 0; err == nil; n++ {
				var same bool
				same, err = r.race(ctx, r.servers[(i+n)%2], user, source)
				switch {
				case errors.Is(err, errVoid) && int(void.Add(1)) <= wanted/4:
					r.left.Add(1)
					err = nil
				case err == nil && same:
					kept.Add(1)
				case err == nil:
					back.Add(1)
				}
			}
			if !errors.Is(err, errEnough) {
				t.Errorf("%s: %v", user, err)
				stop()
			}
		})
	}
	all.Wait()
	records, err := r.objects(t.Context(), databaseLabel)
	if err != nil {
		t.Error(err)
	}
	records = slices.DeleteFunc(records, func(o object) bool { return o.Kind != "Lease" })
	if len(records) != users {
		t.Errorf("there are %d records for %d users", len(records), users)
	}
	return outcomes{int(kept.Load()), int(back.Load()), int(void.Load())}
}

// errEnough says that there were enough races.
var errEnough = errors.New("enough races")

// errVoid says that a database was released once more, after its whole time-out: the
// machine took so long to bring it back that it was idle again, and rightly taken.
var errVoid = errors.New("the machine is slower than the time-out")

// race waits until a reaper announces itself, beats at a random moment around the
// release, and waits until that is decided and the database there. It says whether the
// pod is the same as before.
func (r *raceTrack) race(ctx context.Context, server *server, user, source string) (same bool, err error) {
	var before string
	err = r.until(ctx, user, func(now racer) error {
		if r.left.Load() <= 0 {
			return nil
		}
		if now.lease.marked() == "" && now.lease.released() == "" {
			return errors.New("no reaper announced itself")
		}
		before = now.pod.Metadata.UID
		return nil
	})
	if err != nil {
		return false, err
	}
	if r.left.Add(-1) < 0 {
		return false, errEnough
	}
	// A pass later, if not more, the reaper takes what it announced.
	if err := sleep(ctx, rand.N(r.timeout/5)); err != nil {
		return false, err
	}
	beaten := time.Now()
	if _, err := server.beat(ctx, server.clients, user); err != nil {
		return false, err
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	void := false
	decided := func(now racer) error {
		void = now.idleAgain(beaten, r.timeout)
		switch {
		case void:
			return nil
		case now.lease.marked() != "", now.lease.Spec.RenewTime.Before(beaten.Add(-r.timeout / 5)):
			// Another replica that brings the database back at the same moment may write
			// its own, somewhat older time last.
			return errors.New("its record does not tell of the beat")
		case now.lease.released() != "":
			return errors.New("it is released")
		case !now.pod.ready():
			return errors.New("its pod is not ready")
		}
		return nil
	}
	if err := r.until(limit, user, decided); err != nil {
		return false, fmt.Errorf("a beat was answered hello, and the database is lost: %w", err)
	}
	if void {
		return false, errVoid
	}
	// Two watches told that, of which one may have been behind. And whatever was still
	// under way has its chance now.
	if err := sleep(limit, time.Second); err != nil {
		return false, err
	}
	for {
		now, err := r.pod(limit, user)
		if err == nil && now.ready() {
			err = r.answers(limit, source)
		} else if err == nil {
			err = errors.New("its pod is not ready")
		}
		if err == nil {
			return now.Metadata.UID == before, nil
		}
		if r.now(user).idleAgain(beaten, r.timeout) {
			return false, errVoid
		}
		if sleep(limit, 300*time.Millisecond) != nil {
			return false, fmt.Errorf("a beat was answered hello, and the database is lost: %w", err)
		}
	}
}

// idleAgain says whether the database was released once more, the whole time-out after a beat.
func (now racer) idleAgain(beaten time.Time, timeout time.Duration) bool {
	released, err := time.Parse(time.RFC3339Nano, now.lease.released())
	return err == nil && released.Sub(beaten) >= timeout
}

func (o object) marked() string   { return o.Metadata.Annotations["sqlflow.org/marked"] }
func (o object) released() string { return o.Metadata.Annotations["sqlflow.org/released"] }

// observe takes in one event of a watch.
func (r *raceTrack) observe(event []byte) error {
	var e struct {
		Type   string
		Object object
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	user := r.user(e.Object.Metadata.Name)
	if e.Type == "DELETED" {
		e.Object = object{Kind: e.Object.Kind}
	}
	switch e.Object.Kind {
	case "Lease":
		user.lease = e.Object
	case "Pod":
		user.pod = e.Object
	default:
		return fmt.Errorf("an event of type %s tells of a %s", e.Type, e.Object.Kind)
	}
	close(user.changed)
	user.changed = make(chan struct{})
	return nil
}

// user gives the record of a name. r.mu is held.
func (r *raceTrack) user(name string) *racer {
	if r.users[name] == nil {
		r.users[name] = &racer{changed: make(chan struct{})}
	}
	return r.users[name]
}

// now is what the API server says of a user.
func (r *raceTrack) now(user string) racer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.user("sqlflow-mysql-" + user)
}

// until waits until what the API server says of a user is as it should be.
func (r *raceTrack) until(ctx context.Context, user string, check func(racer) error) error {
	for {
		now := r.now(user)
		err := check(now)
		if err == nil {
			return nil
		}
		select {
		case <-now.changed:
		case <-ctx.Done():
			return err
		}
	}
}
