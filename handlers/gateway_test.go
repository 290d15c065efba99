package handlers_test

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"go.uber.org/goleak"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Names of clients that are not simply the user they act for.
const (
	gatewayName = "the gateway"
	oldName     = "an old certificate"
)

// identify takes the common name for what the client may do.
func identify(cert *x509.Certificate) playground.Client {
	c := playground.Client{Name: cert.Subject.CommonName, Serial: cert.SerialNumber.Text(16), Power: playground.OneUser}
	switch c.Name {
	case gatewayName:
		c.Power = playground.Gateway
	case oldName:
		c.Power = playground.Unmarked
	default:
		c.User = playground.User(c.Name)
	}
	return c
}

// memory is a Manager that keeps databases in memory and makes them at once.
type memory struct {
	purged    []playground.User
	mu        sync.Mutex
	databases map[playground.User]playground.Status
	beats     map[playground.User]int
	// faults are the errors that users meet, entered is told of each create.
	faults  map[playground.User]error
	entered chan playground.User
	changed chan struct{} // closed and made anew by set
}

var _ handlers.Manager = (*memory)(nil)

func newMemory() *memory {
	return &memory{
		databases: map[playground.User]playground.Status{},
		beats:     map[playground.User]int{},
		faults:    map[playground.User]error{},
		entered:   make(chan playground.User, 1000),
		changed:   make(chan struct{}),
	}
}

var (
	errPanic = errors.New("panic, please")
	errHang  = errors.New("hang until the client leaves")
	began    = time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
)

func (m *memory) Create(ctx context.Context, c playground.Client, user playground.User) (playground.Status, error) {
	select {
	case m.entered <- user:
	default:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch err := m.faults[user]; {
	case errors.Is(err, errPanic):
		panic("a bug")
	case errors.Is(err, errHang):
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return playground.Status{}, ctx.Err()
	case err != nil:
		return playground.Status{}, err
	}
	db, ok := m.databases[user]
	if !ok {
		db = playground.Status{
			User: user, State: playground.StateReady, Created: began, DataSince: began.Add(time.Second),
			Expires: began.Add(24 * time.Hour), DataSource: playground.DataSource(fmt.Sprintf("10.0.0.%d:3306", len(m.databases)+1)),
		}
		m.databases[user] = db
	}
	return db, nil
}

func (m *memory) Beat(c playground.Client, raw string) (playground.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, err := url.QueryUnescape(raw)
	if err != nil {
		id = raw
	}
	user := playground.User(id)
	if !c.MayActFor(user) {
		return "", playground.Errorf(playground.Forbidden, "not yours")
	}
	if db, ok := m.databases[user]; ok {
		db.LastHeartBeat = began.Add(time.Hour)
		m.databases[user] = db
	}
	m.beats[user]++
	return user, nil
}

func (m *memory) Delete(_ context.Context, _ playground.Client, user playground.User, purge bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.databases, user)
	if purge {
		m.purged = append(m.purged, user)
	}
	return m.faults[user]
}

func (m *memory) Pool() playground.PoolStatus {
	return playground.PoolStatus{Want: 3, Spares: playground.Spares{Ready: 2, Coming: 1}}
}

func (m *memory) Database(user playground.User) playground.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if db, ok := m.databases[user]; ok {
		return db
	}
	return playground.Status{User: user, State: playground.StateNone}
}

func (m *memory) Follow(user playground.User) (playground.Status, <-chan struct{}) {
	m.mu.Lock()
	changed := m.changed
	m.mu.Unlock()
	return m.Database(user), changed
}

func (m *memory) Databases() []playground.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.databases))
}

func (m *memory) set(user playground.User, db playground.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.databases[user] = db
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *memory) fail(user playground.User, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[user] = err
}

// gateway is a server on a loopback port.
type gateway struct {
	*memory
	url   string
	dir   string
	ca    *tlstest.Authority
	tls   *tlsserver.Server
	api   *handlers.API
	clock *clock
	log   *journal
}

// clock is the system's, shifted.
type clock struct {
	mu    sync.Mutex
	shift time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.shift)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shift += d
}

// newGateway starts one until the test ends. Refusals are not held, and old
// certificates allowed, unless change says so.
func newGateway(t testing.TB, change ...func(*handlers.Options)) *gateway {
	t.Helper()
	g := &gateway{memory: newMemory(), dir: t.TempDir(), ca: tlstest.NewAuthority(t, "playground CA"), clock: &clock{}}
	logger, _ := logtest.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	g.log = &journal{more: make(chan struct{})}
	logger.AddHook(g.log)

	g.installServer(t, g.ca)
	var err error
	g.tls, err = tlsserver.New(tlsserver.Options{
		CAFile: g.file("ca.crt"), CertFile: g.file("server.crt"), KeyFile: g.file("server.key"), CRLFile: g.file("crl.pem"),
		ParseCRL: func(list []byte, cas []*x509.Certificate) (tlsserver.Revocations, error) {
			return tlstest.ParseRevocationList(list, cas)
		},
		HoldRefused: time.Nanosecond,
		Log:         logger,
		Now:         g.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := handlers.Options{
		Manager: g.memory, Identify: identify, Check: g.tls.Check, OldCerts: true,
		Hold: time.Nanosecond, Log: logger, Now: g.clock.now,
	}
	for _, f := range change {
		f(&o)
	}
	if g.api, err = handlers.New(o); err != nil {
		t.Fatal(err)
	}
	g.serve(t, g.api, g.api.ConnContext)
	return g
}

func (g *gateway) serve(t testing.TB, handler http.Handler, connContext func(context.Context, net.Conn) context.Context) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.url = "https://" + inner.Addr().String()
	server := g.tls.NewHTTPServer(handler, 20*time.Second)
	server.ConnContext = connContext
	listener := g.tls.Listen(inner)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		_ = listener.Close()
	})
}

func (g *gateway) file(name string) string { return filepath.Join(g.dir, name) }

// installServer writes the files of a server of ca, which revoked nobody.
func (g *gateway) installServer(t testing.TB, ca *tlstest.Authority) {
	t.Helper()
	server := ca.Issue(t, tlstest.Leaf{Name: "server", Server: true})
	tlstest.Replace(t, g.file("ca.crt"), ca.PEM)
	tlstest.Replace(t, g.file("server.crt"), server.PEM)
	tlstest.Replace(t, g.file("server.key"), server.Key)
	tlstest.Replace(t, g.file("crl.pem"), ca.RevocationList(t))
}

// client is a Go client with a certificate of this name.
func (g *gateway) client(t testing.TB, name string) *client.Client {
	t.Helper()
	return g.clientOf(t, g.ca.Issue(t, tlstest.Leaf{Name: name}))
}

func (g *gateway) clientOf(t testing.TB, pair tlstest.Pair) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{
		URL: g.url, CA: g.ca.PEM, Cert: pair.PEM, Key: pair.Key,
		Timeout: 30 * time.Second, MaxWait: time.Nanosecond, // refusals are returned at once
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// http is a plain HTTP client with a certificate of this name, for what the Go client
// would never send.
func (g *gateway) http(t testing.TB, name string, http2 bool) *http.Client {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig:   g.ca.Issue(t, tlstest.Leaf{Name: name}).Client(t),
		ForceAttemptHTTP2: http2,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// answer is one answer, read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (g *gateway) do(t testing.TB, c *http.Client, method, path, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	// As the notebook plugin's HTTP library sends it.
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(content)}
}

// line is the one log line about a request.
func (g *gateway) line(t testing.TB, requestID string) *logrus.Entry {
	t.Helper()
	if requestID == "" {
		t.Fatal("the answer has no request id")
	}
	return g.log.find(t, "request "+requestID, func(e *logrus.Entry) bool { return e.Data["request_id"] == requestID })
}

// journal keeps log lines, which are written just after the answer that they are about.
type journal struct {
	mu      sync.Mutex
	entries []*logrus.Entry
	more    chan struct{} // closed at the next line
}

func (j *journal) Levels() []logrus.Level { return logrus.AllLevels }

func (j *journal) Fire(entry *logrus.Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
	close(j.more)
	j.more = make(chan struct{})
	return nil
}

// find waits for the line that matches, and fails the test if there are several.
func (j *journal) find(t testing.TB, what string, match func(*logrus.Entry) bool) *logrus.Entry {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		j.mu.Lock()
		more := j.more
		var found []*logrus.Entry
		for _, entry := range j.entries {
			if match(entry) {
				found = append(found, entry)
			}
		}
		j.mu.Unlock()
		switch {
		case len(found) == 1:
			return found[0]
		case len(found) > 1:
			t.Fatalf("%s is %d times in the log", what, len(found))
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("%s is not in the log", what)
		}
	}
}

// refusal returns err as the server's refusal.
func refusal(t testing.TB, err error) *client.Error {
	t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		t.Fatalf("got %v, want a refusal", err)
	}
	return e
}

func sortedUsers(all []client.Database) []string {
	var users []string
	for _, db := range all {
		users = append(users, cmp.Or(db.UserID, "?"))
	}
	return users
}
