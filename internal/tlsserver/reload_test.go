package tlsserver_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

const (
	taken   = "certificates read again"
	refused = "the changed certificates are not usable; the earlier ones stay in force"
)

// watch runs Watch until the test ends.
func watch(t *testing.T, server *tlsserver.Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	})
}

func TestARotationIsSeenByARunningServer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	address, server, log := open(t, s.options())
	watch(t, server)
	ann := s.ca.Issue(t, tlstest.Leaf{Name: "ann"})
	mustEnter(t, address, ann.Client(t))

	next := s.ca.Issue(t, tlstest.Leaf{Name: "next server", Server: true})
	s.write(t, keyFile, next.Key)
	s.write(t, certFile, next.PEM)
	log.wait(t, taken)
	_, response, err := get(address, ann.Client(t), false)
	if err != nil {
		t.Fatal(err)
	}
	if name := response.TLS.PeerCertificates[0].Subject.CommonName; name != "next server" {
		t.Errorf("the server showed %q", name)
	}

	s.write(t, crlFile, s.ca.RevocationList(t, ann.Cert))
	log.wait(t, taken)
	mustFail(t, address, ann.Client(t))
}

func TestAHalfWrittenFileKeepsTheLastGoodSet(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	address, server, log := open(t, s.options())
	watch(t, server)
	ann := s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t)

	next := s.ca.Issue(t, tlstest.Leaf{Name: "next server", Server: true})
	half := next.PEM[:len(next.PEM)/2]
	if err := os.WriteFile(s.path(certFile), half, 0o600); err != nil { // in place, as cp does
		t.Fatal(err)
	}
	log.wait(t, refused)
	if problem := server.Status().Problem; problem == nil || !strings.Contains(problem.Error(), certFile) {
		t.Errorf("Status tells of %v", problem)
	}
	mustEnter(t, address, ann)

	s.write(t, keyFile, next.Key)
	s.write(t, certFile, next.PEM)
	log.wait(t, taken)
	if problem := server.Status().Problem; problem != nil {
		t.Errorf("Status still tells of %v", problem)
	}
	mustEnter(t, address, ann)
}

// A key store of another's authority has no revocation list until somebody is revoked.
func TestAListThatComesLaterIsRead(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	remove(t, s.path(crlFile))
	o := s.options()
	o.CRLMayLack = true
	address, server, log := open(t, o)
	watch(t, server)
	ann := s.ca.Issue(t, tlstest.Leaf{Name: "ann"})
	mustEnter(t, address, ann.Client(t))
	if server.Status().List {
		t.Error("Status tells of a list that is not there")
	}

	s.write(t, crlFile, s.ca.RevocationList(t, ann.Cert))
	log.wait(t, taken)
	mustFail(t, address, ann.Client(t))
	if !server.Status().List {
		t.Error("Status tells of no list")
	}

	// Whoever takes it away lets nobody in again.
	remove(t, s.path(crlFile))
	log.wait(t, refused)
	mustFail(t, address, ann.Client(t))
}

// What others write beside the files, without a pause, puts no change off.
func TestALogBesideTheFilesDoesNotMatter(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	address, server, log := open(t, s.options())
	watch(t, server)
	ann := s.ca.Issue(t, tlstest.Leaf{Name: "ann"})
	noise, err := os.Create(s.path("server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_, _ = noise.WriteString("a line\n")
			case <-done:
				return
			}
		}
	})
	defer writing.Wait()
	defer close(done)
	began := time.Now()
	s.write(t, crlFile, s.ca.RevocationList(t, ann.Cert))
	log.wait(t, taken)
	if took := time.Since(began); took > 20*time.Second { // the timer looks after 30
		t.Errorf("the change was seen after %v", took)
	}
	mustFail(t, address, ann.Client(t))
}

func TestABadFileIsLoggedOnce(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	server, log := newServer(t, s.options())
	for _, spoil := range []func(){
		func() { s.write(t, crlFile, []byte("garbage")) },
		func() { remove(t, s.path(crlFile)) },
	} {
		spoil()
		for range 3 {
			if err := server.Reload(); err == nil {
				t.Fatal("it was taken")
			}
		}
		if n := len(log); n != 1 {
			t.Errorf("logged %d times, want once", n)
		}
		log.wait(t, refused)
	}
	// Back to what is in force: no problem any more, and nothing to read.
	s.write(t, crlFile, s.ca.RevocationList(t))
	if err := server.Reload(); err != nil || server.Status().Problem != nil {
		t.Errorf("got %v, %v", err, server.Status().Problem)
	}
}

// Kubernetes mounts a secret as links through a folder link "..data", which it moves.
func TestASecretVolumeIsFollowed(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	volume := t.TempDir()
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(volume, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(s.dir, "..data")
	for _, name := range []string{caFile, certFile, keyFile, crlFile} {
		link(filepath.Join("..data", name), name)
	}
	o := s.options()
	o.CAFile, o.CertFile = filepath.Join(volume, caFile), filepath.Join(volume, certFile)
	o.KeyFile, o.CRLFile = filepath.Join(volume, keyFile), filepath.Join(volume, crlFile)
	address, server, log := open(t, o)
	watch(t, server)
	mustEnter(t, address, s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t))

	next := newStore(t)
	link(next.dir, "..data_tmp")
	if err := os.Rename(filepath.Join(volume, "..data_tmp"), filepath.Join(volume, "..data")); err != nil {
		t.Fatal(err)
	}
	log.wait(t, taken)
	mustEnter(t, address, next.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t))
	mustFail(t, address, s.ca.Issue(t, tlstest.Leaf{Name: "ann"}).Client(t, next.ca))
}

// A whole key store that is moved away and replaced is another folder; the watch is
// on the old one then.
func TestAReplacedFolderIsSeenByTheTimer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	o := s.options()
	o.Recheck = 50 * time.Millisecond
	server, log := newServer(t, o)
	watch(t, server)
	next := newStore(t)
	if err := os.Rename(s.dir, s.dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next.dir, s.dir); err != nil {
		t.Fatal(err)
	}
	log.wait(t, taken)
	// And its changes are seen as well.
	s.write(t, crlFile, next.ca.RevocationList(t, next.ca.Issue(t, tlstest.Leaf{}).Cert))
	log.wait(t, taken)
}
