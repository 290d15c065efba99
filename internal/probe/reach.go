package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Unreachable reports whether a dial's error says that packets find no way to the
// address or back: silence, no route, a name that does not resolve, or a firewall
// on this machine. A refused connection came from the other side, so the way is open.
func Unreachable(err error) bool {
	for _, e := range []error{
		context.DeadlineExceeded, os.ErrDeadlineExceeded,
		syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT, syscall.EPERM, syscall.EACCES,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return true
	}
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// boundedConn reads no more than left bytes and remembers what went wrong.
type boundedConn struct {
	net.Conn
	left int
	err  error
}

func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.err = fmt.Errorf("the server sent more than %d bytes", longestAnswer)
		return 0, c.err
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	if err != nil {
		c.err = err
	}
	return n, err
}
