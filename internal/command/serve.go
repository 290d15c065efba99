package command

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/metrics"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/internal/tlsserver"
	"sqlflow.org/sqlflow_playground/keytool"
)

func newServe(w World) *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "sqlflow_playground",
		Short: "Serve a playground of SQLFlow: a MySQL database for every notebook user",
		Long: `Without a command, sqlflow_playground serves: it gives every user of a notebook or a
tutorial site a MySQL database on a Kubernetes cluster, over mutual TLS, keeps it
while heart beats or queries come, and releases it when nobody uses it.

Every flag can be set by an environment variable: SQLFLOW_PLAYGROUND_<FLAG>.`,
		Example: `  sqlflow_playground demo
  sqlflow_playground keytool init && sqlflow_playground keytool server
  sqlflow_playground --port=50052 --ca_crt=key_store/ca/ca.crt \
    --server_key=key_store/server/server.key --server_crt=key_store/server/server.crt`,
		Args: arguments(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fromEnvironment(c.Flags(), w); err != nil {
				return err
			}
			if err := s.check(c.Flags().Changed); err != nil {
				return err
			}
			log, err := s.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			s.environ = w.Environ
			g, err := newGateway(c.Context(), &s, log)
			if err != nil {
				return err
			}
			return g.run(c.Context())
		},
	}
	s.flags(c)
	return c
}

// gateway is the server put together: every part exists and listens, nothing runs yet.
type gateway struct {
	log      *logrus.Logger
	limit    time.Duration // for a request
	backend  *backend
	manager  *playground.Manager
	tls      *tlsserver.Server
	https    *http.Server
	listener net.Listener
	admin    *http.Server
	adminAt  net.Listener
}

// newGateway checks everything that can be checked before the first request, binds
// the addresses, and returns the first thing that is wrong.
func newGateway(ctx context.Context, s *settings, log *logrus.Logger) (_ *gateway, err error) {
	g := &gateway{log: log, limit: s.manager.CreateTimeout + 10*time.Second}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	crl, mayLack := s.revocationList()
	g.tls, err = tlsserver.New(tlsserver.Options{
		CAFile: s.caCrt, CertFile: s.serverCrt, KeyFile: s.serverKey, CRLFile: crl, CRLMayLack: mayLack, ParseCRL: parseCRL, Log: log,
	})
	if err != nil {
		return nil, err
	}
	allowOld, err := s.allowOldCerts()
	if err != nil {
		return nil, err
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	recorder := metrics.New(registry)
	if g.backend, err = newBackend(ctx, s, log, recorder); err != nil {
		return nil, err
	}
	if g.manager, err = playground.NewManager(g.backend.cluster, g.backend.prober, s.manager, log, recorder); err != nil {
		return nil, err
	}
	recorder.Databases(g.manager.Counts)
	recorder.Pool(g.manager.Pool)
	recorder.WatchAge(g.backend.watchAge)
	recorder.CertificateExpiry(g.certificatesLeft)

	workflows, err := newPrograms(ctx, s, recorder)
	if err != nil {
		return nil, err
	}
	api, err := handlers.New(handlers.Options{
		Manager: g.manager, Workflows: workflows, Identify: identify, Check: g.tls.Check, OldCerts: allowOld, Log: log,
	})
	if err != nil {
		return nil, err
	}
	g.https = g.tls.NewHTTPServer(api, g.limit)
	g.https.ConnContext = api.ConnContext
	g.https.RegisterOnShutdown(api.EndStreams)
	inner, err := net.Listen("tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port)))
	if err != nil {
		return nil, fmt.Errorf("%w; choose another --port or --host", err)
	}
	g.listener = g.tls.Listen(inner)
	if s.adminAddr != "" {
		if g.adminAt, err = net.Listen("tcp", s.adminAddr); err != nil {
			return nil, fmt.Errorf("%w; choose another --admin_addr, or none with --admin_addr=", err)
		}
		g.admin = &http.Server{
			Handler: handlers.Admin(handlers.AdminOptions{
				// Compressed, a page has 6 KB instead of 82, but the compressor keeps 0.8 MB alive.
				Checks: g.checks(), Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 10, DisableCompression: true}),
			}),
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		}
	}

	old := "refused"
	if allowOld {
		old = "allowed to create_db, heart_beat and db for any id"
	}
	if !g.tls.Status().List {
		crl = "none: nobody is revoked until there is " + crl
	}
	log.WithFields(logrus.Fields{
		"address": g.listener.Addr().String(), "admin": s.adminAddr, "backend": s.backend,
		"revocation_list": crl, "certificates_without_a_mark": old,
	}).Info("serving")
	return g, nil
}

// run serves until ctx ends, then stops in order: no new connections, requests and
// creations in flight are finished, heart beats written. Databases stay.
func (g *gateway) run(ctx context.Context) error {
	defer g.close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	part := func(name string, work func() error) {
		parts.Go(func() {
			err := work()
			if err != nil && !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	part("https", func() error { return g.https.Serve(g.listener) })
	if g.admin != nil {
		part("admin address", func() error { return g.admin.Serve(g.adminAt) })
	}
	part("watching the certificates", func() error { return g.tls.Watch(ctx) })
	part("manager", func() error { return g.manager.Run(ctx) })

	<-ctx.Done()
	g.log.Info("stopping: requests in flight are finished, databases are left running")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.limit)
	defer cancel()
	if err := g.https.Shutdown(last); err != nil {
		_ = g.https.Close()
	}
	if g.admin != nil {
		_ = g.admin.Close()
	}
	parts.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// close lets go of what newGateway took.
func (g *gateway) close() {
	for _, l := range []net.Listener{g.listener, g.adminAt} {
		if l != nil {
			_ = l.Close()
		}
	}
	if g.backend != nil {
		g.backend.close()
	}
}

// checks are what /readyz shows: every dependency, each answered from memory.
func (g *gateway) checks() map[string]func() error {
	return map[string]func() error{
		"cluster":      g.manager.Fresh,
		"certificates": func() error { return certificates(g.tls.Status()) },
		"databases": func() error {
			if w := g.manager.Warnings(); len(w) > 0 {
				return handlers.Warning(errors.New(strings.Join(w, "; ")))
			}
			return nil
		},
	}
}

// certificates is an error when clients cannot come in by what is in force, a warning when
// that draws near or what was meant to replace it is not usable.
func certificates(s tlsserver.Status) error {
	var told []string
	for _, err := range []error{s.Expired, s.Problem} {
		if err != nil {
			told = append(told, err.Error())
		}
	}
	told = append(told, s.Warnings...)
	if len(told) == 0 {
		return nil
	}
	err := errors.New(strings.Join(told, "; "))
	if s.Expired != nil {
		return err
	}
	return handlers.Warning(err)
}

func (g *gateway) certificatesLeft() map[string]time.Duration {
	left := map[string]time.Duration{}
	for _, c := range g.tls.Status().Certificates {
		if d := time.Until(c.NotAfter); left[c.Role] == 0 || d < left[c.Role] {
			left[c.Role] = d
		}
	}
	return left
}

// parseCRL adapts the key tool's reader to what the TLS listener asks for.
func parseCRL(pem []byte, cas []*x509.Certificate) (tlsserver.Revocations, error) {
	list, err := keytool.ParseCRL(pem, cas...)
	if err != nil {
		return nil, err
	}
	return revocations{list}, nil
}

type revocations struct{ *keytool.RevocationList }

// NextUpdate implements [tlsserver.Revocations].
func (r revocations) NextUpdate() time.Time { return r.RevocationList.NextUpdate }

// identify adapts what the key tool reads from a certificate to the domain's words.
func identify(cert *x509.Certificate) playground.Client {
	id := keytool.Identify(cert)
	c := playground.Client{Name: id.Name, Serial: id.Serial, Power: playground.OneUser, User: playground.User(id.User)}
	switch id.Kind {
	case keytool.Gateway:
		c.Power = playground.Gateway
	case keytool.Unmarked:
		c.Power = playground.Unmarked
	}
	return c
}
