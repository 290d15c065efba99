package tlsserver

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Listen shakes hands with the clients of inner and returns a listener for
// http.Server.Serve: of *tls.Conn for HTTP/2, as http.Server wants them, and of a type
// that embeds it for HTTP/1. A slow client holds up nobody.
// Closing it closes inner and every connection that is not handed out yet, and
// waits for them.
func (s *Server) Listen(inner net.Listener) net.Listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{
		server: s,
		inner:  inner,
		ready:  make(chan accepted),
		ctx:    ctx,
		cancel: cancel,
		config: &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return s.current.Load().config, nil
			},
		},
	}
	l.running.Go(l.run)
	return l
}

type accepted struct {
	conn net.Conn
	err  error
}

type listener struct {
	server  *Server
	inner   net.Listener
	config  *tls.Config
	ready   chan accepted
	ctx     context.Context // ends when the listener is closed
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (l *listener) Addr() net.Addr { return l.inner.Addr() }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.cancel()
	err := l.inner.Close()
	l.running.Wait()
	return err
}

// run accepts until the listener is closed. After an error it goes on only when
// http.Server, which waits a little after a temporary one, accepts again.
func (l *listener) run() {
	for {
		conn, err := l.inner.Accept()
		if err == nil {
			l.running.Go(func() { l.shake(conn) })
			continue
		}
		if !l.hand(accepted{err: err}) {
			return
		}
	}
}

// hand gives a to the next Accept, and reports false if there will be none.
func (l *listener) hand(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// shake does the handshake of one connection, off the accept loop.
func (l *listener) shake(raw net.Conn) {
	ctx, cancel := context.WithTimeout(l.ctx, handshakeTimeout)
	defer cancel()
	held := &heldConn{Conn: raw, server: l.server, ctx: ctx}
	conn := tls.Server(held, l.config)
	err := conn.HandshakeContext(ctx)
	if err != nil {
		if l.ctx.Err() == nil {
			l.server.refused(raw.RemoteAddr(), err)
		}
		_ = raw.Close()
		return
	}
	held.shaken.Store(true)
	a := accepted{conn: conn}
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		a.conn = &mended{Conn: conn}
	}
	if !l.hand(a) {
		_ = raw.Close()
	}
}

// heldConn delays the bad news. crypto/tls tells a client that it is refused, by an
// alert record, before it tells us; so the alert is held on its way out.
type heldConn struct {
	net.Conn
	server *Server
	ctx    context.Context // of the handshake
	shaken atomic.Bool
}

func (c *heldConn) Write(p []byte) (int, error) {
	if !c.shaken.Load() && isAlert(p) {
		c.server.hold(c.ctx)
	}
	return c.Conn.Write(p)
}

// isAlert recognizes a record with an alert: of its own type (RFC 8446 section 5.1),
// or, once TLS 1.3 encrypts, by its length. An alert is 2 bytes, and nothing else of
// a handshake is: with the inner type and an authentication tag of 16 bytes, which
// all cipher suites of TLS 1.3 have, it makes a record of 19. In TLS 1.2 an encrypted
// alert still has its own type. To err here costs a delay or saves one, no more.
func isAlert(p []byte) bool {
	const (
		header          = 5
		typeAlert       = 21
		typeApplication = 23
		encrypted       = 2 + 1 + 16
	)
	if len(p) < header {
		return false
	}
	length := int(p[3])<<8 | int(p[4])
	return p[0] == typeAlert || p[0] == typeApplication && length == encrypted && len(p) == header+encrypted
}

// hold waits, unless too many wait already or ctx ends.
func (s *Server) hold(ctx context.Context) {
	select {
	case s.held <- struct{}{}:
	default:
		return
	}
	defer func() { <-s.held }()
	timer := time.NewTimer(s.HoldRefused)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
