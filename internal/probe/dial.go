package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// dialAgain is how long a connect may hang before another one is begun beside it. On
// one network a connect takes milliseconds.
const dialAgain = 100 * time.Millisecond

// leastPatience is how long a dial must have tried before a caller's own deadline
// counts as the network's silence. One lost SYN is repeated after a second.
const leastPatience = 500 * time.Millisecond

// dial connects, and marks errors that mean that the address cannot be reached.
func (m *MySQL) dial(ctx context.Context, network, address string) (net.Conn, error) {
	began := time.Now()
	dialCtx, cancel := context.WithTimeout(ctx, or(m.DialTimeout, defaultDialTimeout))
	defer cancel()
	conn, err := m.connect(dialCtx, network, address)
	if err == nil {
		return conn, nil
	}
	// A caller that gave up at once learnt nothing about the network.
	patient := context.Cause(ctx) == nil ||
		errors.Is(context.Cause(ctx), context.DeadlineExceeded) && time.Since(began) >= leastPatience
	if patient && Unreachable(err) {
		return nil, fmt.Errorf("%w: %w", playground.ErrUnreachable, err)
	}
	return nil, err
}

// attempt is how one connect ended.
type attempt struct {
	conn  net.Conn
	err   error
	first bool
}

// connect begins anew, every now and then, while the first attempt hangs, and returns what
// comes first of any connection and the first attempt's error. A connect that began before
// kube-proxy had a Service in its rules goes nowhere, also when it is repeated by the
// kernel; one that begins afterwards arrives. Should two arrive, the server has seen one
// connection more than is counted as ours: an idle database then looks used at that
// moment, and is kept for one idle time-out more.
func (m *MySQL) connect(ctx context.Context, network, address string) (net.Conn, error) {
	dial := m.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attempts, over := make(chan attempt), make(chan struct{})
	defer close(over)
	try := func(ctx context.Context, first bool) {
		conn, err := dial(ctx, network, address)
		select {
		case attempts <- attempt{conn, err, first}:
		case <-over: // nobody wants it any more
			if err == nil {
				_ = conn.Close()
			}
		}
	}
	go try(ctx, true)
	ticker := time.NewTicker(dialAgain)
	defer ticker.Stop()
	for {
		select {
		case a := <-attempts:
			if a.err == nil || a.first {
				return a.conn, a.err
			}
		case <-ticker.C:
			go func() {
				ctx, cancel := context.WithTimeout(ctx, 2*dialAgain)
				defer cancel()
				try(ctx, false)
			}()
		}
	}
}
