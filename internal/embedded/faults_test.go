//go:build cgo || gms_pure_go

package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/embedded"
	"sqlflow.org/sqlflow_playground/internal/playground"
)

func mysqlError(t *testing.T, err error, number uint16) {
	t.Helper()
	var e *mysql.MySQLError
	if !errors.As(err, &e) || e.Number != number {
		t.Errorf("error %v, want MySQL's number %d", err, number)
	}
}

// The engine really fails on this: it looks for the body of the procedure past the
// end of the first statement.
const panics = "CREATE PROCEDURE iris.p() SELECT 1; SELECT 1"

func TestPanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	c := embedded.New(embedded.Options{Log: logger})
	defer c.Close()
	ada, bob := start(t, c, "ada"), start(t, c, "bob")
	victim := connect(t, ada.Address, "multiStatements=true")
	sibling, stranger := connect(t, ada.Address), connect(t, bob.Address)

	_, err := rows(t.Context(), victim, panics)
	mysqlError(t, err, 1105)
	if err != nil && strings.Contains(err.Error(), "goroutine") {
		t.Errorf("the client reads %v", err)
	}
	if _, err := rows(t.Context(), victim, "SELECT 1"); err == nil {
		t.Error("the connection lives on")
	}
	want(t, "for another connection", ask(t, sibling, "SELECT COUNT(*) FROM iris.train"), "110")
	want(t, "for a new connection", ask(t, connect(t, ada.Address), "SELECT COUNT(*) FROM iris.train"), "110")
	want(t, "for another user", ask(t, stranger, "SELECT COUNT(*) FROM iris.train"), "110")
	mustExec(t, sibling, "INSERT INTO iris.test VALUES (1, 2, 3, 4, 0)")
	if !strings.Contains(log.String(), "panicked") || strings.Contains(log.String(), "CREATE PROCEDURE") {
		t.Errorf("logged: %s", log.String())
	}
}

// Each of these ended the whole process without our limits: a Go stack that
// overflows cannot be recovered from.
func TestEndlessRecursion(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	conn := connect(t, start(t, c, "ada").Address)
	mustExec(t, conn, "USE iris",
		"CREATE PROCEDURE p() CALL p()",
		"CREATE PROCEDURE twice(k INT) BEGIN SELECT k FROM iris.test LIMIT 1; CALL once(); END",
		"CREATE PROCEDURE once() SELECT 1")
	_, err := rows(t.Context(), conn, "CALL p()")
	mysqlError(t, err, 1456)
	for range 3 {
		want(t, "an honest procedure", ask(t, conn, "CALL once()"), "1")
	}
}

func TestDeepStatements(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	address := start(t, c, "ada").Address
	conn := connect(t, address)
	for _, s := range []string{
		"SELECT 1" + strings.Repeat("+1", 1<<20),
		"SELECT " + strings.Repeat("!", 1<<20) + "1",
		"SELECT 1" + strings.Repeat(" UNION SELECT 1", 1<<17),
		"SELECT * FROM iris.train WHERE class = 1" + strings.Repeat(" OR class = 2", 1<<17),
		"SELECT (1, (2" + strings.Repeat(" OR 2", 1<<18) + "))",
	} {
		_, err := rows(t.Context(), conn, s)
		mysqlError(t, err, 1436)
	}
	_, err := rows(t.Context(), conn, "SELECT ?"+strings.Repeat("+1", 1<<18), 1)
	mysqlError(t, err, 1436)
	mustExec(t, conn, "SET sql_mode = 'ANSI_QUOTES'")
	_, err = rows(t.Context(), conn, `SELECT 1 AS "\"`+strings.Repeat("+1", 1<<20)+`, 1 AS "\"`)
	mysqlError(t, err, 1436)
	mustExec(t, conn, "SET sql_mode = ''")
	want(t, "the connection lives on", ask(t, conn, "SELECT 1"), "1")

	mustExec(t, conn, "CREATE TABLE iris.wide (a INT, b TEXT)",
		"INSERT INTO iris.wide VALUES (0, 'a')"+strings.Repeat(", (1, 'b, (c')", 30_000))
	want(t, "wide is not deep", ask(t, conn, "SELECT COUNT(*) FROM iris.wide WHERE a IN (0"+strings.Repeat(",1", 30_000)+")"), "30001")

	if _, err := rows(t.Context(), conn, "SELECT ?, '"+strings.Repeat("x", 2<<20)+"'", 1); err == nil {
		t.Error("a statement of 2 MB was prepared")
	}
	want(t, "a new connection", ask(t, connect(t, address), "SELECT 1"), "1")
}

const forever = "SELECT COUNT(*) FROM iris.train a, iris.train b, iris.train c, iris.train d, iris.train e WHERE a.class + e.class > 100"

// idle waits until nobody is connected to address any more.
func idle(t *testing.T, c *embedded.Cluster, address string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(20 * time.Second)
	for {
		a, err := c.Activity(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if a.Threads == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", a.Threads)
		}
		<-tick.C
	}
}

func TestStatementEndsWithItsClient(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	address := start(t, c, "ada").Address
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := rows(ctx, connect(t, address), forever); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the statement: %v", err)
	}
	idle(t, c, address)
}

func TestActivityCountsClients(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	address := start(t, c, "ada").Address
	for range 3 {
		if err := c.Ping(t.Context(), address); err != nil {
			t.Fatal(err)
		}
	}
	activity := func(threads, connections int64) {
		t.Helper()
		got, err := c.Activity(t.Context(), address)
		if want := (playground.Activity{Threads: threads, Connections: connections}); err != nil || got != want {
			t.Errorf("Activity = %+v, %v, want %+v", got, err, want)
		}
	}
	activity(0, 0)
	first := connect(t, address)
	activity(1, 1)
	second := connect(t, address)
	activity(2, 2)
	first.Close()
	second.Close()
	idle(t, c, address)
	activity(0, 2)

	if err := c.Ping(t.Context(), "127.0.0.1:1"); err == nil || errors.Is(err, playground.ErrUnreachable) {
		t.Errorf("Ping of nobody = %v", err)
	}
	if _, err := c.Activity(t.Context(), "127.0.0.1:1"); err == nil {
		t.Error("nobody is active")
	}
}

// Whoever connects to a released database reads why it is not there; when it comes
// back it is at the same port, and new.
func TestReleasedDatabaseSaysWhy(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	db := start(t, c, "ada")
	conn := connect(t, db.Address)
	mustExec(t, conn, "DROP TABLE iris.train")
	if err := c.Release(t.Context(), db, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := rows(t.Context(), conn, "SELECT 1"); err == nil {
		t.Error("a connection outlived its database")
	}
	if err := c.Ping(t.Context(), db.Address); err == nil || errors.Is(err, playground.ErrUnreachable) {
		t.Errorf("Ping = %v", err)
	}
	stopped, err := mysql.ParseDSN(strings.TrimPrefix(playground.DataSource(db.Address), "mysql://"))
	if err != nil {
		t.Fatal(err)
	}
	connector, err := mysql.NewConnector(stopped)
	if err != nil {
		t.Fatal(err)
	}
	_, err = connector.Connect(t.Context())
	mysqlError(t, err, 1053)
	if err != nil && !strings.Contains(err.Error(), "heart beat") {
		t.Errorf("a client reads %q", err)
	}

	if err := c.Start(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	want(t, "train", ask(t, connect(t, db.Address), "SELECT COUNT(*) FROM iris.train"), "110")
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			user := playground.User(fmt.Sprintf("user %d", i))
			if err := c.Claim(t.Context(), user, "", time.Now()); err != nil {
				t.Error(err)
			}
			for range 3 {
				wg.Go(func() {
					if err := c.Start(t.Context(), user); err != nil && !errors.Is(err, playground.ErrNoRecord) {
						t.Error(err)
					}
				})
			}
			if i%2 == 0 {
				wg.Go(func() {
					if err := c.Remove(t.Context(), user, false); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
	wg.Wait()
	for i := 1; i < 20; i += 2 {
		db, err := c.Get(t.Context(), playground.User(fmt.Sprintf("user %d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context(), db.Address); err != nil {
			t.Error(err)
		}
	}
}

// The engine plans this for seconds and cannot be interrupted.
func TestStubbornStatementHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	c := embedded.New(embedded.Options{})
	defer c.Close() // which may rightly complain
	db := start(t, c, "ada")
	stubborn := connect(t, db.Address)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		rows(context.Background(), stubborn, "SELECT 1"+strings.Repeat("+1", 1100))
	}()
	other := connect(t, db.Address)
	for busy := []string{"0"}; busy[0] == "0" && t.Context().Err() == nil; {
		select {
		case <-ended:
			t.Skip("this machine plans 1100 additions faster than it can be asked what it does")
		default:
		}
		busy = ask(t, other, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT 1+1%'")
	}
	if err := c.Release(t.Context(), db, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	want(t, "train", ask(t, connect(t, db.Address), "SELECT COUNT(*) FROM iris.train"), "110")
	<-ended // its client sees the connection end
}

// Not parallel: it looks at all goroutines of the process.
func TestCloseLeavesNothing(t *testing.T) {
	c := embedded.New(embedded.Options{})
	var addresses []string
	for i := range 5 {
		db := start(t, c, playground.User(fmt.Sprint("user", i)))
		addresses = append(addresses, db.Address)
		conn := connect(t, db.Address)
		want(t, "train", ask(t, conn, "SELECT COUNT(*) FROM iris.train"), "110")
	}
	var running sync.WaitGroup
	busy := connect(t, addresses[0])
	running.Go(func() { rows(context.Background(), busy, forever) })
	waiting := connect(t, addresses[0])
	holder := connect(t, addresses[0])
	mustExec(t, holder, "BEGIN", "DELETE FROM iris.train")
	running.Go(func() { rows(context.Background(), waiting, "DELETE FROM iris.train") })
	watching := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { watching <- c.Watch(ctx, nobody{}) }()

	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	running.Wait()
	cancel()
	if err := <-watching; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
	for _, address := range addresses {
		if err := c.Ping(t.Context(), address); err == nil {
			t.Errorf("%s answers after Close", address)
		}
	}
	for what, err := range map[string]error{
		"Claim": c.Claim(t.Context(), "late", "", time.Now()),
		"Touch": c.Touch(t.Context(), time.Now(), []playground.User{"late"}),
	} {
		var e *playground.Error
		if !errors.As(err, &e) || e.Code != playground.Unavailable {
			t.Errorf("%s after Close = %v", what, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}

	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if !bytes.Contains(stacks, []byte("dolthub/")) && !bytes.Contains(stacks, []byte("internal/embedded.(*")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("goroutines are left:\n%s", stacks)
		}
	}
}

type nobody struct{}

func (nobody) Synced([]playground.Database)   {}
func (nobody) Changed(...playground.Database) {}
func (nobody) Stale(error)                    {}

// BenchmarkStart measures how long a user waits for a database, and the memory that
// an idle one keeps.
func BenchmarkStart(b *testing.B) {
	c := embedded.New(embedded.Options{})
	defer c.Close()
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc + m.StackInuse)
	}
	before := heap()
	n := 0
	for b.Loop() {
		user := playground.User(fmt.Sprint(n))
		if err := c.Claim(b.Context(), user, "", time.Now()); err != nil {
			b.Fatal(err)
		}
		if err := c.Start(b.Context(), user); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric((heap()-before)/float64(n), "idle-B/db")
}
