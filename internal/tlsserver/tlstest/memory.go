package tlstest

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Memory is a listener whose connections are in memory, for tests that run in a
// synctest bubble, where waiting for a real network would not count as waiting. A
// write is buffered, as TCP does it; net.Pipe would let both ends of a TLS handshake
// that fails wait for each other.
type Memory struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewMemory makes one.
func NewMemory() *Memory {
	return &Memory{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects, whatever the address. Its type is that of http.Transport.DialContext.
func (m *Memory) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	there, back := newStream(), newStream()
	select {
	case m.conns <- &conn{in: there, out: back}:
		return &conn{in: back, out: there}, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept returns the other end of a Dial.
func (m *Memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.conns:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial; connections stay open.
func (m *Memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr is an address in memory.
func (m *Memory) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }

// conn is one end of a connection.
type conn struct{ in, out *stream }

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close lets the other end read what was written, and then io.EOF.
func (c *conn) Close() error {
	c.out.finish()
	c.in.abandon()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return memoryAddr{} }
func (c *conn) RemoteAddr() net.Addr { return memoryAddr{} }

func (c *conn) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { return nil } // a write never waits

// stream is one direction.
type stream struct {
	mu        sync.Mutex
	buffer    []byte
	finished  bool // by the writer
	abandoned bool // by the reader
	deadline  time.Time
	changed   chan struct{} // closed when anything above changes
}

func newStream() *stream { return &stream{changed: make(chan struct{})} }

// change does f and wakes who reads.
func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) finish()                 { s.change(func() { s.finished = true }) }
func (s *stream) abandon()                { s.change(func() { s.abandoned = true }) }
func (s *stream) setDeadline(t time.Time) { s.change(func() { s.deadline = t }) }

func (s *stream) write(p []byte) (n int, err error) {
	s.change(func() {
		if s.finished || s.abandoned {
			err = io.ErrClosedPipe
			return
		}
		s.buffer = append(s.buffer, p...)
		n = len(p)
	})
	return n, err
}

func (s *stream) read(p []byte) (int, error) {
	for {
		n, changed, left, err := s.look(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		if left < 0 {
			<-changed
			continue
		}
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look takes what there is, or tells how long to wait for a change (negative: forever).
func (s *stream) look(p []byte) (n int, changed chan struct{}, left time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left = -1
	if !s.deadline.IsZero() {
		left = max(time.Until(s.deadline), 0)
	}
	switch {
	case s.abandoned:
		err = net.ErrClosed
	case left == 0:
		err = os.ErrDeadlineExceeded
	case len(s.buffer) > 0:
		n = copy(p, s.buffer)
		s.buffer = s.buffer[n:]
	case s.finished:
		err = io.EOF
	}
	return n, s.changed, left, err
}
