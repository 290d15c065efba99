package probe_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/internal/probe"
)

// tracked knows whether it was closed.
type tracked struct {
	net.Conn
	closed atomic.Bool
}

func (c *tracked) Close() error { c.closed.Store(true); return c.Conn.Close() }

// network makes connections to a server that is no MySQL, and remembers them.
type network struct {
	mu   sync.Mutex
	made []*tracked
}

func (n *network) connect() (net.Conn, error) {
	client, server := net.Pipe()
	go func() { _, _ = server.Write([]byte("no MySQL")); _ = server.Close() }()
	conn := &tracked{Conn: client}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.made = append(n.made, conn)
	return conn, nil
}

// allClosed says how many connections were made, of which none may be open still.
func (n *network) allClosed(t *testing.T) int {
	t.Helper()
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, conn := range n.made {
		if !conn.closed.Load() {
			t.Errorf("connection %d of %d was left open", i+1, len(n.made))
		}
	}
	return len(n.made)
}

// A connect that began before the way to a service was there never arrives, as those
// of a kube-proxy that is a moment late do not; one that begins afterwards does.
func TestAConnectThatIsLostIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var n network
		p := probe.MySQL{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if time.Since(begun) < 500*time.Millisecond {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return n.connect()
		}}
		err := p.Ping(t.Context(), "198.51.100.1:3306")
		if err == nil || errors.Is(err, playground.ErrUnreachable) {
			t.Errorf("got %v, want the failure of the handshake", err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("connected after %s", took)
		}
		if n.allClosed(t) == 0 {
			t.Error("no connection was made")
		}
	})
}

// Whatever comes late is closed.
func TestOfTwoConnectsOneIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var n network
		p := probe.MySQL{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			time.Sleep(time.Until(begun.Add(150 * time.Millisecond))) // both arrive at once
			return n.connect()
		}}
		_ = p.Ping(t.Context(), "198.51.100.1:3306")
		if made := n.allClosed(t); made != 2 {
			t.Errorf("%d connections were made, want two", made)
		}
	})
}
