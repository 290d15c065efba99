//go:build cgo || gms_pure_go

package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/netutil"
)

const (
	// longestCommand is MySQL's default max_allowed_packet; the protocol's
	// implementation here has no limit of its own.
	longestCommand = 64 << 20
	// longestPrepare bounds the text of a statement to prepare, which is walked
	// before the engine gives us a chance to measure its chains (see tooDeep).
	longestPrepare = 1 << 20
)

// wire is a client's connection. It breaks off when a command is too long, and
// notices when the client leaves while a statement runs.
type wire struct {
	net.Conn
	framing framing

	mu     sync.Mutex
	ahead  []byte // what was read while a statement ran
	broken error  // why nothing more can be read
}

func (w *wire) Read(p []byte) (n int, err error) {
	w.mu.Lock()
	if len(w.ahead) > 0 {
		n = copy(p, w.ahead)
		w.ahead = w.ahead[n:]
	} else {
		err = w.broken
	}
	w.mu.Unlock()
	if n == 0 && err == nil {
		n, err = w.Conn.Read(p)
	}
	if bad := w.framing.follow(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

// watch calls gone if the client leaves before the returned stop is called. Nobody
// may Read meanwhile: the server does not, while a statement runs, and net/http
// watches its clients in the same way.
func (w *wire) watch(gone func()) (stop func()) {
	w.Conn.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		one := make([]byte, 1)
		n, err := w.Conn.Read(one)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ahead = append(w.ahead, one[:n]...)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			w.broken = err
			gone()
		}
	}()
	return func() {
		w.Conn.SetReadDeadline(time.Unix(1, 0)) // long past: ends the Read
		<-ended
		w.Conn.SetReadDeadline(time.Time{})
	}
}

// CloseRead lets the server still write; its next Read fails.
func (w *wire) CloseRead() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead, w.broken = nil, net.ErrClosed
	return nil
}

// wireOf is the wire under the engine's connection.
func wireOf(c *mysql.Conn) *wire {
	conn := c.Conn
	if timed, ok := conn.(netutil.ConnWithTimeouts); ok {
		conn = timed.Conn
	}
	w, _ := conn.(*wire)
	return w
}

// framing follows the packets that a client sends: a header (3 bytes length, 1 byte
// number, which is 0 at the begin of a command), then that many bytes
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html).
type framing struct {
	header  [4]byte
	have    int  // bytes of header that are known
	left    int  // bytes of the packet that are still to come
	command bool // a command's first byte comes next
	limit   int
	total   int // bytes of the command, as announced
}

// follow takes what was read and returns an error when a command is too long.
func (f *framing) follow(p []byte) error {
	for len(p) > 0 {
		if f.left == 0 {
			n := copy(f.header[f.have:], p)
			f.have += n
			p = p[n:]
			if f.have < len(f.header) {
				return nil
			}
			f.have = 0
			f.left = int(f.header[0]) | int(f.header[1])<<8 | int(f.header[2])<<16
			if f.header[3] == 0 && f.left > 0 {
				f.command, f.limit, f.total = true, longestCommand, 0
			}
			f.total += f.left
			if f.limit > 0 && f.total > f.limit {
				return fmt.Errorf("a command of more than %d bytes", f.limit)
			}
			continue
		}
		if f.command {
			f.command = false
			if p[0] == mysql.ComPrepare {
				f.limit = longestPrepare
				if f.total > f.limit {
					return fmt.Errorf("a statement to prepare of more than %d bytes", f.limit)
				}
			}
		}
		n := min(f.left, len(p))
		f.left -= n
		p = p[n:]
	}
	return nil
}
