//go:build cgo || gms_pure_go

package embedded

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A door is a user's port. It stays open as long as the record lives, so that the
// address stays the same, and leads to whatever server is behind it.
type door struct {
	listener net.Listener
	done     chan struct{} // closed when nobody is let in any more

	mu     sync.Mutex
	server *server // nil: nobody is at home
}

func openDoor(l net.Listener) *door {
	d := &door{listener: l, done: make(chan struct{})}
	go d.answer()
	return d
}

func (d *door) address() string { return d.listener.Addr().String() }

// lead sends everybody who comes from now on to s.
func (d *door) lead(s *server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.server = s
}

func (d *door) close() {
	d.listener.Close()
	<-d.done
}

func (d *door) answer() {
	defer close(d.done)
	wait := time.Millisecond
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely
			timer := time.NewTimer(wait)
			<-timer.C
			wait = min(2*wait, time.Second)
			continue
		}
		wait = time.Millisecond
		d.mu.Lock()
		s := d.server
		d.mu.Unlock()
		if s == nil || !s.inbox.put(&wire{Conn: conn}) {
			refuse(conn)
		}
	}
}

// awayMessage is what a client reads that connects to a database that is not there.
// Its first word is one that PyMySQL can do without: it cuts six characters off
// messages that come before the handshake.
const awayMessage = "Sorry: this database was released because nobody used it; a heart beat or create_db brings it back as new"

// refuse says goodbye in MySQL's words: an ERR packet (ER_SERVER_SHUTDOWN) instead of
// a greeting, which has no SQL state yet
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_err_packet.html).
func refuse(conn net.Conn) {
	const serverShutdown = 1053
	body := append([]byte{0xff, serverShutdown & 0xff, serverShutdown >> 8}, awayMessage...)
	packet := append([]byte{byte(len(body)), byte(len(body) >> 8), 0, 0}, body...)
	conn.SetDeadline(time.Now().Add(time.Second))
	conn.Write(packet) // fits into the empty send buffer, so it does not block
	conn.Close()
}

// An inbox is the listener that a server accepts from: what its door lets in.
type inbox struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newInbox() *inbox {
	return &inbox{address: &net.TCPAddr{}, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// put hands conn to the server; false means that it does not accept any more.
func (i *inbox) put(conn net.Conn) bool {
	select {
	case i.conns <- conn:
		return true
	case <-i.closed:
		return false
	}
}

func (i *inbox) Accept() (net.Conn, error) {
	select {
	case conn := <-i.conns:
		return conn, nil
	case <-i.closed:
		return nil, net.ErrClosed
	}
}

func (i *inbox) Close() error {
	i.once.Do(func() { close(i.closed) })
	return nil
}

func (i *inbox) Addr() net.Addr { return i.address }
