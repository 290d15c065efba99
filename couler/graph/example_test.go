package graph_test

import (
	"os"

	"sqlflow.org/sqlflow_playground/couler/graph"
)

func ExampleText() {
	_ = graph.Text(os.Stdout, []graph.Node{
		{Name: "s1-normal", Label: "CREATE TABLE t AS SELECT * FROM s;", State: graph.Succeeded},
		{Name: "s2-train", Label: "SELECT * FROM t\nTO TRAIN DNNClassifier LABEL c INTO m;", State: graph.Running, After: []int{0}},
		{Name: "s3-predict", Label: "SELECT * FROM u TO PREDICT p.c USING m;", State: graph.Pending, After: []int{1}},
		{Name: "s4-evaluate", Label: "SELECT * FROM u TO EVALUATE m LABEL c INTO e;", State: graph.Pending, After: []int{1}},
		{Name: "s5-normal", Label: "SELECT * FROM p, e;", State: graph.Pending, After: []int{2, 3}},
	})
	// Output:
	// ● s1-normal      succeeded  CREATE TABLE t AS SELECT * FROM s;
	// ◐ s2-train       running    SELECT * FROM t …
	// ├─○ s3-predict   pending    SELECT * FROM u TO PREDICT p.c USING m;
	// └─○ s4-evaluate  pending    SELECT * FROM u TO EVALUATE m LABEL c INTO e;
	//   ○ s5-normal    pending    SELECT * FROM p, e;  (also after s3-predict)
}
