//go:build cgo || gms_pure_go

package embedded

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dolthub/vitess/go/mysql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
	"github.com/sirupsen/logrus"
)

func command(length int, body ...byte) []byte {
	return append([]byte{byte(length), byte(length >> 8), byte(length >> 16), 0}, body...)
}

func TestFraming(t *testing.T) {
	t.Parallel()
	query := func(n int) []byte {
		return command(n, append([]byte{mysql.ComQuery}, make([]byte, n-1)...)...)
	}
	prepare := func(n int) []byte {
		return command(n, append([]byte{mysql.ComPrepare}, make([]byte, n-1)...)...)
	}
	full := command(1<<24-1, append([]byte{mysql.ComQuery}, make([]byte, 1<<24-2)...)...)
	more := append([]byte{0xff, 0xff, 0xff, 1}, make([]byte, 1<<24-1)...)
	tests := []struct {
		name  string
		sent  []byte
		wrong bool
	}{
		{"a query", query(10), false},
		{"many queries", bytes.Repeat(query(10), 1000), false},
		{"a large query", query(10 << 20), false},
		{"many large queries", bytes.Repeat(query(10<<20), 10), false},
		{"a query in five packets", bytes.Join([][]byte{full, more, more, more, more}, nil), true},
		{"a statement to prepare", prepare(1 << 20), false},
		{"a large one", prepare(1<<20 + 1), true},
		{"a large one, after others", append(query(10), prepare(1<<20+1)...), true},
		{"an answer to the greeting", append([]byte{4, 0, 0, 1}, 1, 2, 3, 4), false},
		{"an empty packet", command(0), false},
	}
	for _, tt := range tests {
		for how, r := range map[string]io.Reader{
			"at once": bytes.NewReader(tt.sent), "in halves": iotest.HalfReader(bytes.NewReader(tt.sent)),
		} {
			var f framing
			var err error
			p := make([]byte, 16<<10)
			for err == nil {
				var n int
				n, err = r.Read(p)
				if bad := f.follow(p[:n]); bad != nil {
					err = bad
				}
			}
			if got := err != io.EOF; got != tt.wrong {
				t.Errorf("%s, %s: %v", tt.name, how, err)
			}
		}
		var f framing
		var err error
		for i := 0; i < len(tt.sent) && i < 3<<20 && err == nil; i++ {
			err = f.follow(tt.sent[i : i+1])
		}
		if (err != nil) != tt.wrong && len(tt.sent) < 3<<20 {
			t.Errorf("%s, byte by byte: %v", tt.name, err)
		}
	}
}

func TestWatchLosesNothing(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	w := &wire{Conn: server}
	gone := make(chan struct{})

	stop := w.watch(func() { close(gone) })
	go client.Write(command(3, mysql.ComQuery, 'a', 'b'))
	got := make([]byte, 7)
	stop()
	if _, err := io.ReadFull(w, got); err != nil || !bytes.Equal(got, command(3, mysql.ComQuery, 'a', 'b')) {
		t.Errorf("read %q, %v", got, err)
	}
	stop = w.watch(func() { close(gone) })
	stop()
	select {
	case <-gone:
		t.Error("a client that is there is gone")
	default:
	}
	stop = w.watch(func() { close(gone) })
	client.Close()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("nobody noticed that the client left")
	}
	stop()
	if _, err := w.Read(got); err == nil {
		t.Error("Read of a client that left worked")
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	tests := map[string]kind{
		"SELECT 1":                              reads,
		"  /* hi */ select 1":                   reads,
		"(SELECT 1) UNION (SELECT 2)":           reads,
		"SHOW TABLES":                           reads,
		"WITH a AS (SELECT 1) SELECT * FROM a":  reads,
		"WITH a AS (SELECT 1) DELETE FROM t":    writes,
		"EXPLAIN SELECT 1":                      reads,
		"DESCRIBE t":                            reads,
		"SET autocommit = 0":                    reads,
		"START TRANSACTION":                     reads,
		"COMMIT":                                reads,
		"":                                      reads,
		"INSERT INTO t VALUES (1)":              writes,
		"REPLACE INTO t VALUES (1)":             writes,
		"UPDATE t SET a = 1":                    writes,
		"DELETE FROM t":                         writes,
		"CREATE TABLE t (n INT)":                changes,
		"/*!40000 ALTER TABLE t ENABLE KEYS */": changes,
		"CALL p()":                              changes,
		"EXECUTE s":                             changes,
		"LOCK TABLES t WRITE":                   changes,
		"TRUNCATE t":                            changes,
		"ANALYZE TABLE t":                       changes,
		"whatever":                              changes,
		"KILL 1":                                kills,
	}
	for statement, want := range tests {
		if got := kindOf(statement); got != want {
			t.Errorf("kindOf(%q) = %d, want %d", statement, got, want)
		}
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		statement string
		least     int
		most      int
	}{
		{"SELECT 1", 2, 2},
		{"SELECT 1" + strings.Repeat("+1", 1000), 2000, 2010},
		{"INSERT INTO t VALUES (1)" + strings.Repeat(", (1, 2, 'a,b')", 1000), 2, 20},
		{"SELECT ((1+1)+(1+1))", 5, 12},
		{strings.Repeat("SELECT 1;", 1000), 2, 3},
		{"SELECT 'unfinished", 1, 2},
		{")))", 0, 3},
	}
	for _, tt := range tests {
		if got := chain(sqlparser.NewStringTokenizer(tt.statement)); got < tt.least || got > tt.most {
			t.Errorf("chain(%.40q) = %d, want %d to %d", tt.statement, got, tt.least, tt.most)
		}
	}
}

// The engine recovers panics in its goroutines itself, and gives the client the stack.
func TestStackTracesStayHere(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	s, err := newServer(iris(), logger, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	client, conn := net.Pipe()
	defer client.Close()
	c := &mysql.Conn{Conn: &wire{Conn: conn}}
	h := &handler{server: s}
	err = h.run(t.Context(), c, "SELECT 1", func(context.Context) error {
		return errors.New("panic recovered: index out of range\ngoroutine 7 [running]:\nmain.main()")
	})
	var told *mysql.SQLError
	if !errors.As(err, &told) || strings.Contains(err.Error(), "goroutine") || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("the client reads %v", err)
	}
	if !strings.Contains(log.String(), "main.main") {
		t.Errorf("logged: %s", log.String())
	}
	if _, err := wireOf(c).Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives on")
	}
}
