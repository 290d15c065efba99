package program_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler/program"
)

func TestStatementsKeepTheirText(t *testing.T) {
	t.Parallel()
	text := "\ufeff-- head\r\nSELECT 1 /* in */ ; # tail\r\n;;\t--x\n  SELECT '数;', \"a;\\\"\", `;``` -- c;\r\nFROM t;SHOW TRAIN m /* last */ -- words"
	want := []struct {
		text         string
		line, column int
	}{
		{"SELECT 1 /* in */ ;", 2, 1},
		{"SELECT '数;', \"a;\\\"\", `;``` -- c;\r\nFROM t;", 4, 3},
		{"SHOW TRAIN m", 5, 8},
	}
	got := parse(t, text)
	if len(got) != len(want) {
		t.Fatalf("%d statements: %+v", len(got), got)
	}
	for i, w := range want {
		g := got[i]
		if g.Text != w.text || g.Line != w.line || g.Column != w.column || text[g.Offset:g.Offset+len(g.Text)] != g.Text {
			t.Errorf("got %q at %d:%d, offset %d; want %q at %d:%d", g.Text, g.Line, g.Column, g.Offset, w.text, w.line, w.column)
		}
	}
}

func TestWhatIsACommentDependsOnThePlace(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string][]string{
		"SELECT 5--3; SELECT 2":             {"SELECT 5--3;", "SELECT 2"},
		"SELECT 5 -- 3; SELECT 2":           {"SELECT 5"},
		"SELECT 5 --\n-3":                   {"SELECT 5 --\n-3"},
		"--comment 1; select 1;":            nil,
		"--\nSELECT 1 --":                   {"SELECT 1"},
		"SELECT 1 # a;\n;":                  {"SELECT 1 # a;\n;"},
		"SELECT 1 TO EXPLAIN m --x;\n;":     {"SELECT 1 TO EXPLAIN m --x;\n;"},
		"SELECT 1 TO EXPLAIN my--model":     {"SELECT 1 TO EXPLAIN my--model"},
		"SELECT 1 TO EXPLAIN m-- x":         {"SELECT 1 TO EXPLAIN m"},
		"SELECT 1 TO /*;*/ EXPLAIN m/*;*/;": {"SELECT 1 TO /*;*/ EXPLAIN m/*;*/;"},
		"/*!40101 SET NAMES utf8; */;":      {"/*!40101 SET NAMES utf8; */;"},
		"/*M!100100 SET x=1 */":             {"/*M!100100 SET x=1 */"},
		"/* plain */;":                      nil,
		"\u3000\u00a0 SELECT 1;\u3000":      {"SELECT 1;"},
		"SELECT '--', '/*', '#', ';'; -- x": {"SELECT '--', '/*', '#', ';';"},
	} {
		var got []string
		for _, s := range parse(t, sql) {
			got = append(got, s.Text)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", sql, got, want)
		}
	}
}

func TestTheExtendedPart(t *testing.T) {
	t.Parallel()
	type parts = program.Statement // Text, Line and so on are left out
	for sql, want := range map[string]parts{
		"SELECT 1 -- c\n TO TRAIN reg.io:5000/a/b:v1/pkg.Est WITH a=1, b='x' LABEL y USING pre INTO db.m": {
			Kind: program.Train, Image: "reg.io:5000/a/b:v1", Estimator: "pkg.Est", ModelIn: "pre", ModelOut: "db.m", Select: "SELECT 1"},
		"SELECT 1 TO TRAIN 10.0.0.1:5000/b@sha256:" + strings.Repeat("0a", 32) + "/E LABEL 'y' INTO m": {
			Kind: program.Train, Image: "10.0.0.1:5000/b@sha256:" + strings.Repeat("0a", 32), Estimator: "E", ModelOut: "m", Select: "SELECT 1"},
		`SELECT 1 TO TRAIN E WITH a=[1, 2.5e-3, [x]], b=f(g(), "it's"), c=-1*(2+NOT d) <> 3 AND e=True, validation.select="SELECT ""a"" FROM \"t\""` +
			" COLUMN *, a, CROSS([a,b], 3) FOR x COLUMN c FOR y USING z INTO m": {
			Kind: program.Train, Estimator: "E", ModelIn: "z", ModelOut: "m", Select: "SELECT 1", Queries: []string{`SELECT "a" FROM "t"`}},
		"SELECT 1 TO TRAIN E WITH objective=reg:squarederror INTO m": {Kind: program.Train, Estimator: "E", ModelOut: "m", Select: "SELECT 1"},
		"WITH c AS (SELECT 1) SELECT * FROM c TO PREDICT a.b.c WITH x=1 USING m": {
			Kind: program.Predict, ModelIn: "m", Into: "a.b.c", Select: "WITH c AS (SELECT 1) SELECT * FROM c"},
		"(SELECT 1) UNION (SELECT 2) TO EXPLAIN m WITH a=b USING E INTO t": {
			Kind: program.Explain, ModelIn: "m", Into: "t", Select: "(SELECT 1) UNION (SELECT 2)"},
		"FROM t SELECT a TO EVALUATE m LABEL y INTO t": {Kind: program.Evaluate, ModelIn: "m", Into: "t", Select: "FROM t SELECT a"},
		"SELECT 1 TO RUN a/b:1.0 CMD 'x', \"--y\" INTO t1 , db.t2": {
			Kind: program.Run, Image: "a/b:1.0", Into: "t1,db.t2", Select: "SELECT 1"},
		"SELECT 1 TO RUN my--image": {Kind: program.Run, Image: "my--image", Select: "SELECT 1"},
		"SELECT 1 TO RUN localhost:5000/a@sha256:" + strings.Repeat("ab", 32): {
			Kind: program.Run, Image: "localhost:5000/a@sha256:" + strings.Repeat("ab", 32), Select: "SELECT 1"},
		"SELECT 1 TO MINIMIZE x CONSTRAINT a>=1 GROUP BY b, c WITH v='x' USING glpk INTO t": {
			Kind: program.Optimize, Into: "t", Select: "SELECT 1"},
		"show train 模型": {Kind: program.ShowTrain, ModelIn: "模型"},
	} {
		for _, end := range []string{"", ";"} {
			got := parse(t, sql+end)
			if len(got) != 1 || got[0].Text != sql+end {
				t.Errorf("%s: %+v", sql, got)
				continue
			}
			g := got[0]
			g.Text, g.Line, g.Column = "", 0, 0
			if !reflect.DeepEqual(g, want) {
				t.Errorf("%s\ngot  %+v\nwant %+v", sql, g, want)
			}
		}
	}
}

// What SQLFlow's grammar refuses would fail in the step, so it fails here.
func TestTheExtendedPartIsRefused(t *testing.T) {
	t.Parallel()
	for _, tail := range []string{
		"TRAIN", "TRAIN E", "TRAIN E INTO m", "TRAIN E LABEL y", "TRAIN E LABEL y INTO", "TRAIN E COLUMN a LABEL y INTO m",
		"TRAIN E WITH INTO m", "TRAIN E WITH a INTO m", "TRAIN E WITH a=1, INTO m", "TRAIN E WITH a=1 b=2 INTO m",
		"TRAIN E WITH a==1 INTO m", "TRAIN E WITH a=(1 INTO m", "TRAIN E WITH a=[1,] INTO m", "TRAIN E WITH a=2**3 INTO m",
		"TRAIN E WITH a={} INTO m", "TRAIN E WITH a=.5 INTO m", "TRAIN E WITH a=10x INTO m", "TRAIN E WITH label=1 INTO m",
		"TRAIN E WITH a=1 COLUMN a COLUMN b INTO m", "TRAIN E WITH a=1 COLUMN 'a' INTO m", "TRAIN E LABEL y, z INTO m",
		"TRAIN E LABEL y INTO 'm'", "TRAIN E LABEL y INTO _m", "TRAIN E LABEL y INTO 3m", "TRAIN E LABEL y INTO m.",
		"TRAIN E LABEL y INTO a..b", "TRAIN E LABEL y INTO into", "TRAIN 'E' LABEL y INTO m", "TRAIN 3 LABEL y INTO m",
		"TRAIN E LABEL y INTO m USING n", "TRAIN E WITH b=?? LABEL y INTO m", "TRAIN E/ LABEL y INTO m",
		"PREDICT", "PREDICT a", "PREDICT a USING", "PREDICT USING b", "PREDICT a LABEL y USING b", "PREDICT a USING b INTO c",
		"EXPLAIN", "EXPLAIN m INTO", "EXPLAIN m INTO a USING b", "EXPLAIN m LABEL y",
		"EVALUATE m", "EVALUATE m LABEL y", "EVALUATE m INTO t", "EVALUATE m WITH a=1 INTO t",
		"RUN", "RUN 'a/b'", "RUN a CMD", "RUN a CMD b", "RUN a CMD 'x' INTO 't'", "RUN a CMD 'x' INTO t,", "RUN a INTO t", "RUN CMD 'x'",
		"RUN a:", "RUN a/", "RUN a@sha256:12", "RUN " + strings.Repeat("a", 300),
		"MAXIMIZE", "MAXIMIZE x", "MAXIMIZE x INTO t", "MAXIMIZE x WITH a=1", "MAXIMIZE x CONSTRAINT WITH a=1 INTO t",
		"MAXIMIZE x CONSTRAINT y GROUP c WITH a=1 INTO t", "MAXIMIZE x y WITH a=1 INTO t", "MINIMIZE +x WITH a=1 INTO t",
		"", "TO", "FLY", "1", "MAXIMIZE " + strings.Repeat("(", 100_000),
	} {
		for _, end := range []string{"", ";"} {
			sql := "SELECT * FROM t TO " + tail + end
			if got, err := program.Parse(sql); err == nil || got != nil {
				t.Errorf("%.60s is taken: %+v", sql, got)
			}
		}
	}
}

// The database knows its dialect; what may be right for one is left to it.
func TestStandardSQLOfAllDialectsIsTaken(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"SET hive.exec.dynamic.partition=true",
		"CREATE TABLE t (a INT) PARTITIONED BY (dt STRING) STORED AS ORC",
		"INSERT OVERWRITE TABLE t PARTITION (dt='1') SELECT * FROM s DISTRIBUTE BY rand()",
		"FROM s INSERT INTO TABLE t SELECT a",
		"SELECT a FROM s LATERAL VIEW explode(x) y AS a",
		"SELECT TRANSFORM (a, b) USING 'cat' AS (c, d) FROM t",
		"SELECT * FROM tbl WHERE a==\"it's;\"",
		"SELECT m['k'], a[0] FROM t TABLESAMPLE(10 PERCENT)",
		"MSCK REPAIR TABLE t", "ADD JAR /x.jar", "@a := SELECT * FROM t",
		"RENAME TABLE a TO train", "ALTER TABLE t RENAME TO predict", "GRANT SELECT ON a.* TO run", "ROLLBACK TO train",
		"SELECT INTERVAL '1-2' YEAR TO MONTH", "SELECT t.to, t . train FROM t", "SELECT @to, a AS to FROM t",
		"SELECT EXTRACT(YEAR FROM d), SUBSTRING(a FROM 1 FOR 2), TRIM(LEADING 'x' FROM b) FROM t",
		"SELECT INSERT('a', 1, 2, 'b'), REPLACE(a, 'b', 'c') FROM t", "SELECT * FROM t FOR UPDATE",
		"SELECT 1 FROM t WHERE a IN (SELECT b FROM c) AND NOT EXISTS (SELECT 1)",
		"SELECT 1 UNION DISTINCT SELECT 2", "VALUES ROW(1)", "TABLE t", "select _utf8'x', x'00', N'a'",
		"CREATE PROCEDURE p() SELECT 1", "SHOW TRIGGERS", "SELECT * FROM train", "SHOW TABLES LIKE 'train'",
		"EXPLAIN SELECT 1", "(((SELECT 1)))",
	} {
		got, err := program.Parse(sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if len(got) != 1 || got[0].Kind != program.Normal || got[0].Text != sql || got[0].Select != sql {
			t.Errorf("%s: %+v", sql, got)
		}
	}
}

func TestWhatIsSQLInNoDialectIsRefused(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"SELECT SELECT 1", "SELECT FROM t", "SELECT a FROM", "SELECT a FROM WHERE b", "SELECT a, b, TO EXPLAIN m",
		"SELECT * FROM TO EXPLAIN m", "SELECT a FROM t WHERE a AND", "SELECT a FROM t\nDROP TABLE t", "SELECT (a,) FROM t",
		"SELECT (1", "SELECT 1)", "()", "(1)", "1", "'a'", "`a`", "hello world", "- 1", "END", "\\q",
		"SELECT 1 SHOW TRAIN m", "select a from b LIMIT 0 show train m", "SELECT * FROM (SELECT 1 TO TRAIN a LABEL b INTO c) d",
		"INSERT INTO t SELECT * FROM s TO TRAIN a LABEL b INTO c", "CREATE TABLE a AS SELECT * FROM t TO TRAIN a LABEL b INTO c",
		"EXPLAIN SELECT 1 TO EXPLAIN m", "WITH c AS (SELECT 1) DELETE FROM t TO EXPLAIN m",
	} {
		if got, err := program.Parse(sql); err == nil {
			t.Errorf("%s is taken: %+v", sql, got)
		}
	}
}

// Hostile texts, megabytes of them, must neither exhaust the stack nor take
// time that grows with the square of their length.
func TestHostileTextsTakeLinearTime(t *testing.T) {
	t.Parallel()
	const n = 500_000
	for name, text := range map[string]string{
		"open parentheses":          "SELECT " + strings.Repeat("(", n),
		"closed parentheses":        "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n),
		"comments in comments":      strings.Repeat("/*", n),
		"empty comments":            strings.Repeat("/**/", n) + "SELECT 1",
		"conditional comments":      strings.Repeat("/*!*/", n),
		"quotes":                    "SELECT " + strings.Repeat("'", 2*n),
		"backslashes":               "SELECT '" + strings.Repeat(`\`, n),
		"semicolons":                strings.Repeat(";", n),
		"statements on one line":    strings.Repeat("DO 1;", n/10),
		"errors on one line":        strings.Repeat(") ", n),
		"TO":                        "SELECT " + strings.Repeat("TO ", n),
		"YEAR TO MONTH":             "SELECT " + strings.Repeat("YEAR TO MONTH ", n/4),
		"SELECT":                    strings.Repeat("SELECT ", n),
		"brackets behind TO":        "SELECT 1 TO MAXIMIZE " + strings.Repeat("[", n),
		"NOT behind TO":             "SELECT 1 TO MAXIMIZE " + strings.Repeat("NOT ", n),
		"one long name":             "SELECT 1 TO RUN " + strings.Repeat("a", n),
		"dashes in a name":          "SELECT 1 TO RUN a" + strings.Repeat("-", n),
		"blanks":                    strings.Repeat("\u3000", n),
		"attributes":                "SELECT 1 TO TRAIN a WITH " + strings.Repeat("x=1,", n),
		"a deep tree for the stack": "SELECT " + strings.Repeat("1+", 60_000) + "1",
		"NOT for the stack":         "SELECT " + strings.Repeat("NOT ", 30_000) + "1",
		"UNION for the stack":       strings.Repeat("SELECT 1 UNION ", 8_000) + "SELECT 1",
		"CASE for the stack":        "SELECT " + strings.Repeat("CASE WHEN 1 THEN ", 7_000) + "1" + strings.Repeat(" END", 7_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			statements, err := program.Parse(text)
			if err == nil && len(statements) < 1000 {
				program.Dependencies(statements)
			}
			if took := time.Since(began); took > time.Minute { // usually well under a second
				t.Errorf("it took %v (%v)", took, err)
			}
		})
	}
}

// tenStatements is a program of ten statements as people write them.
const tenStatements = `-- part %[1]d
CREATE TABLE d.t%[1]d AS SELECT a, b, c FROM d.origin WHERE a = 'x;y' AND b > %[1]d;
INSERT INTO d.t%[1]d SELECT a, b, c FROM d.more JOIN d.other USING (a) WHERE b IN (SELECT b FROM d.third);
SELECT * FROM d.t%[1]d LIMIT 10;
SELECT a, b, c FROM d.t%[1]d
TO TRAIN DNNClassifier
WITH model.n_classes = 3, model.hidden_units = [10, 20], validation.select = "SELECT * FROM d.test"
COLUMN a, EMBEDDING(b, 128)
LABEL c
INTO models.m%[1]d;
SELECT * FROM d.test TO PREDICT d.p%[1]d.c USING models.m%[1]d;
SELECT * FROM d.test TO EVALUATE models.m%[1]d WITH validation.metrics="Accuracy" LABEL c INTO d.e%[1]d;
SELECT * FROM d.test TO EXPLAIN models.m%[1]d INTO d.x%[1]d;
SHOW TRAIN models.m%[1]d;
UPDATE d.t%[1]d SET a = 'it''s' WHERE b = "x";
DROP TABLE d.t%[1]d;
`

func programOf(n int) string {
	var b strings.Builder
	for i := range (n + 9) / 10 {
		fmt.Fprintf(&b, tenStatements, i)
	}
	text := b.String()
	if n%10 != 0 {
		text = strings.Join(strings.SplitAfterN(text, ";\n", n+1)[:n], "")
	}
	return text
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{2, 100, 10_000} {
		text := programOf(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				statements, err := program.Parse(text)
				if err != nil || len(statements) != n {
					b.Fatal(len(statements), err)
				}
			}
		})
	}
}

func BenchmarkDependencies(b *testing.B) {
	for _, n := range []int{2, 100, 10_000} {
		statements := parse(b, programOf(n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				program.Dependencies(statements)
			}
		})
	}
}
