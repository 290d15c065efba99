package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// gateway is the client that acts for every user.
const gateway = "dsw"

// A server is one running sqlflow_playground.
type server struct {
	*site
	port    int
	admin   string
	cmd     *exec.Cmd
	log     string // a file
	ended   chan struct{}
	clients *http.Client // of the gateway, connections kept
}

// makeKeys makes the key store, the server's certificate and the gateway's.
func (s *site) makeKeys(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(s.keys); err == nil {
		return
	}
	s.keytool(t, "init")
	s.keytool(t, "server")
	s.keytool(t, "client", gateway, "--gateway")
}

// serve starts a server with the site's key store and more flags, and waits until
// it is ready. It ends with the test.
func (s *site) serve(t *testing.T, flags ...string) *server {
	t.Helper()
	s.makeKeys(t)
	ports := freePorts(t, 2)
	srv := &server{site: s, port: ports[0], log: filepath.Join(t.TempDir(), "log")}
	srv.admin = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[1]))
	srv.start(t, append(srv.fourFlags(), append([]string{"--kubectl=" + s.KubectlPath(), "--admin_addr=" + srv.admin}, flags...)...)...)
	return srv
}

// replicas starts two servers with the same flags on the site.
func (s *site) replicas(t *testing.T, flags ...string) [2]*server {
	t.Helper()
	return [2]*server{s.serve(t, flags...), s.serve(t, flags...)}
}

// fourFlags are all that a maintainer has to say.
func (s *server) fourFlags() []string {
	return []string{
		"--port=" + strconv.Itoa(s.port), "--ca_crt=" + filepath.Join(s.keys, "ca/ca.crt"),
		"--server_key=" + filepath.Join(s.keys, "server/server.key"), "--server_crt=" + filepath.Join(s.keys, "server/server.crt"),
	}
}

// start starts the server with a command line of one's own.
func (s *server) start(t *testing.T, args ...string) {
	t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.clients = s.client(t, gateway)
	if s.cmd == nil {
		s.servers++
	}
	s.cmd = exec.Command(s.program, args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = []string{
		"KUBECONFIG=" + s.kubeconfig, "HOME=" + filepath.Dir(s.keys),
		"PATH=" + filepath.Dir(s.KubectlPath()) + ":" + os.Getenv("PATH"),
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the tests themselves be killed
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		s.stop(t, cmd, ended)
		if t.Failed() {
			text, _ := os.ReadFile(s.log)
			t.Logf("the server at port %d wrote\n%s", s.port, text[max(0, len(text)-20000):])
		}
	})
	eventually(t, "the server is ready", patience, func() error {
		select {
		case <-ended:
			text, _ := os.ReadFile(s.log)
			t.Fatalf("the server ended at its start:\n%s", text)
		default:
		}
		return s.readyz(t.Context())
	})
}

// stop ends the server as an operator would.
func (s *server) stop(t *testing.T, cmd *exec.Cmd, ended chan struct{}) {
	t.Helper()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the server does not end")
		_ = cmd.Process.Kill()
		<-ended
	}
}

// kill ends the server without a warning.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
}

// again starts the server once more, with the same command line.
func (s *server) again(t *testing.T) {
	t.Helper()
	s.start(t, s.cmd.Args[1:]...)
}

func freePorts(t *testing.T, number int) []int {
	t.Helper()
	free, err := bed.FreePorts(number)
	if err != nil {
		t.Fatal(err)
	}
	return free
}

// client makes an HTTP client with the certificate of one of the key store's.
func (s *site) client(t *testing.T, name string) *http.Client {
	t.Helper()
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: s.tlsConfig(t, name), MaxIdleConnsPerHost: 100}}
}

func (s *site) tlsConfig(t *testing.T, name string) *tls.Config {
	t.Helper()
	folder := filepath.Join(s.keys, "clients", name)
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "client.crt"), filepath.Join(folder, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots}
}

// An answer is what a server said, and how long that took.
type answer struct {
	status     int
	retryAfter string
	body       string
	took       time.Duration
}

func (a answer) String() string {
	return fmt.Sprintf("%d %s (after %s, Retry-After %q)", a.status, strings.TrimSpace(a.body), brief(a.took), a.retryAfter)
}

// source is the data source of an answer to create_db.
func (a answer) source() string {
	var body struct {
		DataSource string `json:"data_source"`
	}
	_ = json.Unmarshal([]byte(a.body), &body)
	return body.DataSource
}

// message is what a refusal says.
func (a answer) message() string {
	var body struct{ Error struct{ Message string } }
	_ = json.Unmarshal([]byte(a.body), &body)
	return body.Error.Message
}

func do(client *http.Client, request *http.Request) (answer, error) {
	begun := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Retry-After"), string(body), time.Since(begun)}, err
}

func (s *server) url(path string) string { return "https://localhost:" + strconv.Itoa(s.port) + path }

// create asks for a user's database once.
func (s *server) create(ctx context.Context, client *http.Client, user string) (answer, error) {
	body, err := json.Marshal(map[string]string{"user_id": user})
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url("/api/create_db"), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	return do(client, request)
}

// beat sends one heart beat and returns an error unless the answer is hello.
func (s *server) beat(ctx context.Context, client *http.Client, user string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("/api/heart_beat?user_id="+url.QueryEscape(user)), nil)
	if err != nil {
		return answer{}, err
	}
	a, err := do(client, request)
	if err == nil && (a.status != http.StatusOK || a.body != "hello "+user) {
		err = fmt.Errorf("a heart beat was answered %s", a)
	}
	return a, err
}

// database gives a user's data source, asking again as a patient client would,
// and checks that it works.
func (s *server) database(t *testing.T, user string) string {
	t.Helper()
	var source string
	eventually(t, "the database of "+user, patience, func() error {
		a, err := s.create(t.Context(), s.clients, user)
		switch {
		case err != nil:
			return err
		case a.status == http.StatusServiceUnavailable && a.retryAfter != "":
			return errors.New(a.String())
		case a.status != http.StatusOK:
			t.Fatalf("create_db of %q was answered %s", user, a)
		}
		source = a.source()
		return nil
	})
	if err := works(t.Context(), source); err != nil {
		t.Fatalf("the database of %q, as returned: %v", user, err)
	}
	return source
}

// readyz asks the admin address whether all is well.
func (s *server) readyz(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/readyz", nil)
	if err != nil {
		return err
	}
	a, err := do(http.DefaultClient, request)
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("/readyz says %s", a)
	}
	return err
}

// dsn is a data source in the words of go-sql-driver, with limits.
func dsn(source string) string {
	return strings.TrimPrefix(source, "mysql://") + "&timeout=3s&readTimeout=30s&writeTimeout=30s"
}

// works asks a database for the rows of iris.train, over a new connection.
func works(ctx context.Context, source string) error {
	db, err := sql.Open("mysql", dsn(source))
	if err != nil {
		return fmt.Errorf("%q: %w", source, err)
	}
	defer db.Close()
	var rows int
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM iris.train").Scan(&rows); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	if rows != 110 {
		return fmt.Errorf("%s: iris.train has %d rows, want 110", source, rows)
	}
	return nil
}

// pulse beats for a user, every so often, until stopped, and keeps what went wrong.
type pulse struct {
	stopped context.CancelFunc
	done    sync.WaitGroup

	mu      sync.Mutex
	slowest time.Duration
	beats   int
	failed  error // the first
}

func (s *server) pulse(t *testing.T, user string, every time.Duration) *pulse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &pulse{stopped: cancel}
	client := s.client(t, gateway)
	p.done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			a, err := s.beat(ctx, client, user)
			if ctx.Err() != nil {
				return
			}
			p.mu.Lock()
			p.beats++
			p.slowest = max(p.slowest, a.took)
			if p.failed == nil {
				p.failed = err
			}
			p.mu.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
	t.Cleanup(cancel)
	return p
}

// stop ends the beats and fails the test if one was not answered hello.
func (p *pulse) stop(t *testing.T) (slowest time.Duration, beats int) {
	t.Helper()
	p.stopped()
	p.done.Wait()
	if p.failed != nil {
		t.Error(p.failed)
	}
	return p.slowest, p.beats
}

// pause waits; the test's end cuts it short.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
