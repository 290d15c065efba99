package program_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler/program"
)

// waits writes dependencies as "2<1 3<1,2", counting statements from 1.
func waits(deps [][]int) string {
	var list []string
	for i, before := range deps {
		var names []string
		for _, j := range before {
			names = append(names, fmt.Sprint(j+1))
		}
		if names != nil {
			list = append(list, fmt.Sprintf("%d<%s", i+1, strings.Join(names, ",")))
		}
	}
	return strings.Join(list, " ")
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, want string }{
		{"nothing", "", ""},
		{"readers do not wait for each other", "SELECT * FROM t; SELECT * FROM t; SELECT 1", ""},
		{"read after write", "INSERT INTO t VALUES (1); SELECT * FROM t", "2<1"},
		{"write after write", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", "2<1"},
		{"write after read", "SELECT * FROM t; DROP TABLE t", "2<1"},
		{"only the nearest", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT * FROM t", "2<1 3<2"},
		{"tables made, read and dropped", `CREATE TABLE table1 AS SELECT * FROM origin;
			CREATE TABLE table2 AS SELECT * FROM table1;
			SELECT * FROM table2 WHERE a=1;
			SELECT * FROM table2 WHERE a=2;
			DROP TABLE table2;
			DROP TABLE table1;`, "2<1 3<2 4<2 5<3,4 6<2"},
		{"train, then use the model", `SELECT * FROM iris.train LIMIT 10;
			SELECT * FROM iris.train TO TRAIN DNNClassifier WITH validation.select="SELECT * FROM iris.test" LABEL class INTO sqlflow_models.m;
			SELECT * FROM iris.test TO EVALUATE sqlflow_models.m LABEL class INTO iris.eval;
			SELECT * FROM iris.test TO PREDICT iris.predict.class USING sqlflow_models.m;
			SELECT * FROM iris.predict LIMIT 5;`, "3<2 4<2 5<4"},
		{"the data behind a validation query", `INSERT INTO v VALUES (1);
			SELECT * FROM s TO TRAIN E WITH validation.select='SELECT * FROM v' LABEL y INTO m`, "2<1"},
		{"a model trained further", "SELECT 1 TO TRAIN E LABEL y INTO a; SELECT 1 TO TRAIN E LABEL y USING a INTO b; SHOW TRAIN b", "2<1 3<2"},
		{"a model is a table too", "SELECT 1 TO TRAIN E LABEL y INTO db.m; DROP TABLE db.m", "2<1"},
		{"names without a database may be any", "INSERT INTO a.t VALUES (1); INSERT INTO b.t VALUES (1); SELECT * FROM t; INSERT INTO a.t VALUES (2)", "3<1,2 4<3"},
		{"databases apart", "INSERT INTO a.t VALUES (1); SELECT * FROM b.t; SELECT * FROM A.T", "3<1"},
		{"a barrier in the middle", "SELECT * FROM a; SELECT * FROM b; USE db; SELECT * FROM c; SELECT * FROM d; COMMIT", "3<1,2 4<3 5<3 6<4,5"},
		{"barriers only", "USE a; USE b; USE c", "2<1 3<2"},
		{"a barrier waits for the last ones only", "INSERT INTO t VALUES (1); SELECT * FROM t; SELECT * FROM u; SET x=1", "2<1 4<2,3"},
		{"a view leads to its tables", "CREATE VIEW v AS SELECT * FROM t; INSERT INTO t VALUES (1); SELECT * FROM v; INSERT INTO v VALUES (2); SELECT * FROM t",
			"2<1 3<2 4<3 5<4"},
		{"a view of a view", "CREATE VIEW v AS SELECT * FROM t; CREATE VIEW w AS SELECT * FROM v; INSERT INTO t VALUES (1); SELECT * FROM w", "2<1 3<2 4<3"},
		{"a foreign key ties two tables", `CREATE TABLE p (id INT PRIMARY KEY); CREATE TABLE c (id INT, FOREIGN KEY (id) REFERENCES p(id));
			INSERT INTO p VALUES (1); INSERT INTO c VALUES (1); DELETE FROM p`, "2<1 3<2 4<3 5<4"},
		{"a foreign key given later", `ALTER TABLE c ADD FOREIGN KEY (a) REFERENCES p(a); INSERT INTO c VALUES (1); INSERT INTO p VALUES (1)`, "2<1 3<2"},
		{"a trigger may do anything", "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW INSERT INTO u VALUES (1); INSERT INTO t VALUES (1); SELECT * FROM u", "2<1 3<2"},
		{"one statement that reads what it writes", "INSERT INTO t SELECT * FROM t; INSERT INTO t SELECT * FROM t", "2<1"},
		{"a program's tables", "SELECT * FROM s TO RUN a/b CMD 'x' INTO t, u; SELECT * FROM t; SELECT * FROM u; SELECT * FROM v", "2<1 3<1"},
		{"another dialect is a barrier", "SELECT * FROM a; INSERT OVERWRITE TABLE x SELECT * FROM a; SELECT * FROM a", "2<1 3<2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := waits(program.Dependencies(parse(t, c.sql))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// randomProgram is one whose statements touch the same few tables.
func randomProgram(r *rand.Rand, n int) string {
	table := func() string {
		return []string{"", "", "d.", "e."}[r.IntN(4)] + string(rune('a'+r.IntN(5)))
	}
	var b strings.Builder
	for range n {
		switch r.IntN(12) {
		case 0:
			b.WriteString("USE d")
		case 1, 2, 3, 4:
			fmt.Fprintf(&b, "SELECT * FROM %s, %s", table(), table())
		case 5:
			fmt.Fprintf(&b, "DROP TABLE %s", table())
		case 6:
			fmt.Fprintf(&b, "SELECT * FROM %s TO TRAIN E LABEL y INTO %s", table(), table())
		case 7:
			fmt.Fprintf(&b, "SELECT * FROM %s TO PREDICT d.%s.x USING %s", table(), string(rune('a'+r.IntN(5))), table())
		default:
			fmt.Fprintf(&b, "INSERT INTO %s SELECT * FROM %s", table(), table())
		}
		b.WriteString(";\n")
	}
	return b.String()
}

// conflict says by the published rule whether two statements must keep their
// order.
func conflict(a, b program.Access) bool {
	if a.Barrier || b.Barrier {
		return true
	}
	same := func(x, y string) bool {
		cut := func(s string) (db, base string) {
			_, s, _ = strings.Cut(s, ":")
			if db, base, ok := strings.Cut(s, "."); ok {
				return db, base
			}
			return "", s
		}
		xdb, xbase := cut(x)
		ydb, ybase := cut(y)
		return xbase == ybase && (xdb == ydb || xdb == "" || ydb == "")
	}
	meet := func(xs, ys []string) bool {
		for _, x := range xs {
			for _, y := range ys {
				if same(x, y) {
					return true
				}
			}
		}
		return false
	}
	return meet(a.Writes, b.Reads) || meet(a.Writes, b.Writes) || meet(a.Reads, b.Writes)
}

// The dependencies must be the transitive reduction of all conflicts: nothing
// missing, nothing too much.
func TestDependenciesAreTheReductionOfAllConflicts(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := randomProgram(r, 1+r.IntN(40))
		statements := parse(t, text)
		n := len(statements)
		access := make([]program.Access, n)
		reach := make([][]bool, n) // by the plain definition
		want := make([][]int, n)
		for i := range statements {
			access[i] = statements[i].Access("")
			reach[i] = make([]bool, n)
			for j := i - 1; j >= 0; j-- {
				if reach[i][j] || !conflict(access[j], access[i]) {
					continue
				}
				want[i] = append([]int{j}, want[i]...)
				reach[i][j] = true
				for k := range j {
					reach[i][k] = reach[i][k] || reach[j][k]
				}
			}
		}
		got := program.Dependencies(statements)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d\n%s\ngot  %s\nwant %s", seed, text, waits(got), waits(want))
		}
	}
}

func TestDependenciesStayWithinBounds(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	const pairs = 8_500    // just more than one stretch without a barrier
	for i := range pairs { // every second statement concerns all databases
		fmt.Fprintf(&b, "DROP TABLE d%d.t; SELECT 1 FROM t;", i)
	}
	edges := 0
	for i, before := range program.Dependencies(parse(t, b.String())) {
		edges += len(before)
		if i > pairs && len(before) == 0 {
			t.Fatalf("statement %d waits for nothing", i)
		}
	}
	if limit := 2 * pairs * 512; edges > limit {
		t.Errorf("%d edges, want at most %d", edges, limit)
	}
}
