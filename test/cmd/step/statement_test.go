package main

import "testing"

func TestStatementsThatNeedABackEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		statement string
		want      bool
	}{
		{"SELECT * FROM iris.train TO TRAIN DNNClassifier INTO m", true},
		{"select * from iris.test\nto\tpredict iris.p.class USING m;", true},
		{"SELECT 1 TO RUN some/image CMD \"a\"", true},
		{"SHOW TRAIN sqlflow_models.m;", true},
		{"-- a comment\nSHOW TRAIN m", true},
		{"SELECT 'TO TRAIN'", false},
		{"SELECT \"x\\\" TO TRAIN \"", false},
		{"SELECT `TO TRAIN` FROM t", false},
		{"SELECT 1 /* TO TRAIN */", false},
		{"SELECT 1 -- TO TRAIN", false},
		{"SELECT 1 # TO TRAIN", false},
		{"SELECT a TO, TRAIN FROM t", false},
		{"RENAME TABLE a TO train", false},
		{"SHOW TABLES", false},
		{"", false},
		{"'", false},
	} {
		if got := needsBackend(c.statement); got != c.want {
			t.Errorf("needsBackend(%q) = %v, want %v", c.statement, got, c.want)
		}
	}
}
