package program_test

import (
	"errors"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler/program"
)

func TestErrorsPointAtTheirPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql, want string
	}{
		{"a string without an end", "SELECT 1;\nSELECT 'it;\n", `
line 2, column 8: the string that begins here has no end
  SELECT 'it;
         ^
  hint: close it by '`},
		{"a quoted name without an end", "SELECT `a FROM t", "\nline 1, column 8: the quoted name that begins here has no end\n  SELECT `a FROM t\n         ^\n  hint: close it by `"},
		{"a comment without an end", "SELECT 1 /* 2;", `
line 1, column 10: the comment that begins here has no end
  SELECT 1 /* 2;
           ^
  hint: close it by */`},
		{"the caret under tabs and CRLF", "SELECT 1;\r\n\t\tSELECT\t(a;\r\n", "\nline 2, column 10: this ( is never closed\n  \t\tSELECT\t(a;\n  \t\t      \t^"},
		{"the caret under wide and combining characters", "SELECT '数据', 'e\u0301' );", "\nline 1, column 19: this ) closes nothing\n  SELECT '数据', 'e\u0301' );\n                     ^"},
		{"no SELECT before TO", "TO TRAIN a LABEL b INTO c;", `
line 1, column 1: TO has no SELECT before it
  TO TRAIN a LABEL b INTO c;
  ^
  hint: write SELECT ... TO TRAIN, PREDICT, EXPLAIN, EVALUATE, RUN, MAXIMIZE or MINIMIZE ...`},
		{"TO behind another verb", "DESCRIBE t TO PREDICT a USING b;", `
line 1, column 12: TO PREDICT can only follow a SELECT, not DESCRIBE
  DESCRIBE t TO PREDICT a USING b;
             ^`},
		{"TO TRAIN without INTO", "SELECT 1 TO TRAIN a LABEL b;", `
line 1, column 28: TO TRAIN: INTO is expected, not the end of the statement
  SELECT 1 TO TRAIN a LABEL b;
                             ^
  hint: the form is TO TRAIN model [WITH attributes [COLUMN columns]] [LABEL column] [USING model] INTO model, with WITH or LABEL or both`},
		{"TO TRAIN out of order", "SELECT 1 TO TRAIN a LABEL b WITH c=1 INTO d;", `
line 1, column 29: TO TRAIN: INTO is expected, not ` + "`WITH`" + `
  SELECT 1 TO TRAIN a LABEL b WITH c=1 INTO d;
                              ^
  hint: the form is TO TRAIN model [WITH attributes [COLUMN columns]] [LABEL column] [USING model] INTO model, with WITH or LABEL or both`},
		{"a bad image", "SELECT 1 TO RUN lib/Upper:1;", `
line 1, column 17: TO RUN: ` + "`lib/Upper:1`" + ` is no name of an image: repository name (lib/Upper) must be lowercase
  SELECT 1 TO RUN lib/Upper:1;
                  ^`},
		{"a bad image of a model", "SELECT 1 TO TRAIN a//b/E LABEL y INTO m;", `
line 1, column 19: TO TRAIN: ` + "`a//b`" + ` is no name of an image: invalid reference format
  SELECT 1 TO TRAIN a//b/E LABEL y INTO m;
                    ^`},
		{"an image without an estimator", "SELECT 1 TO TRAIN a/b/ LABEL y INTO m;", `
line 1, column 23: TO TRAIN: ` + "`a/b/`" + ` does not end in the name of an estimator
  SELECT 1 TO TRAIN a/b/ LABEL y INTO m;
                        ^`},
		{"a missing semicolon", "SELECT a FROM t\nSELECT b FROM t;", `
line 2, column 1: SELECT cannot stand here
  SELECT b FROM t;
  ^
  hint: is a semicolon missing before it?`},
		{"a missing semicolon behind INTO", "SELECT 1 TO TRAIN a LABEL b INTO c\nSELECT 2;", `
line 2, column 1: TO TRAIN: a semicolon is expected, not ` + "`SELECT`" + `
  SELECT 2;
  ^
  hint: is a semicolon missing before it?`},
		{"a slip of the keys", "SELCET 1;", `
line 1, column 1: ` + "`SELCET`" + ` does not begin a SQL statement
  SELCET 1;
  ^
  hint: is SELECT meant?`},
		{"a slip behind TO", "SELECT 1 TO TRIAN x;", `
line 1, column 13: after TO comes TRAIN, PREDICT, EXPLAIN, EVALUATE, RUN, MAXIMIZE or MINIMIZE
  SELECT 1 TO TRIAN x;
              ^
  hint: is TRAIN meant?`},
		{"a blank that is none", "SELECT\u00a01;", `
line 1, column 1: ` + "`SELECT\ufffd1`" + ` does not begin a SQL statement
  SELECT` + "\ufffd" + `1;
  ^
  hint: there is a blank in it, U+00A0, that SQL takes for a letter`},
		{"a full-width semicolon", "SELECT 1 TO TRAIN a LABEL b INTO c；", `
line 1, column 35: ` + "`；`" + ` cannot stand after TO
  SELECT 1 TO TRAIN a LABEL b INTO c；
                                    ^
  hint: write ; instead`},
		{"backticks behind TO", "SELECT 1 TO TRAIN a LABEL `b` INTO c;", "\nline 1, column 27: ``` cannot stand after TO\n  SELECT 1 TO TRAIN a LABEL `b` INTO c;\n                            ^\n  hint: SQLFlow knows no quoted names there; write the name without backticks"},
		{"an attribute given twice", "SELECT 1 TO TRAIN a WITH b=1, b=2 INTO c;", `
line 1, column 31: TO TRAIN: the attribute ` + "`b`" + ` is given twice
  SELECT 1 TO TRAIN a WITH b=1, b=2 INTO c;
                                ^`},
		{"DELIMITER", "DELIMITER //\nSELECT 'x //", `
line 1, column 1: DELIMITER is a command of the mysql client, not SQL
  DELIMITER //
  ^
  hint: statements end at a semicolon; stored programs with several statements cannot be part of a program`},
		{"a NUL byte", "SELECT 1;\nSELECT \x00;", "\nline 2, column 8: a NUL byte is in the program\n  SELECT \ufffd;\n         ^"},
		{"UTF-16", "S\x00E\x00", "\nline 1, column 2: a NUL byte is in the program\n  S\ufffdE\ufffd\n   ^\n  hint: the text looks like UTF-16; save it as UTF-8"},
		{"not UTF-8", "SELECT 'caf\xe9';", "\nline 1, column 12: the byte 0xE9 is not valid UTF-8\n  SELECT 'caf\ufffd';\n             ^\n  hint: save the program as UTF-8"},
		{"behind a byte order mark", "\ufeffSELECT (1;", `
line 1, column 8: this ( is never closed
  SELECT (1;
         ^`},
		{"what a terminal would obey", "SELECT '\x1b[31m' );", "\nline 1, column 16: this ) closes nothing\n  SELECT '\ufffd[31m' );\n                 ^"},
		{"several at once", "SELEC 1; SELECT 1; SHOW TRAIN;\nSELECT 'x", `
line 1, column 1: ` + "`SELEC`" + ` does not begin a SQL statement
  SELEC 1; SELECT 1; SHOW TRAIN;
  ^
  hint: is SELECT meant?
line 1, column 30: SHOW TRAIN: the name of a model is expected, not the end of the statement
  SELEC 1; SELECT 1; SHOW TRAIN;
                               ^
  hint: the form is SHOW TRAIN model
line 2, column 8: the string that begins here has no end
  SELECT 'x
         ^
  hint: close it by '`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := program.Parse(c.sql)
			if err == nil {
				t.Fatal("there is no error")
			}
			if got := "\n" + err.Error(); got != c.want {
				t.Errorf("got%s\n\nwant%s", got, c.want)
			}
			if e, ok := errors.AsType[*program.Error](err); !ok || e.Line == 0 {
				t.Errorf("%#v is no *Error", err)
			}
		})
	}
}

func TestALongLineIsCutAroundTheMistake(t *testing.T) {
	t.Parallel()
	_, err := program.Parse("SELECT " + strings.Repeat("列, ", 100_000) + ") " + strings.Repeat("x", 100_000))
	e, ok := errors.AsType[*program.Error](err)
	if !ok {
		t.Fatal(err)
	}
	if e.Column != 300_008 || e.Offset != 500_007 {
		t.Errorf("column %d, offset %d", e.Column, e.Offset)
	}
	source := []rune(e.Source)
	if len(source) > 150 || source[e.Caret] != ')' || source[0] != '…' || source[len(source)-1] != '…' {
		t.Errorf("caret %d in %s", e.Caret, e.Source)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	_, err := program.Parse(strings.Repeat("x;", 1_000_000))
	var es program.Errors
	if !errors.As(err, &es) || len(es) != 20 || !strings.HasSuffix(err.Error(), "there are too many errors to go on") {
		t.Errorf("%d errors", len(es))
	}
}

func TestNewError(t *testing.T) {
	t.Parallel()
	text := "SELECT 1;\n  SELECT 2;"
	for offset, want := range map[int]string{
		12:  "line 2, column 3: too large\n    SELECT 2;\n    ^\n  hint: split it",
		-1:  "line 1, column 1: too large\n  SELECT 1;\n  ^\n  hint: split it",
		999: "line 2, column 12: too large\n    SELECT 2;\n             ^\n  hint: split it",
	} {
		if got := program.NewError(text, offset, "too large", "split it").Error(); got != want {
			t.Errorf("at %d:\n%s\nwant\n%s", offset, got, want)
		}
	}
}
