package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A target is a server as the load generator sees it.
type target struct {
	address string
	config  *tls.Config // of the client
	pid     int
}

// A load is what some clients got out of a target, and what that took.
type load struct {
	rate           float64       // answers a second
	server, client time.Duration // processor time for each answer
}

// beatUser is whom the load is for.
const beatUser = "ann"

func heartBeat(header string) []byte {
	return []byte("GET /api/heart_beat?user_id=" + beatUser + " HTTP/1.1\r\nHost: localhost\r\n" + header + "\r\n")
}

// load beats from so many clients at once for a while. Every client keeps its
// connection, or opens a new one for each beat, with a full handshake.
//
// It writes the same bytes again and again and compares what comes back instead of
// reading HTTP, because it runs beside the server on the same processors.
func (g target) load(t *testing.T, clients int, keep bool, length time.Duration) load {
	t.Helper()
	var stop atomic.Bool
	var answers atomic.Int64
	errs := make([]error, clients)
	var ready, all sync.WaitGroup
	ready.Add(clients)
	begin := make(chan struct{})
	for i := range clients {
		all.Go(func() {
			var c *persistent
			if keep {
				c, errs[i] = g.keep()
			}
			ready.Done()
			<-begin
			if c != nil {
				defer c.Close()
			}
			n := int64(0)
			for errs[i] == nil && !stop.Load() {
				if keep {
					errs[i] = c.beat()
				} else {
					errs[i] = g.beatOnce()
				}
				n++
			}
			answers.Add(n)
		})
	}
	ready.Wait()
	own, _ := spent(t, g.pid)
	mine, begun := spentHere(t), time.Now()
	timer := time.AfterFunc(length, func() { stop.Store(true) })
	defer timer.Stop()
	close(begin)
	all.Wait()
	took := time.Since(begun)
	mineAfter := spentHere(t)
	ownAfter, _ := spent(t, g.pid)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	n := time.Duration(max(answers.Load(), 1))
	return load{rate: float64(n) / took.Seconds(), server: (ownAfter - own) / n, client: (mineAfter - mine) / n}
}

// beatOnce opens a connection, beats, and closes it.
func (g target) beatOnce() error {
	conn, err := tls.Dial("tcp", g.address, g.config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(heartBeat("Connection: close\r\n")); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	return isHello(answer)
}

// isWhole says whether an answer has all of hello, in one piece or as the last chunk
// but the empty one (RFC 9112 section 7.1).
func isWhole(answer []byte) bool {
	return bytes.HasSuffix(answer, []byte("\r\n\r\nhello "+beatUser)) || bytes.HasSuffix(answer, []byte("\r\nhello "+beatUser+"\r\n0\r\n\r\n"))
}

// isHello checks a whole answer.
func isHello(answer []byte) error {
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 OK\r\n")) || !isWhole(answer) {
		return fmt.Errorf("a heart beat was answered %q", answer)
	}
	return nil
}

// persistent is a connection that is kept, on which all answers are of one length.
type persistent struct {
	*tls.Conn
	request, answer []byte
}

// keep opens a connection and learns from a first beat how long an answer is.
func (g target) keep() (*persistent, error) {
	conn, err := tls.Dial("tcp", g.address, g.config)
	if err != nil {
		return nil, err
	}
	c := &persistent{Conn: conn, request: heartBeat(""), answer: make([]byte, 4096)}
	if _, err := conn.Write(c.request); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	n := 0
	for !isWhole(c.answer[:n]) && err == nil && n < len(c.answer) {
		var more int
		more, err = conn.Read(c.answer[n:])
		n += more
	}
	c.answer = c.answer[:n]
	if err := errors.Join(err, isHello(c.answer)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *persistent) beat() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, c.answer); err != nil {
		return err
	}
	return isHello(c.answer)
}

// spent is the processor time that a process has taken, and that of its children
// that ended.
func spent(t *testing.T, pid int) (own, children time.Duration) {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // proc(5): from the third field on
	fields := strings.Fields(rest)
	const tick = 10 * time.Millisecond // sysconf(_SC_CLK_TCK) is 100 on Linux
	for i, into := range []*time.Duration{&own, &own, &children, &children} {
		n, _ := strconv.Atoi(fields[11+i])
		*into += time.Duration(n) * tick
	}
	return own, children
}

// spentHere is the processor time that the tests themselves have taken.
func spentHere(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// cost is what a server has taken so far, its kubectl included, those that still
// run as well.
type cost struct {
	cpu     time.Duration
	kubectl int           // processes started
	running time.Duration // how long they ran, all together
}

func (s *server) cost(t *testing.T) cost {
	t.Helper()
	pid := s.cmd.Process.Pid
	own, children := spent(t, pid)
	c := cost{cpu: own + children}
	for _, child := range watchers(t, pid) {
		own, _ := spent(t, child)
		c.cpu += own
	}
	response, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name, _, _ = strings.Cut(name, "{"); name {
		case "sqlflow_playground_kubectl_seconds_count":
			c.kubectl += int(n)
		case "sqlflow_playground_kubectl_seconds_sum":
			c.running += time.Duration(n * 1e9)
		}
	}
	return c
}

// since is what was taken after before.
func (c cost) since(before cost) cost {
	return cost{c.cpu - before.cpu, c.kubectl - before.kubectl, c.running - before.running}
}

// target is the server for the load generator, which comes as beatUser.
func (s *server) target(t *testing.T) target {
	t.Helper()
	config := s.tlsConfig(t, beatUser)
	config.ServerName = "localhost"
	return target{net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), config, s.cmd.Process.Pid}
}

// newConnection asks with a client that keeps nothing.
func (s *server) newConnection(t *testing.T, ask func(*http.Client) (answer, error)) time.Duration {
	t.Helper()
	client := s.client(t, beatUser)
	defer client.CloseIdleConnections()
	a, err := ask(client)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK {
		t.Fatalf("the answer was %s", a)
	}
	return a.took
}
