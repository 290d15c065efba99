package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func TestUnreachable(t *testing.T) {
	t.Parallel()
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	tests := []struct {
		err  error
		want bool
	}{
		{dial(syscall.EHOSTUNREACH), true},
		{dial(syscall.ENETUNREACH), true},
		{dial(syscall.ETIMEDOUT), true},
		{dial(syscall.EPERM), true},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, true},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, true},
		{dial(syscall.ECONNREFUSED), false},
		{dial(syscall.ECONNRESET), false},
		{errors.New("bad handshake"), false},
	}
	for _, tt := range tests {
		if got := Unreachable(tt.err); got != tt.want {
			t.Errorf("Unreachable(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
	visit := func(l *ledger, address string, seconds float64, f func(*entry)) {
		e, err := l.take(t.Context(), address, at(seconds), 10)
		if err != nil {
			t.Fatal(err)
		}
		defer l.give(e)
		e.connected(at(seconds))
		if f != nil {
			f(e)
		}
	}
	const db = "10.0.0.1:3306"

	t.Run("every connection to the process counts", func(t *testing.T) {
		var l ledger
		visit(&l, db, 10, nil)
		visit(&l, db, 20, func(e *entry) {
			if own := e.settle(at(20.1), 7, 20*time.Second); own != 2 {
				t.Errorf("own = %d, want 2", own)
			}
		})
		visit(&l, db, 80, func(e *entry) {
			if own := e.settle(at(80.7), 8, 80*time.Second); own != 3 {
				t.Errorf("own = %d, want 3", own)
			}
		})
	})
	t.Run("connections to an earlier process do not", func(t *testing.T) {
		var l ledger
		visit(&l, db, 10, nil) // before the start
		visit(&l, db, 40, func(e *entry) {
			if own := e.settle(at(40), 9, 20*time.Second); own != 1 {
				t.Errorf("own = %d, want 1", own)
			}
		})
		visit(&l, db, 50, nil) // to the process that ended
		visit(&l, db, 90, func(e *entry) {
			if own := e.settle(at(90), 100, 30*time.Second); own != 1 {
				t.Errorf("own = %d, want 1: it is another process", own)
			}
		})
	})
	t.Run("a smaller count is another process, whatever the clocks say", func(t *testing.T) {
		var l ledger
		visit(&l, db, 10, func(e *entry) { e.settle(at(10), 50, 5*time.Second) })
		visit(&l, db, 12, func(e *entry) {
			if own := e.settle(at(12), 3, 4*time.Second); own != 1 {
				t.Errorf("own = %d, want 1", own)
			}
		})
	})
	t.Run("slow drift of a clock is no restart", func(t *testing.T) {
		var l ledger
		visit(&l, db, 100, func(e *entry) { e.settle(at(100), 1, 50*time.Second) })
		for i := range 100 {
			now := 200 + 100*float64(i)
			visit(&l, db, now, func(e *entry) {
				own := e.settle(at(now), int64(2+i), time.Duration(now-50-float64(i))*time.Second)
				if own != int64(2+i) {
					t.Fatalf("pass %d: own = %d, want %d", i, own, 2+i)
				}
			})
		}
	})
	t.Run("memory is bounded", func(t *testing.T) {
		var l ledger
		busy, err := l.take(t.Context(), db, at(0), 10)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			visit(&l, fmt.Sprintf("10.0.1.%d:3306", i), float64(i), nil)
		}
		if len(l.entries) != 10 || l.entries[db] != busy || l.entries["10.0.1.99:3306"] == nil {
			t.Errorf("%d addresses are remembered, want 10, with the one in use and the newest", len(l.entries))
		}
		for range 10 * pendingMax {
			busy.connected(at(500))
		}
		if got := len(busy.pending); got > pendingMax {
			t.Errorf("%d pending connections are remembered", got)
		}
		if own := busy.settle(at(500), 1000, 300*time.Second); own != pendingMax {
			t.Errorf("own = %d, want the %d that are remembered", own, pendingMax)
		}
	})
	t.Run("who waits for its turn can leave", func(t *testing.T) {
		var l ledger
		busy, err := l.take(t.Context(), db, at(0), 10)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.take(ctx, db, at(1), 10); !errors.Is(err, context.Canceled) {
			t.Errorf("take = %v", err)
		}
		l.give(busy)
		if busy.users != 0 {
			t.Errorf("%d users are left", busy.users)
		}
	})
}
