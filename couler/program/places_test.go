package program_test

import (
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler/program"
)

// kinds gives the kinds of a program's statements, those of SQLFlow with their models and
// target.
func kinds(t *testing.T, sql string) string {
	t.Helper()
	var all []string
	for _, s := range parse(t, sql) {
		told := string(s.Kind)
		for _, name := range []string{s.Image, s.ModelIn, s.ModelOut, s.Into} {
			if name != "" {
				told += " " + name
			}
		}
		all = append(all, told)
	}
	return strings.Join(all, ", ")
}

// SQLFlow's keywords mean something in their place only, and there in any case and on
// however many lines.
func TestKeywordsMeanSomethingInTheirPlaceOnly(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		// In strings, names and comments.
		`SELECT 'it''s; TO TRAIN x', "say ""hi""; TO TRAIN", 'a\';b', "c\";d"; SELECT 2;`: "normal, normal",
		`SELECT "it's"; SELECT 'say "hi"'; SELECT 'a\\'; SELECT 'a\\\'; SELECT 2'`:        "normal, normal, normal, normal",
		"SELECT `a;b`, `c``;TO TRAIN d` FROM `to`; SELECT `to train` FROM `train`":        "normal, normal",
		"SELECT 1 /* ; TO TRAIN ' */; SELECT 1 /* /* */; SELECT 3 -- ; TO TRAIN '":        "normal, normal, normal",
		"SELECT /*! STRAIGHT_JOIN ; */ 1; SELECT /*+ BKA(t1) ; */ 2; # TO TRAIN `":        "normal, normal",
		`SELECT N'x;', _utf8'y;', a->>"$.c;" FROM t; SELECT 2`:                            "normal, normal",
		`SELECT * FROM t WHERE a = 'TO TRAIN' TO PREDICT t.c USING m;`:                    "predict m t.c",
		`SELECT 1 TO TRAIN D WITH a="x;y", b='TO TRAIN' LABEL y INTO m; SELECT 2`:         "train m, normal",

		// As names and aliases.
		"SELECT train, run, t.to FROM train, run AS to; SELECT a AS train, b AS to FROM t":  "normal, normal",
		"CREATE TABLE train (to INT, run INT); DROP TABLE train; INSERT INTO to VALUES (1)": "normal, normal, normal",
		"SELECT * FROM t AS to TO TRAIN D LABEL y INTO m":                                   "train m",
		"SELECT * FROM train TO TRAIN D LABEL train.y INTO db.train":                        "train db.train",
		"SHOW TABLES LIKE 'train'; SHOW TRAIN train_1":                                      "normal, show_train train_1",

		// In any case, on many lines, with comments in between.
		"select 1\r\nTo\r\n\tTrAiN\r\nD\r\nlabel\r\ny\r\ninto\r\nm\r\n;\r\n":        "train m",
		"SELECT 1 TO/**/EXPLAIN m;SELECT 1 TO -- x\nRUN a/b:1;SELECT 1 TO#x\nRUN c": "explain m, run a/b:1, run c",
		"show -- x\n/* y */ train db.m":                                             "show_train db.m",

		// Between statements, and at the end.
		"\ufeff;;\r\n;SELECT 1;; ;\n;SELECT 2": "normal, normal",
		"SELECT 1; --no blank\nSELECT 2; --":   "normal, normal",
		"SELECT 1 --":                          "normal",
		"SELECT 1 TO RUN a --no blank":         "run a",
		"/* only */ -- comments\n#here\n;":     "",
	} {
		if got := kinds(t, sql); got != want {
			t.Errorf("%q\nis %q, want %q", sql, got, want)
		}
		if strings.Contains(sql, "\n") {
			if got := kinds(t, strings.ReplaceAll(strings.ReplaceAll(sql, "\r\n", "\n"), "\n", "\r\n")); got != want {
				t.Errorf("%q with CRLF\nis %q, want %q", sql, got, want)
			}
		}
	}
}

// Where SQL has no place for them, they are mistakes, told where they stand.
func TestKeywordsOutOfPlaceAreMistakes(t *testing.T) {
	t.Parallel()
	for sql, place := range map[string]string{
		"SELECT a to train from t":                  "line 1, column 19",
		"SELECT 1;\nSELECT to FROM t":               "line 2, column 11",
		"SELECT * FROM train TO TRAIN train":        "line 1, column 30",
		"SELECT 1 TO TRAIN D LABEL y INTO `m`":      "line 1, column 34",
		"SELECT 1 TO RUN 'a/b'":                     "line 1, column 17",
		"SELECT 1;\r\n\r\n\tTO PREDICT x USING m":   "line 3, column 2",
		"SELECT '数据' TO TRAIN D LABEL y":            "line 1, column 31",
		"SHOW TRAIN a b":                            "line 1, column 14",
		"SELECT 1 --x; TO TRAIN":                    "line 1, column 15",
		"CREATE PROCEDURE p() BEGIN SELECT 1; END;": "line 1, column 38",
	} {
		_, err := program.Parse(sql)
		if err == nil || !strings.HasPrefix(err.Error(), place+": ") {
			t.Errorf("%q: got %v, want it at %s", sql, err, place)
		}
	}
}
