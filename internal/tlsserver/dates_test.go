package tlsserver_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

// drain returns what was logged until now at the level of warnings or worse.
func (e entries) drain() []string {
	var lines []string
	for {
		select {
		case entry := <-e:
			if entry.Level <= logrus.WarnLevel {
				lines = append(lines, entry.Level.String()+": "+entry.Message)
			}
		default:
			return lines
		}
	}
}

func date(at time.Time) string { return at.UTC().Format(time.DateOnly) }

func TestTheClockEndsWhatIsInForce(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, test := range []struct {
		name     string
		server   time.Duration // the life of its certificate that is left
		list     time.Duration // until a newer list is due
		other    time.Duration // of a second authority, unless 0
		after    time.Duration
		expired  string // in Status
		warnings []string
	}{
		{name: "all is well", server: 60 * day, list: 60 * day, after: 20 * day},
		{
			name: "the server's certificate ends within 30 days", server: 100 * day, list: 200 * day, after: 71 * day,
			warnings: []string{"the server certificate <crt> expires on <end>: renew it (keytool renew server)"},
		},
		{name: "a third of a short life is left", server: 9 * day, list: 60 * day, after: 6*day - time.Hour},
		{
			name: "less than a third of a short life is left", server: 9 * day, list: 60 * day, after: 6*day + time.Hour,
			warnings: []string{"the server certificate <crt> expires on <end>: renew it (keytool renew server)"},
		},
		{
			name: "the server's certificate has ended", server: 60 * day, list: 90 * day, after: 60*day + time.Second,
			expired: "the server certificate <crt> expired on <end>: renew it (keytool renew server)",
		},
		{
			name: "the authority's certificate soon ends", server: 3650 * day, list: 4000 * day, after: 3630 * day,
			warnings: []string{
				"the CA certificate <ca> expires on <ca end>: make a new one, and new certificates for everybody (keytool init --force)",
				"the server certificate <crt> expires on <end>: renew it (keytool renew server)",
			},
		},
		{
			name: "the authority's certificate has ended", server: 4000 * day, list: 4000 * day, after: 3700 * day,
			expired: "the CA certificate <ca> expired on <ca end>: make a new one, and new certificates for everybody (keytool init --force)",
		},
		{
			name: "one of two authorities has ended", server: 60 * day, list: 60 * day, other: 10 * day, after: 10*day + time.Second,
			warnings: []string{"a CA certificate in <ca> expired on <other end>: clients with certificates that it signed are refused: give them new ones"},
		},
		{
			name: "a newer list is overdue", server: 100 * day, list: 30 * day, after: 30*day + time.Second,
			warnings: []string{"a newer revocation list than <crl> was due on <list end>: who was revoked since gets in; have its authority write it anew"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			start := time.Now()
			s.server = s.ca.Issue(t, tlstest.Leaf{Name: "server", Server: true, NotBefore: start.Add(-time.Minute), NotAfter: start.Add(test.server)})
			s.write(t, certFile, s.server.PEM)
			s.write(t, keyFile, s.server.Key)
			s.write(t, crlFile, s.ca.RevocationListUntil(t, start.Add(test.list)))
			other := tlstest.NewAuthorityUntil(t, "other CA", start.Add(test.other))
			if test.other > 0 {
				s.write(t, caFile, append(other.PEM, s.ca.PEM...))
			}
			names := strings.NewReplacer("<crt>", s.path(certFile), "<ca>", s.path(caFile), "<crl>", s.path(crlFile),
				"<end>", date(s.server.Cert.NotAfter), "<ca end>", date(s.ca.Cert.NotAfter), "<other end>", date(other.Cert.NotAfter),
				"<list end>", date(start.Add(test.list)))

			now := &clock{}
			now.set(start)
			o := s.options()
			o.Now = now.get
			server, log := newServer(t, o)
			if err := server.Reload(); err != nil {
				t.Fatal(err)
			}
			if status, lines := server.Status(), log.drain(); status.Expired != nil || len(status.Warnings) > 0 || len(lines) > 0 {
				t.Fatalf("at the start there are %v, %q and %q", status.Expired, status.Warnings, lines)
			}
			now.set(start.Add(test.after))
			for range 3 { // as Watch does every 30 s
				if err := server.Reload(); err != nil {
					t.Fatal(err)
				}
			}
			var warnings, lines []string
			for _, warning := range test.warnings {
				warnings = append(warnings, names.Replace(warning))
				lines = append(lines, "warning: "+names.Replace(warning))
			}
			status, expired := server.Status(), ""
			if status.Expired != nil {
				expired = status.Expired.Error()
				lines = append(lines, "error: "+expired)
			}
			if want := names.Replace(test.expired); expired != want {
				t.Errorf("expired is\n%q, want\n%q", expired, want)
			}
			if !slices.Equal(status.Warnings, warnings) {
				t.Errorf("the warnings are\n%q, want\n%q", status.Warnings, warnings)
			}
			if logged := log.drain(); !slices.Equal(logged, lines) {
				t.Errorf("logged\n%q, want each once\n%q", logged, lines)
			}
			if status.Problem != nil {
				t.Errorf("the files in force are not those on disk: %v", status.Problem)
			}
		})
	}
}

// An authority that signed the server's certificate may end before it does, while
// another lets clients in.
func TestAServerOfAnEndedAuthorityIsTold(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	old := tlstest.NewAuthorityUntil(t, "old CA", time.Now().AddDate(0, 0, 10))
	server := old.Issue(t, tlstest.Leaf{Name: "server", Server: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 60)})
	s.write(t, caFile, append(s.ca.PEM, old.PEM...))
	s.write(t, certFile, server.PEM)
	s.write(t, keyFile, server.Key)
	now := &clock{}
	now.set(time.Now())
	o := s.options()
	o.Now = now.get
	made, log := newServer(t, o)
	now.set(old.Cert.NotAfter)
	for range 3 {
		now.set(now.get().Add(time.Second))
		if err := made.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	want := "an authority of the server certificate " + s.path(certFile) + " is not valid now: make a new certificate by one that is (keytool server --force)"
	if err := made.Status().Expired; err == nil || err.Error() != want {
		t.Errorf("Status tells of %v, want %s", err, want)
	}
	if lines := log.drain(); !slices.Equal(lines, []string{"error: " + want}) {
		t.Errorf("logged %q", lines)
	}
}

// What was told is told again only if it was over in between, as after a renewal.
func TestARenewalEndsTheWarning(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	now := &clock{}
	now.set(time.Now())
	o := s.options()
	o.Now = now.get
	server, log := newServer(t, o)
	now.set(s.server.Cert.NotAfter.Add(time.Second))
	if err := server.Reload(); err != nil || server.Status().Expired == nil {
		t.Fatalf("got %v, %v", err, server.Status().Expired)
	}
	if lines := log.drain(); len(lines) != 1 {
		t.Errorf("logged %q", lines)
	}
	next := s.ca.Issue(t, tlstest.Leaf{Name: "server", Server: true, NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 0, 10)})
	s.write(t, keyFile, next.Key)
	s.write(t, certFile, next.PEM)
	if err := server.Reload(); err != nil || server.Status().Expired != nil {
		t.Errorf("renewed: got %v, %v", err, server.Status().Expired)
	}
	if lines := log.drain(); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
	now.set(next.Cert.NotAfter.Add(time.Second))
	if err := server.Reload(); err != nil || len(log.drain()) != 1 {
		t.Errorf("ended again: %v, or not logged once", err)
	}
}

// A list that comes while a certificate in force has expired: who does not look at the
// server's certificate would still get in.
func TestANewerListIsTakenBesideAnExpiredCertificate(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	now := &clock{}
	now.set(time.Now())
	o := s.options()
	o.Now = now.get
	address, server, _ := open(t, o)
	ann := s.ca.Issue(t, tlstest.Leaf{Name: "ann", NotBefore: time.Now(), NotAfter: time.Now().AddDate(0, 1, 0)})
	careless := ann.Client(t)
	careless.InsecureSkipVerify = true
	now.set(s.server.Cert.NotAfter.Add(time.Second))
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	mustEnter(t, address, careless)

	s.write(t, crlFile, s.ca.RevocationList(t, ann.Cert))
	if err := server.Reload(); err != nil {
		t.Errorf("the newer list is not in force: %v", err)
	}
	mustFail(t, address, careless)
	if status := server.Status(); status.Problem != nil || status.Expired == nil {
		t.Errorf("Status tells of the problem %v, and that %v", status.Problem, status.Expired)
	}
	// And a bad one is not.
	s.write(t, crlFile, tlstest.NewAuthority(t, "other CA").RevocationList(t))
	if err := server.Reload(); err == nil {
		t.Error("a list of another authority is in force")
	}
	mustFail(t, address, careless)
}

// Nor does an expired certificate come into force where there is a good one.
func TestAnExpiredCertificateIsNotTaken(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	server, _ := newServer(t, s.options())
	old := s.ca.Issue(t, tlstest.Leaf{Name: "server", Server: true, NotAfter: time.Now().Add(-time.Hour)})
	s.write(t, keyFile, old.Key)
	s.write(t, certFile, old.PEM)
	err := server.Reload()
	if err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("got %v", err)
	}
	if status := server.Status(); status.Problem == nil || status.Expired != nil || status.Certificates[1] != (tlsserver.Certificate{Role: "server", NotAfter: s.server.Cert.NotAfter}) {
		t.Errorf("Status tells of %+v", status)
	}
}
