//go:build cgo || gms_pure_go

package embedded_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/embedded"
	"sqlflow.org/sqlflow_playground/internal/playground"
)

func newCluster(t *testing.T) *embedded.Cluster {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	log.AddHook(fatal{t})
	c := embedded.New(embedded.Options{Log: log})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// fatal fails a test whose server logs an error: the engine panicked.
type fatal struct{ t *testing.T }

func (fatal) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

func (f fatal) Fire(e *logrus.Entry) error {
	f.t.Errorf("the server logged: %s", e.Message)
	return nil
}

// start makes a database for user and returns it.
func start(t *testing.T, c *embedded.Cluster, user playground.User) playground.Database {
	t.Helper()
	if err := c.Claim(t.Context(), user, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	db, err := c.Get(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// connect opens a connection to address with the data source that users get.
func connect(t *testing.T, address string, options ...string) *sql.Conn {
	t.Helper()
	dsn := strings.TrimPrefix(playground.DataSource(address), "mysql://")
	for _, o := range options {
		dsn += "&" + o
	}
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxIdleConns(0)
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func mustExec(t *testing.T, c *sql.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// ask returns the rows of a query, with "|" between the columns.
func ask(t *testing.T, c *sql.Conn, query string, args ...any) []string {
	t.Helper()
	got, err := rows(t.Context(), c, query, args...)
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	return got
}

func rows(ctx context.Context, c *sql.Conn, query string, args ...any) ([]string, error) {
	result, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	columns, err := result.Columns()
	if err != nil {
		return nil, err
	}
	var all []string
	for result.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := result.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = v.String
			if !v.Valid {
				row[i] = "NULL"
			}
		}
		all = append(all, strings.Join(row, "|"))
	}
	for result.NextResultSet() {
		for result.Next() {
		}
	}
	return all, result.Err()
}

// each runs statements that are separated by "; " until one fails.
func each(t *testing.T, c *sql.Conn, statements string) error {
	for s := range strings.SplitSeq(statements, "; ") {
		if _, err := rows(t.Context(), c, s); err != nil {
			return err
		}
	}
	return nil
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %q, want %q", what, got, want)
	}
}

// What a SQLFlow notebook does.
func TestNotebook(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	conn := connect(t, start(t, c, "ada").Address)

	want(t, "train", ask(t, conn, "SELECT * FROM iris.train LIMIT 5"),
		"6.4|2.8|5.6|2.2|2", "5|2.3|3.3|1|1", "4.9|2.5|4.5|1.7|2", "4.9|3.1|1.5|0.1|0", "5.7|3.8|1.7|0.3|0")
	want(t, "rows", ask(t, conn, "SELECT (SELECT COUNT(*) FROM iris.train), (SELECT COUNT(*) FROM iris.test)"), "110|10")
	want(t, "databases", ask(t, conn, "SHOW DATABASES LIKE '%s%'"), "information_schema", "iris", "mysql", "sqlflow_models")
	mustExec(t, conn, "USE iris")
	want(t, "tables", ask(t, conn, "SHOW TABLES"), "test", "train")
	want(t, "columns", ask(t, conn, "DESCRIBE train"),
		"sepal_length|float|YES||NULL|", "sepal_width|float|YES||NULL|", "petal_length|float|YES||NULL|",
		"petal_width|float|YES||NULL|", "class|int|YES||NULL|")
	want(t, "models", ask(t, conn, "SHOW TABLES IN sqlflow_models"))

	mustExec(t, conn,
		"CREATE TABLE iris.large AS SELECT * FROM iris.train WHERE sepal_length > 7",
		"DROP TABLE IF EXISTS sqlflow_models.my_dnn_model",
		"CREATE TABLE IF NOT EXISTS sqlflow_models.my_dnn_model (id INT, block TEXT)",
		"INSERT INTO sqlflow_models.my_dnn_model VALUES (0, 'H4sIAAAA')",
		"REPLACE INTO sqlflow_models.my_dnn_model VALUES (1, 'iVBORw')",
		"CREATE DATABASE own",
		"CREATE TABLE own.t (k BIGINT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(255), at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)",
		"INSERT INTO own.t (v) VALUES ('a'), ('雪')",
		"UPDATE own.t SET v = 'b' WHERE k = 1",
		"DELETE FROM own.t WHERE k = 3",
		"ALTER TABLE own.t ADD COLUMN more DOUBLE",
		"CREATE INDEX v ON own.t (v)",
		"CREATE VIEW own.w AS SELECT v FROM own.t",
		"CREATE TABLE own.u AS SELECT * FROM own.t",
		"DELETE FROM own.u",
	)
	want(t, "large", ask(t, conn, "SELECT COUNT(*) FROM iris.large"), "11")
	want(t, "model", ask(t, conn, "SELECT block FROM sqlflow_models.my_dnn_model ORDER BY id"), "H4sIAAAA", "iVBORw")
	want(t, "own", ask(t, conn, "SELECT k, v, more FROM own.t ORDER BY k"), "1|b|NULL", "2|雪|NULL")
	want(t, "view", ask(t, conn, "SELECT v FROM own.w WHERE v = '雪'"), "雪")
	want(t, "prepared", ask(t, conn, "SELECT class, COUNT(*) FROM iris.train WHERE sepal_width > ? GROUP BY class ORDER BY class", 3.4), "0|23", "2|5")
	mustExec(t, conn, "DROP DATABASE own")

	// A model is saved in pieces of some hundred kilobytes.
	block := strings.Repeat("x", 900<<10)
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO sqlflow_models.my_dnn_model VALUES (?, ?)", 2, block[:60<<10]); err != nil {
		t.Error(err)
	}
	mustExec(t, conn, "CREATE TABLE sqlflow_models.big (b LONGTEXT)", "INSERT INTO sqlflow_models.big VALUES ('"+block+"')")
	want(t, "big", ask(t, conn, "SELECT LENGTH(b) FROM sqlflow_models.big"), fmt.Sprint(len(block)))
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	conn := connect(t, start(t, c, "ada").Address)
	mustExec(t, conn, "CREATE TABLE iris.t (n INT)", "BEGIN", "INSERT INTO iris.t VALUES (1)", "ROLLBACK")
	want(t, "after ROLLBACK", ask(t, conn, "SELECT * FROM iris.t"))
	mustExec(t, conn, "START TRANSACTION", "INSERT INTO iris.t VALUES (2)", "COMMIT")
	want(t, "after COMMIT", ask(t, conn, "SELECT * FROM iris.t"), "2")
	mustExec(t, conn, "SET autocommit=0", "INSERT INTO iris.t VALUES (3)", "ROLLBACK", "INSERT INTO iris.t VALUES (4)", "COMMIT")
	want(t, "without autocommit", ask(t, conn, "SELECT * FROM iris.t"), "2", "4")
}

// The clients that Debian has, with their own handshakes.
func TestClients(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	_, port, _ := strings.Cut(start(t, c, "ada").Address, ":")
	const count = "SELECT COUNT(*), '雪' FROM iris.train"
	tests := []struct {
		name, program string
		args          []string
		want          string
	}{
		{"mariadb", "mariadb", []string{"--no-defaults", "-h127.0.0.1", "-P" + port, "-uroot", "-proot", "--default-character-set=utf8mb4", "-N", "-e", count}, "110\t雪"},
		{"mariadb with database", "mariadb", []string{"--no-defaults", "-h127.0.0.1", "-P" + port, "-uroot", "-proot", "-N", "-e", "SHOW TABLES", "iris"}, "test\ntrain"},
		{"mariadb-dump", "mariadb-dump", []string{"--no-defaults", "-h127.0.0.1", "-P" + port, "-uroot", "-proot", "--compact", "--skip-lock-tables", "iris", "test"}, "INSERT INTO"},
		{"PyMySQL", "/usr/bin/python3", []string{"-c", `
import pymysql
for charset in ("utf8mb4", "utf8", "latin1"):
    db = pymysql.connect(host="127.0.0.1", port=` + port + `, user="root", password="root", charset=charset)
    cursor = db.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS iris.py (n INT, s VARCHAR(20))")
    cursor.executemany("INSERT INTO iris.py VALUES (%s, %s)", [(1, "a'b"), (2, "c")])
    db.commit()
    cursor.execute("SELECT s FROM iris.py WHERE n = %s", (1,))
    assert cursor.fetchone() == ("a'b",)
    db.ping()
    db.close()
print("fine")
`}, "fine"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			program, err := exec.LookPath(tt.program)
			if tt.name == "PyMySQL" && err == nil {
				err = exec.Command(program, "-c", "import pymysql").Run()
			}
			if err != nil {
				if os.Getenv("CI") != "" {
					t.Fatalf("CI must install mariadb-client and python3-pymysql: %v", err)
				}
				t.Skipf("needs Debian's mariadb-client and python3-pymysql: %v", err)
			}
			out, err := exec.CommandContext(t.Context(), program, tt.args...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v: %s, want %q", err, out, tt.want)
			}
		})
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	address := start(t, c, "ada").Address
	for _, who := range []string{"root:", "root:toor", "admin:root"} {
		db, err := sql.Open("mysql", fmt.Sprintf("%s@tcp(%s)/", who, address))
		if err != nil {
			t.Fatal(err)
		}
		var denied *mysql.MySQLError
		if err := db.PingContext(t.Context()); !errors.As(err, &denied) || denied.Number != 1045 {
			t.Errorf("%s came in: %v", who, err)
		}
		db.Close()
	}
}

func TestUsersAreStrangers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ada, bob := start(t, c, "ada"), start(t, c, "bob")
	if ada.Address == bob.Address {
		t.Fatal("two users share an address")
	}
	a, b := connect(t, ada.Address), connect(t, bob.Address)
	mustExec(t, a, "CREATE DATABASE secret", "CREATE TABLE secret.t AS SELECT 42 AS answer", "DROP TABLE iris.train",
		"CREATE USER eve IDENTIFIED BY 'x'", "SET @told = 1", "SET SESSION sql_mode = 'ANSI_QUOTES'")
	for _, q := range []string{"SELECT * FROM secret.t", "USE secret", "DROP DATABASE secret"} {
		if _, err := b.ExecContext(t.Context(), q); err == nil {
			t.Errorf("%s: worked for another user", q)
		}
	}
	want(t, "train", ask(t, b, "SELECT COUNT(*) FROM iris.train"), "110")
	want(t, "users", ask(t, b, "SELECT User FROM mysql.user"), "root")
	want(t, "schemas", ask(t, b, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'secret'"), "0")
	want(t, "processes", ask(t, b, "SELECT COUNT(*) FROM information_schema.processlist"), "1")
	want(t, "variable", ask(t, b, "SELECT @told"), "NULL")
	want(t, "connections", ask(t, b, "SHOW STATUS WHERE Variable_name IN ('Connections', 'Threads_connected')"), "Connections|1", "Threads_connected|1")
}

// One user's global variables would be everybody's.
func TestGlobalVariablesAreFixed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	conn := connect(t, start(t, c, "ada").Address)
	before := ask(t, conn, "SHOW GLOBAL VARIABLES")
	for _, s := range []string{
		"SET GLOBAL max_connections = 1",
		"SET @@GLOBAL.max_connections = 1",
		"SET @x = 1, GLOBAL max_connections = 1",
		"SET PERSIST max_connections = 1",
		"SET PERSIST_ONLY max_connections = 1",
		"SET @@PERSIST.max_connections = 1",
		"SET GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"CREATE PROCEDURE iris.p() SET GLOBAL max_connections = 1; CALL iris.p()",
		"PREPARE s FROM 'SET GLOBAL max_connections = 1'; EXECUTE s",
		"CREATE TABLE iris.t (n INT); CREATE TRIGGER iris.r BEFORE INSERT ON iris.t FOR EACH ROW SET GLOBAL max_connections = 1; INSERT INTO iris.t VALUES (1)",
		"SET secure_file_priv = '/'", "SET SESSION secure_file_priv = '/'", "SET local_infile = 1",
	} {
		if err := each(t, conn, s); err == nil {
			t.Errorf("%s: worked", s)
		}
	}
	if after := ask(t, connect(t, start(t, c, "bob").Address), "SHOW GLOBAL VARIABLES"); !slices.Equal(before, after) {
		for i := range before {
			if before[i] != after[i] {
				t.Errorf("another user finds %s, was %s", after[i], before[i])
			}
		}
	}
	if _, err := rows(t.Context(), conn, "SET GLOBAL max_connections = 1"); err == nil || !strings.Contains(err.Error(), "other users share") {
		t.Errorf("SET GLOBAL: %v", err)
	}
	mustExec(t, conn, "SET SESSION max_execution_time = 1000", "SET NAMES utf8mb4", "SET @x = 1")
}

func TestHostFilesAreOutOfReach(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "secret.csv")
	if err := os.WriteFile(file, []byte("1\n2\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	mysql.RegisterLocalFile(file) // so that LOCAL does not fail at the client
	t.Cleanup(func() { mysql.DeregisterLocalFile(file) })
	fresh := filepath.Join(dir, "written")

	c := newCluster(t)
	conn := connect(t, start(t, c, "ada").Address)
	mustExec(t, conn, "CREATE TABLE iris.t (n INT)", "CREATE TABLE iris.s (s LONGTEXT)")
	for _, s := range []string{
		"SET GLOBAL secure_file_priv = '" + dir + "'",
		"SET PERSIST secure_file_priv = '" + dir + "'",
		"SET PERSIST_ONLY secure_file_priv = '" + dir + "'",
		"SET GLOBAL local_infile = 1",
		"GRANT FILE ON *.* TO root",
		"LOAD DATA INFILE '" + file + "' INTO TABLE iris.t",
		"LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE iris.t",
		"LOAD DATA INFILE 'data/iris_test.csv' INTO TABLE iris.t",
		"PREPARE s FROM \"LOAD DATA INFILE '" + file + "' INTO TABLE iris.t\"; EXECUTE s",
		"CREATE PROCEDURE iris.l() LOAD DATA INFILE '" + file + "' INTO TABLE iris.t; CALL iris.l()",
		"INSERT INTO iris.s SELECT LOAD_FILE('" + file + "')",
		"INSERT INTO iris.s VALUES (LOAD_FILE('" + file + "'))",
		"CREATE VIEW iris.v AS SELECT LOAD_FILE('" + file + "') AS f",
		"CREATE TABLE iris.d (s LONGTEXT DEFAULT (LOAD_FILE('" + file + "'))); INSERT INTO iris.d VALUES ()",
		"CREATE TABLE iris.g (p TEXT, s LONGTEXT AS (LOAD_FILE(p)) STORED); INSERT INTO iris.g (p) VALUES ('" + file + "')",
		"SELECT 'x' INTO OUTFILE '" + fresh + "'",
		"SELECT 'x' INTO DUMPFILE '" + fresh + "'",
		"SELECT * FROM iris.train INTO OUTFILE '" + fresh + "' FIELDS TERMINATED BY ','",
		"SELECT 'x' INTO OUTFILE 'written'",
		"PREPARE o FROM \"SELECT 'x' INTO OUTFILE '" + fresh + "'\"; EXECUTE o",
		"CREATE PROCEDURE iris.o() SELECT 'x' INTO OUTFILE '" + fresh + "'; CALL iris.o()",
	} {
		each(t, conn, s)
	}
	want(t, "loaded", ask(t, conn, "SELECT * FROM iris.t"))
	for _, q := range []string{
		"SELECT LOAD_FILE('" + file + "')",
		"SELECT load_file(CONCAT('" + dir + "', '/secret.csv'))",
		"SELECT MAX(s) FROM iris.s",
		"SELECT * FROM iris.v",
		"SELECT MAX(s) FROM iris.d",
		"SELECT MAX(s) FROM iris.g",
	} {
		got, err := rows(t.Context(), conn, q)
		if err == nil && !slices.Equal(got, []string{"NULL"}) {
			t.Errorf("%s = %q", q, got)
		}
	}
	if got, err := rows(t.Context(), conn, "SELECT LOAD_FILE(?)", file); err != nil || !slices.Equal(got, []string{"NULL"}) {
		t.Errorf("LOAD_FILE, prepared: %q, %v", got, err)
	}
	for _, path := range []string{fresh, "written"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was written", path)
			os.Remove(path)
		}
	}
}

func TestLostUpdates(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	address := start(t, c, "ada").Address
	mustExec(t, connect(t, address), "CREATE TABLE iris.t (k INT AUTO_INCREMENT PRIMARY KEY, who INT)", "CREATE TABLE iris.n (n INT)", "INSERT INTO iris.n VALUES (0)")
	const workers, times = 4, 10
	var wg sync.WaitGroup
	for w := range workers {
		conn := connect(t, address)
		wg.Go(func() {
			for range times {
				for _, s := range []string{
					fmt.Sprintf("INSERT INTO iris.t (who) VALUES (%d)", w),
					"SELECT COUNT(*) FROM iris.t",
					"UPDATE iris.n SET n = n + 1",
				} {
					if _, err := conn.ExecContext(t.Context(), s); err != nil {
						t.Errorf("%s: %v", s, err)
						return
					}
				}
			}
		})
		reader := connect(t, address)
		wg.Go(func() {
			for i := range times {
				for _, s := range []string{"SELECT * FROM iris.t WHERE k > 3", "SHOW TABLES IN iris", "SELECT * FROM information_schema.columns",
					fmt.Sprintf("CREATE TABLE iris.t%d_%d (n INT)", w, i), fmt.Sprintf("CREATE OR REPLACE VIEW iris.v%d AS SELECT * FROM iris.t", w),
					fmt.Sprintf("SELECT COUNT(*) FROM iris.v%d", w)} {
					if _, err := reader.ExecContext(t.Context(), s); err != nil {
						t.Errorf("%s: %v", s, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	conn := connect(t, address)
	want(t, "rows", ask(t, conn, "SELECT COUNT(*), COUNT(DISTINCT k) FROM iris.t"), fmt.Sprintf("%d|%d", workers*times, workers*times))
	want(t, "counter", ask(t, conn, "SELECT n FROM iris.n"), fmt.Sprint(workers*times))
}

// A client that only reads in a transaction, as PyMySQL does without autocommit,
// neither stops others nor undoes what they did.
func TestReadingTransactionIsHarmless(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	address := start(t, c, "ada").Address
	reader, writer := connect(t, address), connect(t, address)
	mustExec(t, reader, "SET autocommit=0")
	want(t, "before", ask(t, reader, "SELECT COUNT(*) FROM iris.train JOIN iris.test"), "1100")
	mustExec(t, writer, "INSERT INTO iris.test VALUES (1, 2, 3, 4, 0)", "DROP TABLE iris.train")
	mustExec(t, reader, "COMMIT")
	want(t, "after", ask(t, reader, "SELECT COUNT(*) FROM iris.test"), "11")
	want(t, "after, for the writer", ask(t, writer, "SELECT COUNT(*) FROM iris.test"), "11")
	want(t, "tables", ask(t, writer, "SHOW TABLES IN iris"), "test")

	mustExec(t, writer, "INSERT INTO iris.test VALUES (1, 2, 3, 4, 1)")
	mustExec(t, reader, "INSERT INTO iris.test VALUES (1, 2, 3, 4, 2)", "COMMIT")
	want(t, "after both have written", ask(t, writer, "SELECT COUNT(*) FROM iris.test"), "13")
}

func TestUncommittedWriterLeaves(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	address := start(t, c, "ada").Address
	first, second := connect(t, address), connect(t, address)
	mustExec(t, first, "BEGIN", "INSERT INTO iris.test VALUES (1, 2, 3, 4, 0)")
	want(t, "seen by others", ask(t, second, "SELECT COUNT(*) FROM iris.test"), "10")
	done := make(chan error, 1)
	go func() {
		_, err := second.ExecContext(t.Context(), "INSERT INTO iris.test VALUES (5, 6, 7, 8, 1)")
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("a second writer did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	first.Raw(func(c any) error { return c.(interface{ Close() error }).Close() })
	if err := <-done; err != nil {
		t.Errorf("after the first writer left: %v", err)
	}
	want(t, "rows", ask(t, second, "SELECT COUNT(*) FROM iris.test"), "11")
}
