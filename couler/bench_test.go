package couler_test

import (
	"fmt"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
)

// BenchmarkCompile measures the way from a program's text to what an engine is
// given, YAML read back included. Argo and Tekton refuse 10,000 statements, for
// no API server takes them; what is measured there is the way to the refusal.
// BenchmarkEmitUnbounded writes and reads back what is refused here.
func BenchmarkCompile(b *testing.B) {
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton, couler.Python, couler.Docker} {
		for _, n := range []int{2, 100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", engine, n), func(b *testing.B) {
				sql := statements(n)
				b.SetBytes(int64(len(sql)))
				for b.Loop() {
					w, err := couler.Compile(sql, benchSession, couler.Options{})
					if err != nil {
						b.Fatal(err)
					}
					if engine == couler.Docker {
						for _, s := range w.AllSteps() {
							_ = w.Argv(s)
						}
						continue
					}
					_, err = w.Emit(engine)
					if tooLarge := n == 10_000 && engine != couler.Python; (err != nil) != tooLarge {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

var benchSession = couler.Session{DataSource: "mysql://root:root@tcp(10.0.0.9:3306)/", UserID: "alice", Token: "t"}

// statements makes a program of n, one in ten of which has text that must be
// encoded.
func statements(n int) string {
	var b strings.Builder
	for i := range n {
		if i%10 == 9 {
			fmt.Fprintf(&b, "INSERT INTO iris.t%d SELECT '$(x)' FROM iris.t%d WHERE a = '{{b}}';\n", i, i-1)
		} else {
			fmt.Fprintf(&b, "CREATE TABLE iris.t%d AS SELECT a, b, c FROM iris.train WHERE class = \"%d\" LIMIT 10;\n", i, i)
		}
	}
	return b.String()
}
