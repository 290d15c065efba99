package program_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sqlflow.org/sqlflow_playground/couler/program"
)

// FuzzParse: whatever the text, Parse does not fail us; and what it gives is
// the text itself, cut at separators only.
func FuzzParse(f *testing.F) {
	for _, c := range sqlCases(f) {
		f.Add(c.SQL)
	}
	f.Add(programOf(10))
	f.Fuzz(func(t *testing.T, text string) {
		statements, err := program.Parse(text)
		if err != nil {
			if statements != nil || err.Error() == "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("%+v, %q", statements, err)
			}
			return
		}
		end := 0
		for i, s := range statements {
			if s.Offset < end || !strings.HasPrefix(text[s.Offset:], s.Text) || s.Text == "" {
				t.Fatalf("statement %d is not in its place: %+v", i+1, s)
			}
			separator(t, text[end:s.Offset])
			end = s.Offset + len(s.Text)
			before := strings.TrimPrefix(text[:s.Offset], "\ufeff")
			line := 1 + strings.Count(before, "\n")
			column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
			if s.Line != line || s.Column != column {
				t.Fatalf("statement %d is at %d:%d, not %d:%d", i+1, line, column, s.Line, s.Column)
			}
			if i < len(statements)-1 && !strings.HasSuffix(s.Text, ";") {
				t.Fatalf("statement %d has no semicolon: %q", i+1, s.Text)
			}
			if !strings.HasPrefix(s.Text, s.Select) {
				t.Fatalf("statement %d does not begin with its SELECT %q", i+1, s.Select)
			}
			alone(t, s)
		}
		separator(t, text[end:])
		if deps := program.Dependencies(statements); len(deps) != len(statements) {
			t.Fatal(deps)
		} else {
			for i, before := range deps {
				for k, j := range before {
					if j < 0 || j >= i || k > 0 && before[k-1] >= j {
						t.Fatalf("statement %d waits for %v", i, before)
					}
				}
			}
		}
	})
}

// separator checks that a text between statements holds none.
func separator(t *testing.T, text string) {
	t.Helper()
	if got, err := program.Parse(text); len(got) != 0 || err != nil {
		t.Fatalf("%q is no separator: %+v, %v", text, got, err)
	}
}

// alone checks that a statement says the same when it stands alone, as it does
// in its step, with the semicolon that the last one may lack.
func alone(t *testing.T, s program.Statement) {
	t.Helper()
	text := strings.TrimSuffix(s.Text, ";") + ";"
	got, err := program.Parse(text)
	if err != nil || len(got) != 1 {
		t.Fatalf("%q alone gives %+v, %v", text, got, err)
	}
	if g := got[0]; g.Text != text || g.Kind != s.Kind || g.Select != s.Select || g.Image != s.Image ||
		g.ModelIn != s.ModelIn || g.ModelOut != s.ModelOut || g.Into != s.Into {
		t.Fatalf("%q alone is %+v, not %+v", text, g, s)
	}
}
