package kube_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
)

// impatient is one more replica, whose kubectls end soon if they are to hang.
func impatient(b *bed, f fakekubectl.Fault) *kube.Cluster {
	hurried := *b
	if strings.HasPrefix(f.Do, "hang") {
		hurried.options.Timeout = 3 * time.Second
	}
	return hurried.cluster()
}

func TestFaultsOfClaim(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault fakekubectl.Fault
		code  playground.Code
		words string
		there bool // the record is, all the same
	}{
		{"cluster down", fakekubectl.Fault{Do: "fail", Times: 2, Stderr: "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"}, playground.Unavailable, "cannot be reached", false},
		{"no such host", fakekubectl.Fault{Do: "fail", Times: 2, Stderr: "Unable to connect to the server: dial tcp: lookup nowhere: no such host"}, playground.Unavailable, "cannot be reached", false},
		{"not logged in", fakekubectl.Fault{Do: "fail", Stderr: "error: You must be logged in to the server (Unauthorized)"}, playground.Unavailable, "cannot be reached", false},
		{"denied", fakekubectl.Fault{Do: "fail", Stderr: `Error from server (Forbidden): error when creating "STDIN": leases.coordination.k8s.io is forbidden: User "x" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "playground"`}, playground.CannotStart, `leases.coordination.k8s.io is forbidden: User "x" cannot`, false},
		{"admission", fakekubectl.Fault{Do: "fail", Stderr: `Error from server (BadRequest): error when creating "STDIN": admission webhook "policy" denied the request: no databases on Mondays`}, playground.CannotStart, "no databases on Mondays", false},
		{"admission without a reason", fakekubectl.Fault{Do: "fail", Times: -1, Stderr: `Error from server: error when creating "STDIN": admission webhook "policy" denied the request: no databases on Mondays`}, playground.CannotStart, "no databases on Mondays", false},
		{"admission for a reason of its own", fakekubectl.Fault{Do: "fail", Times: -1, Stderr: `Error from server (Monday): error when creating "STDIN": admission webhook "policy" denied the request without explanation`}, playground.CannotStart, `webhook "policy" denied`, false},
		{"etcd", fakekubectl.Fault{Do: "fail", Times: 2, Stderr: `Error from server: etcdserver: leader changed`}, playground.Unavailable, "cannot be reached", false},
		{"garbage", fakekubectl.Fault{Do: "print", Stdout: "hello\nworld\n"}, playground.Unavailable, "", false},
		{"nothing", fakekubectl.Fault{Do: "print"}, playground.Unavailable, "", false},
		{"hang", fakekubectl.Fault{Do: "hang"}, playground.Unavailable, "", false},
		{"hang after", fakekubectl.Fault{Do: "hang after"}, playground.Unavailable, "", true},
		{"die", fakekubectl.Fault{Do: "die half"}, playground.Unavailable, "", false},
		{"server error after", fakekubectl.Fault{Do: "fail after", Stderr: "Error from server (Timeout): etcdserver: request timed out"}, "", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			test.fault.Match = "^create"
			plant(b, test.fault)
			c := b.cluster()
			err := impatient(b, test.fault).Claim(t.Context(), "ada", "", at)
			if test.code == "" {
				mustBe(t, err, playground.ErrExists) // it was tried again, and had succeeded
			} else {
				mustSay(t, err, test.code, test.words)
			}
			if there := b.fake.Object("leases", playground.User("ada").Name()) != nil; there != test.there {
				t.Errorf("the record is there: %v", there)
			}
			b.fake.Mend()
			if err := c.Claim(t.Context(), "ada", "", at); test.there {
				mustBe(t, err, playground.ErrExists)
			} else {
				must(t, err)
			}
		})
	}
}

func TestFaultsOfStart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault fakekubectl.Fault
		code  playground.Code // "" is success
		words string
	}{
		{"quota", fakekubectl.Fault{Do: "fail", Stderr: `Error from server (Forbidden): error when creating "STDIN": pods "sqlflow-mysql-ada" is forbidden: exceeded quota: class, requested: pods=1, used: pods=9, limited: pods=9`},
			playground.CannotStart, `pods "sqlflow-mysql-ada" is forbidden: exceeded quota: class`},
		{"quota that two counted", fakekubectl.Fault{Do: "fail", Stderr: `Error from server (Conflict): error when creating "STDIN": Operation cannot be fulfilled on resourcequotas "class": the object has been modified; please apply your changes to the latest version and try again`},
			"", ""},
		{"invalid, in two lines", fakekubectl.Fault{Do: "fail", Stderr: "The Pod \"sqlflow-mysql-ada\" is invalid: \n* spec.a: Required value\n* spec.b: Forbidden"},
			playground.CannotStart, `Pod "sqlflow-mysql-ada" is invalid: * spec.a: Required value * spec.b: Forbidden`},
		{"strict", fakekubectl.Fault{Do: "fail", Stderr: `Error from server (BadRequest): error when creating "STDIN": Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression`},
			playground.CannotStart, "quantities must match"},
		{"admission without a reason", fakekubectl.Fault{Do: "fail", Times: -1, Stderr: `Error from server: error when creating "STDIN": admission webhook "policy" denied the request: no databases on Mondays`},
			playground.CannotStart, "no databases on Mondays"},
		{"busy once", fakekubectl.Fault{Do: "fail", Stderr: `Error from server (TooManyRequests): error when creating "STDIN": the server is currently unable to handle the request`}, "", ""},
		{"busy for long", fakekubectl.Fault{Do: "fail", Times: -1, Stderr: `Error from server (ServiceUnavailable): error when creating "STDIN": the server is currently unable to handle the request`},
			playground.Unavailable, ""},
		{"only warnings", fakekubectl.Fault{Do: "fail", Stderr: "Warning: would violate PodSecurity \"restricted:latest\": unrestricted capabilities"}, playground.Unavailable, ""},
		{"done, and the answer was lost", fakekubectl.Fault{Do: "hang after"}, playground.Unavailable, ""},
		{"half of it", fakekubectl.Fault{Do: "die half"}, playground.Unavailable, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			c := b.cluster()
			must(t, c.Claim(t.Context(), "ada", "", at))
			test.fault.Match = "^create"
			plant(b, test.fault)
			err := impatient(b, test.fault).Start(t.Context(), "ada")
			if test.code == "" {
				must(t, err)
			} else {
				mustSay(t, err, test.code, test.words)
			}
			b.fake.Mend()
			must(t, c.Start(t.Context(), "ada"))
			if pods, services := b.fake.Names("pods"), b.fake.Names("services"); len(pods) != 1 || len(services) != 1 {
				t.Errorf("there are %v and %v", pods, services)
			}
		})
	}
}

func TestQuotaIsToldToWhomItConcerns(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	b.fake.Set(func(s *fakekubectl.Settings) { s.Quota = 5 })
	c := b.cluster()
	var (
		mu            sync.Mutex
		made, refused int
		all           sync.WaitGroup
	)
	for i := range 9 {
		all.Go(func() {
			user := playground.User(fmt.Sprintf("user%d", i))
			if err := c.Claim(t.Context(), user, "", at); err != nil {
				t.Error(err)
			}
			err := c.Start(t.Context(), user)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
				return
			}
			refused++
			if e := playground.AsError(err); e.Code != playground.CannotStart || !strings.Contains(e.Message, fmt.Sprintf("pods %q is forbidden: exceeded quota", user.Name())) {
				t.Errorf("%v was told: %v", user, err)
			}
		})
	}
	all.Wait()
	if made != 5 || refused != 4 {
		t.Errorf("%d made, %d refused", made, refused)
	}
}

func TestWhatArrivesTogetherGoesTogether(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	var mu sync.Mutex
	runs := 0
	b.options.Observe = func(verb, _ string, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if verb == "create" {
			runs++
		}
	}
	c := b.cluster()
	const users = 50
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			user := playground.User(fmt.Sprintf("user%d", i))
			if err := c.Claim(t.Context(), user, "", at); err != nil {
				t.Error(err)
			}
			if err := c.Start(t.Context(), user); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(b.fake.Names("pods")); n != users {
		t.Errorf("%d pods", n)
	}
	if runs > users/5 {
		t.Errorf("%d kubectl processes for %d databases", runs, users)
	}
}

func TestFaultsOfTheOtherVerbs(t *testing.T) {
	t.Parallel()
	down := "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"
	b := onFake(t)
	c := b.cluster()
	must(t, c.Claim(t.Context(), "ada", "", at))
	must(t, c.Start(t.Context(), "ada"))
	db, err := c.Get(t.Context(), "ada")
	must(t, err)
	call := map[string]func(*kube.Cluster) error{
		"get":    func(c *kube.Cluster) error { _, err := c.Get(t.Context(), "ada"); return err },
		"patch":  func(c *kube.Cluster) error { return c.Touch(t.Context(), at, []playground.User{"ada"}) },
		"delete": func(c *kube.Cluster) error { return c.Stop(t.Context(), db) },
	}
	for verb, do := range call {
		for _, f := range []fakekubectl.Fault{
			{Do: "fail", Stderr: down}, {Do: "hang"}, {Do: "fail", Stderr: "Error from server (InternalError): boom"},
			{Do: "fail", Stderr: "panic: runtime error"},
		} {
			f.Match = "^" + verb
			plant(b, f)
			mustSay(t, do(impatient(b, f)), playground.Unavailable, "cannot be reached")
		}
	}
	plant(b, fakekubectl.Fault{Match: "^get", Do: "print", Stdout: "{]"})
	mustSay(t, call["get"](c), playground.Unavailable, "")
	plant(b, fakekubectl.Fault{Match: "^apply", Do: "print", Stdout: ""})
	mustSay(t, c.Mark(t.Context(), db, at), playground.Unavailable, "")
	plant(b, fakekubectl.Fault{Match: "^get", Do: "fail", Stderr: down})
	_, err = c.Adopt(t.Context())
	mustSay(t, err, playground.Unavailable, "")
	plant(b, fakekubectl.Fault{Match: "^get", Do: "fail", Stderr: down})
	if leads, err := c.Lead(t.Context(), time.Minute); leads || err == nil {
		t.Errorf("leads %v, %v", leads, err)
	}
	plant(b, fakekubectl.Fault{Match: "^delete", Do: "fail", Stderr: down})
	mustSay(t, c.Remove(t.Context(), "ada", false), playground.Unavailable, "")
}

func TestTouchOfThousands(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	var mu sync.Mutex
	runs := 0
	b.options.Observe = func(string, string, time.Duration) { mu.Lock(); runs++; mu.Unlock() }
	c := b.cluster()
	users := make([]playground.User, 1100)
	for i := range users {
		users[i] = playground.User(fmt.Sprintf("user%d", i))
	}
	must(t, c.Claim(t.Context(), users[7], "", at))
	must(t, c.Claim(t.Context(), users[1099], "", at))
	runs = 0
	must(t, c.Touch(t.Context(), at.Add(time.Hour), users))
	for _, user := range []playground.User{users[7], users[1099]} {
		db, err := c.Get(t.Context(), user)
		must(t, err)
		if !db.LastUse.Equal(at.Add(time.Hour)) {
			t.Errorf("%v was last used %v", user, db.LastUse)
		}
	}
	if runs > 3+2 {
		t.Errorf("%d kubectl processes", runs)
	}
}
