package handlers

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Manager is what the routes ask of the domain; *playground.Manager has it. Each
// route's file declares its own part.
type Manager interface {
	creator
	beater
	deleter
	teller
	follower
	lister
}

const (
	defaultHold    = 2 * time.Second
	defaultMaxHeld = 1000

	defaultMaxStreams = 1000
)

// Options are what an [API] needs. Those without a default are required.
type Options struct {
	Manager Manager

	// Workflows, if given, runs SQL programs; without it those routes are not there.
	Workflows Workflows

	// Identify reads who holds a verified certificate. It is called once per connection.
	Identify func(*x509.Certificate) playground.Client

	// Check looks at a connection again before each of its requests: a certificate
	// may expire or be revoked while the connection lives. After an error the
	// connection is closed without an answer. It must be quick.
	Check func(*tls.ConnectionState) error

	// OldCerts lets certificates without a mark of our key tool use the routes
	// that the Python server had. Without it they may do nothing.
	OldCerts bool

	// Hold is how long a refused heart beat waits for its answer, because the
	// notebook plugin asks again at once (pysqlflow's sqlflow/magic.py); 2 s by
	// default. At most MaxHeld (1,000 by default) wait at a time, the others are
	// answered at once.
	Hold    time.Duration
	MaxHeld int

	// MaxStreams is how many streams of events are served at a time, 1,000 by default.
	MaxStreams int

	Log logrus.FieldLogger
	Now func() time.Time // time.Now by default
}

func (o *Options) validate() error {
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"Manager", o.Manager == nil},
		{"Identify", o.Identify == nil},
		{"Check", o.Check == nil},
		{"Log", o.Log == nil},
	} {
		if field.missing {
			return fmt.Errorf("handlers: Options.%s is missing", field.name)
		}
	}
	if o.Hold < 0 || o.MaxHeld < 0 || o.MaxStreams < 0 {
		return errors.New("handlers: Options.Hold, MaxHeld and MaxStreams must not be negative")
	}
	if o.Hold == 0 {
		o.Hold = defaultHold
	}
	if o.MaxHeld == 0 {
		o.MaxHeld = defaultMaxHeld
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = defaultMaxStreams
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// API serves the REST API. Make one with [New].
type API struct {
	Options
	router *mux.Router
	// held has one token for each answer that is being held back.
	held chan struct{}
	// streams has one token for each stream that is open.
	streams  chan struct{}
	stopping chan struct{} // closed by EndStreams
	stopOnce sync.Once
	// idPrefix and lastID make request ids: unique among processes, short to read out.
	idPrefix string
	lastID   atomic.Uint64
}

// New makes the API. The error names the option that is missing or wrong.
func New(o Options) (*API, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	var random [5]byte
	rand.Read(random[:]) // never fails: crypto/rand
	a := &API{
		Options:  o,
		held:     make(chan struct{}, o.MaxHeld),
		streams:  make(chan struct{}, o.MaxStreams),
		stopping: make(chan struct{}),
		idPrefix: strings.ToLower(base32.StdEncoding.EncodeToString(random[:])) + "-",
	}
	a.router = a.newRouter()
	return a, nil
}

// ServeHTTP answers one request. A request that did not come over TLS with a
// verified client certificate gets no answer.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The router's own ServeHTTP would copy the request twice to carry what no
	// route here needs, and redirect paths that are merely unknown.
	var match mux.RouteMatch
	a.router.Match(r, &match)
	match.Handler.ServeHTTP(w, r)
}

func (a *API) newID() string {
	return a.idPrefix + strconv.FormatUint(a.lastID.Add(1), 36)
}

// hold waits before a refusal, unless too many wait already.
func (a *API) hold(ctx context.Context) {
	select {
	case a.held <- struct{}{}:
	default:
		return
	}
	defer func() { <-a.held }()
	timer := time.NewTimer(a.Hold)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
