package program_test

import (
	"slices"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler/program"
)

func parse(t testing.TB, text string) []program.Statement {
	t.Helper()
	statements, err := program.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return statements
}

func TestAccess(t *testing.T) {
	t.Parallel()
	const barrier = "barrier"
	for _, c := range []struct {
		sql           string
		reads, writes string // separated by blanks
	}{
		{"SELECT * FROM a.b JOIN c USING (id)", "table:a.b table:c", ""},
		{"SELECT (SELECT MAX(x) FROM a) FROM b WHERE EXISTS (SELECT 1 FROM c) ORDER BY (SELECT y FROM d)", "table:a table:b table:c table:d", ""},
		{"(SELECT 1 FROM a) UNION ALL (SELECT 2 FROM b) LIMIT 1", "table:a table:b", ""},
		{"SELECT SUM(a) OVER (PARTITION BY (SELECT b FROM q)) FROM t", "table:q table:t", ""},
		{"SELECT 1", "", ""},
		{"SELECT 1 FROM dual", "", ""},
		{"TABLE t", "table:t", ""},
		{"WITH c AS (SELECT * FROM a), d AS (SELECT * FROM c) SELECT * FROM d JOIN e.c", "table:a table:e.c", ""},
		{"WITH t AS (SELECT * FROM t) SELECT * FROM t", "table:t", ""},
		{"WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT n+1 FROM t) SELECT * FROM t", "", ""},
		{"SELECT * FROM (WITH c AS (SELECT * FROM a) SELECT * FROM c) x JOIN c", "table:a table:c", ""},
		{"SELECT * FROM `Weird.Name`.`a``b`", "table:`weird.name`.`a``b`", ""},
		{"SELECT * FROM Iris.Train", "table:iris.train", ""},
		{"INSERT INTO t SELECT * FROM s", "table:s", "table:t"},
		{"INSERT INTO t VALUES ((SELECT MAX(a) FROM s)) ON DUPLICATE KEY UPDATE a = (SELECT 1 FROM z)", "table:s table:z", "table:t"},
		{"INSERT INTO t TABLE s", "table:s", "table:t"},
		{"REPLACE INTO t VALUES (1)", "", "table:t"},
		{"INSERT INTO t VALUES ('SELECT 1 FROM x')", "", "table:t"},
		{"UPDATE a JOIN (SELECT * FROM c) b ON a.x = b.x SET a.y = (SELECT 1 FROM d)", "table:a table:c table:d", "table:a"},
		{"UPDATE a, b SET a.x = b.x", "table:a table:b", "table:a table:b"},
		{"WITH c AS (SELECT * FROM s) UPDATE t SET a = 1 WHERE a IN (SELECT a FROM c)", "table:s table:t", "table:t"},
		{"DELETE FROM t WHERE x IN (SELECT x FROM y)", "table:t table:y", "table:t"},
		{"DELETE u FROM t AS u JOIN s ON u.id = s.id", "table:s table:t", "table:s table:t"},
		{"CREATE TABLE a AS SELECT * FROM b", "table:b", "table:a"},
		{"CREATE TABLE a LIKE b", "table:b", "table:a"},
		{"CREATE TABLE a (id INT, FOREIGN KEY (id) REFERENCES b(id))", "table:b", "table:a"},
		{"CREATE OR REPLACE VIEW v AS SELECT * FROM t", "table:t", "table:v"},
		{"DROP TABLE a, db.b", "", "table:a table:db.b"},
		{"DROP VIEW v", "", "table:v"},
		{"TRUNCATE TABLE t", "", "table:t"},
		{"RENAME TABLE a TO b, c TO d", "", "table:a table:b table:c table:d"},
		{"ALTER TABLE a RENAME TO train", "", "table:a table:train"},
		{"ALTER TABLE a ADD COLUMN x INT", "", "table:a"},
		{"CREATE INDEX i ON t (a)", "", "table:t"},
		{"LOAD DATA INFILE 'x' INTO TABLE t", "", "table:t"},
		{"DESCRIBE t", "table:t", ""},
		{"SHOW CREATE TABLE db.t", "table:db.t", ""},
		{"EXPLAIN SELECT * FROM t", "table:t", ""},

		{"SELECT * FROM s TO TRAIN DNNClassifier WITH validation.select=\"SELECT * FROM v WHERE a='x'\" LABEL y USING old INTO db.m", "model:old table:s table:v", "model:db.m"},
		{"SELECT * FROM s TO TRAIN E WITH a='select', b='SELECT me' LABEL y INTO m", barrier, ""},
		{"SELECT * FROM s TO PREDICT db.t.col USING m", "model:m table:s", "table:db.t"},
		{"SELECT * FROM s TO PREDICT t.col USING m", "model:m table:s", "table:t"},
		{"SELECT * FROM s TO PREDICT t USING m", "model:m table:s", "table:t"},
		{"SELECT * FROM s TO EXPLAIN m", "model:m table:s", ""},
		{"SELECT * FROM s TO EXPLAIN m INTO db.t", "model:m table:s", "table:db.t"},
		{"SELECT * FROM s TO EVALUATE m LABEL y INTO t", "model:m table:s", "table:t"},
		{"SELECT * FROM s TO MAXIMIZE x WITH variables='x' INTO t", "table:s", "table:t"},
		{"SELECT * FROM s TO RUN a/b:1 CMD 'x' INTO t, db.u", "table:s", "table:db.u table:t"},
		{"SHOW TRAIN db.m", "model:db.m", ""},

		{"SELECT * FROM s TO RUN a/b:1 CMD 'x'", barrier, ""},
		{"USE db", barrier, ""},
		{"SET x = 1", barrier, ""},
		{"BEGIN", barrier, ""},
		{"COMMIT", barrier, ""},
		{"LOCK TABLES t WRITE", barrier, ""},
		{"CALL p()", barrier, ""},
		{"DO 1", barrier, ""},
		{"SHOW TABLES", barrier, ""},
		{"DROP DATABASE d", barrier, ""},
		{"CREATE USER u", barrier, ""},
		{"CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET new.a = 1", barrier, ""},
		{"SELECT * FROM information_schema.tables", barrier, ""},
		{"SELECT db.f(a) FROM t", barrier, ""},
		{"SELECT SLEEP(3)", barrier, ""},
		{"SELECT * FROM t INTO @x", barrier, ""},
		{"SELECT /*!50000 a */ FROM t", barrier, ""},
		{"/*!40101 SET NAMES utf8 */", barrier, ""},
		{"INSERT OVERWRITE TABLE t SELECT * FROM s", barrier, ""},
		{"CREATE TABLE t STORED AS ORC AS SELECT * FROM s", barrier, ""},
		{"SELECT a FROM s LATERAL VIEW explode(x) y AS a TO TRAIN E LABEL y INTO m", barrier, ""},
		{"SELECT * FROM " + strings.Repeat("(", 2000) + "t" + strings.Repeat(")", 2000), barrier, ""},
		{"INSERT INTO t VALUES ('" + strings.Repeat("x", 200<<10) + "')", barrier, ""},
	} {
		a := parse(t, c.sql)[0].Access("")
		if c.reads == barrier {
			if !a.Barrier || a.Why == "" {
				t.Errorf("%.80s\nis %+v, want a barrier and a reason", c.sql, a)
			}
			continue
		}
		if a.Barrier || !slices.Equal(a.Reads, strings.Fields(c.reads)) || !slices.Equal(a.Writes, strings.Fields(c.writes)) {
			t.Errorf("%s\nis %+v, want it to read %q and write %q", c.sql, a, c.reads, c.writes)
		}
	}
}

func TestAccessTakesTheDefaultDatabase(t *testing.T) {
	t.Parallel()
	a := parse(t, "INSERT INTO t SELECT * FROM other.t")[0].Access("Iris")
	if got := strings.Join(append(a.Reads, a.Writes...), " "); got != "table:other.t table:iris.t" {
		t.Errorf("got %s", got)
	}
}
