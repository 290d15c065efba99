package handlers

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

type connectionKey struct{}

// connection is what is known of one client connection. HTTP/2 has many requests
// on it at once.
type connection struct {
	conn   net.Conn
	once   sync.Once
	client playground.Client
}

// ConnContext is for http.Server's field of that name: it lets the API read a
// certificate once per connection and close the connection of a revoked one.
func (a *API) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{conn: c})
}

func (a *API) connection(r *http.Request) *connection {
	if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		return c
	}
	return &connection{}
}

// check identifies the client and looks whether it is still welcome.
func (c *connection) check(a *API, state *tls.ConnectionState) error {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.PeerCertificates) == 0 {
		return errNoClient
	}
	c.once.Do(func() { c.client = a.Identify(state.PeerCertificates[0]) })
	return a.Check(state)
}

// close ends the whole connection; aborting the handler ends one HTTP/2 stream only.
func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}
