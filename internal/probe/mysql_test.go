package probe_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/internal/probe"
)

func TestRealServer(t *testing.T) {
	t.Parallel()
	server := startMariaDB(t)
	var p probe.MySQL
	activity := func() playground.Activity {
		t.Helper()
		a, err := p.Activity(t.Context(), server.address)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}

	// A server takes a moment to notice that a connection has ended.
	with := func(clients int64) playground.Activity {
		t.Helper()
		a := activity()
		for deadline := time.Now().Add(10 * time.Second); a.Threads != clients; a = activity() {
			if time.Now().After(deadline) {
				t.Fatalf("Activity = %+v and %d clients are connected", a, clients)
			}
		}
		return a
	}

	if err := p.Ping(t.Context(), server.address); err != nil {
		t.Fatalf("Ping: %v", err)
	}
	idle := with(0)

	t.Run("our own calls leave no trace", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := p.Ping(t.Context(), server.address); err != nil {
					t.Error(err)
				}
				if _, err := p.Activity(t.Context(), server.address); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := with(0); got != idle {
			t.Errorf("Activity = %+v after our own calls, was %+v", got, idle)
		}
	})

	t.Run("a client is seen, while it is there and after", func(t *testing.T) {
		client := connect(t, server.address)
		got := with(1)
		if got.Connections != idle.Connections+1 {
			t.Errorf("Activity = %+v with one client, was %+v", got, idle)
		}
		client.Close()
		got = with(0)
		if got.Connections != idle.Connections+1 {
			t.Errorf("Connections = %d after one client, was %d", got.Connections, idle.Connections)
		}
	})

	t.Run("a new server process starts anew", func(t *testing.T) {
		for range 20 {
			connect(t, server.address).Close()
		}
		last := activity()
		server.stop()
		if err := p.Ping(t.Context(), server.address); err == nil || errors.Is(err, playground.ErrUnreachable) {
			t.Errorf("Ping of a stopped server: %v, want one that is refused", err)
		}
		server.start(t)
		for range 5 {
			if err := p.Ping(t.Context(), server.address); err != nil {
				t.Fatal(err)
			}
		}
		first := activity()
		if first.Connections >= last.Connections {
			t.Errorf("Connections = %d, was %d before the restart", first.Connections, last.Connections)
		}
		if second := activity(); first.Connections != second.Connections {
			t.Errorf("Activity = %+v, then %+v", first, second)
		}
	})

	t.Run("a wrong password is no matter of routes", func(t *testing.T) {
		client := connect(t, server.address)
		if _, err := client.ExecContext(t.Context(), "ALTER USER root@'%' IDENTIFIED BY 'changed'"); err != nil {
			t.Fatal(err)
		}
		err := p.Ping(t.Context(), server.address)
		if !errors.Is(err, playground.ErrRefused) || errors.Is(err, playground.ErrUnreachable) || !strings.Contains(err.Error(), "Access denied") {
			t.Errorf("Ping = %v", err)
		}
	})
}

func connect(t *testing.T, address string) *sql.Conn {
	t.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = "root", "root", "tcp", address
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0) // closing the connection ends it
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestRefusedIsReachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	var p probe.MySQL
	if err := p.Ping(t.Context(), l.Addr().String()); err == nil || errors.Is(err, playground.ErrUnreachable) {
		t.Errorf("Ping of a closed port: %v", err)
	}
	if _, err := p.Activity(t.Context(), l.Addr().String()); err == nil || errors.Is(err, playground.ErrUnreachable) {
		t.Errorf("Activity of a closed port: %v", err)
	}
}

func silence(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDialTimeoutIsUnreachable(t *testing.T) {
	t.Parallel()
	p := probe.MySQL{DialTimeout: 20 * time.Millisecond, Dial: silence}
	if err := p.Ping(t.Context(), "10.0.0.1:3306"); !errors.Is(err, playground.ErrUnreachable) {
		t.Errorf("Ping = %v", err)
	}
}

func TestCallerWhoGaveUpLearnsNothing(t *testing.T) {
	t.Parallel()
	p := probe.MySQL{Dial: silence}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Ping(canceled, "10.0.0.1:3306")
	if errors.Is(err, playground.ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("Ping of a caller that left = %v", err)
	}
	hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err = p.Ping(hasty, "10.0.0.1:3306")
	if errors.Is(err, playground.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ping of a hasty caller = %v", err)
	}
}

// Behind an address may be anything: the user is root in that container.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	greeting := "\x0a8.0.33\x00\x01\x00\x00\x0012345678\x00\xff\xf7\x21\x02\x00\xff\xc1\x15" +
		strings.Repeat("\x00", 10) + "123456789012\x00mysql_native_password\x00"
	tests := []struct {
		name  string
		serve func(net.Conn)
		want  string
	}{
		{"silent", func(c net.Conn) { c.Read(make([]byte, 1)) }, "gave up waiting"},
		{"hangs up", func(c net.Conn) {}, "connection broke"},
		{"no MySQL", func(c net.Conn) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, ""},
		{"too many connections", func(c net.Conn) {
			c.Write(packet(0, "\xff\x10\x04#08004Too many connections"))
		}, "Too many connections"},
		{"never stops talking", func(c net.Conn) {
			c.Write(packet(0, greeting))
			c.Read(make([]byte, 1024))
			c.Write(packet(2, "\x00\x00\x00\x02\x00\x00\x00")) // logged in
			c.Read(make([]byte, 1024))
			c.Write([]byte{0xff, 0xff, 0xff, 1}) // a packet of 16 MiB
			for {
				if _, err := c.Write(make([]byte, 32<<10)); err != nil {
					return
				}
			}
		}, "sent more than"},
		{"asks for our files", func(c net.Conn) {
			c.Write(packet(0, greeting))
			c.Read(make([]byte, 1024))
			c.Write(packet(2, "\x00\x00\x00\x02\x00\x00\x00"))
			c.Read(make([]byte, 1024))
			c.Write(packet(1, "\xfb/etc/passwd")) // LOCAL INFILE request
			c.Read(make([]byte, 1024))
		}, "not registered"},
		{"no status", func(c net.Conn) {
			c.Write(packet(0, greeting))
			c.Read(make([]byte, 1024))
			c.Write(packet(2, "\x00\x00\x00\x02\x00\x00\x00"))
			c.Read(make([]byte, 1024))
			c.Write(packet(1, "\x00\x00\x00\x02\x00\x00\x00")) // OK, without any rows
			c.Read(make([]byte, 1024))
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, tt.serve)
			p := probe.MySQL{Timeout: 500 * time.Millisecond}
			pinged := p.Ping(t.Context(), address)
			_, asked := p.Activity(t.Context(), address)
			for _, err := range []error{pinged, asked} {
				if err == nil {
					t.Fatal("a server that does not answer passed")
				}
				if errors.Is(err, playground.ErrUnreachable) {
					t.Errorf("%v: it was reached", err)
				}
				if refused := tt.want == "Too many connections"; errors.Is(err, playground.ErrRefused) != refused {
					t.Errorf("%v: is it MySQL's own error? want %t", err, refused)
				}
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%q does not tell of %q", err, tt.want)
				}
				if strings.Contains(err.Error(), "root:root") {
					t.Errorf("%q tells the password", err)
				}
			}
		})
	}
}

func packet(seq byte, body string) []byte {
	return append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), seq}, body...)
}

// serve hands every connection to a new listener to f and closes it after that.
func serve(t *testing.T, f func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}
