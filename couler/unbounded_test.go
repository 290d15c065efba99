package couler

import (
	"fmt"
	"testing"
)

// BenchmarkEmitUnbounded writes YAML and reads it back without the limit of the
// API server, to show that the time grows with the number of steps and not
// faster. It needs a limit that Emit does not let one choose.
func BenchmarkEmitUnbounded(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		w := &Workflow{Name: "bench-", Secret: "secret"}
		for i := range n {
			s := Step{Name: fmt.Sprintf("s%d-normal", i+1), Image: "sqlflow/sqlflow", SQL: fmt.Sprintf("CREATE TABLE iris.t%d AS SELECT a, b, c FROM iris.train;", i),
				Env: []EnvVar{{Name: "SQLFLOW_DATASOURCE", Hidden: "mysql://root:root@tcp(10.0.0.9:3306)/"}, {Name: "SQLFLOW_USER_ID", Value: "alice"}}}
			if i > 0 {
				s.After = []string{w.Steps[i-1].Name}
			}
			w.Steps = append(w.Steps, s)
		}
		for name, emit := range map[string]func() ([]byte, error){
			"argo":   func() ([]byte, error) { return w.argo(0) },
			"tekton": func() ([]byte, error) { return w.tekton(0) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					text, err := emit()
					if err != nil {
						b.Fatal(err)
					}
					b.SetBytes(int64(len(text)))
				}
			})
		}
	}
}
