package program_test

import (
	"fmt"

	"sqlflow.org/sqlflow_playground/couler/program"
)

func ExampleParse() {
	statements, err := program.Parse(`
		CREATE TABLE small AS SELECT * FROM iris.train LIMIT 50;
		-- the model
		SELECT * FROM small TO TRAIN DNNClassifier LABEL class INTO m;`)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range statements {
		fmt.Printf("line %d, %s: %s\n", s.Line, s.Kind, s.Text)
	}

	_, err = program.Parse("SELECT * FROM small TO TRAIN DNNClassifier LABEL class;")
	fmt.Println(err)
	// Output:
	// line 2, normal: CREATE TABLE small AS SELECT * FROM iris.train LIMIT 50;
	// line 4, train: SELECT * FROM small TO TRAIN DNNClassifier LABEL class INTO m;
	// line 1, column 55: TO TRAIN: INTO is expected, not the end of the statement
	//   SELECT * FROM small TO TRAIN DNNClassifier LABEL class;
	//                                                         ^
	//   hint: the form is TO TRAIN model [WITH attributes [COLUMN columns]] [LABEL column] [USING model] INTO model, with WITH or LABEL or both
}

func ExampleDependencies() {
	statements, err := program.Parse(`
		INSERT INTO a VALUES (1);
		INSERT INTO b VALUES (1);
		SELECT * FROM a, b;`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(program.Dependencies(statements))
	// Output: [[] [] [0 1]]
}

func ExampleStatement_Access() {
	statements, err := program.Parse("SELECT * FROM iris.test TO PREDICT iris.result.class USING m;")
	if err != nil {
		fmt.Println(err)
		return
	}
	a := statements[0].Access("models")
	fmt.Println("reads", a.Reads)
	fmt.Println("writes", a.Writes)
	// Output:
	// reads [model:models.m table:iris.test]
	// writes [table:iris.result]
}
