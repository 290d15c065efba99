package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestAStatementForABackEndIsOnlyPrinted(t *testing.T) {
	t.Parallel()
	statement := "SELECT * FROM t TO TRAIN m WITH a='$(reboot) {{x}} $$ `id` \\' INTO n;\r\n"
	var out bytes.Buffer
	err := run(t.Context(), []string{"-e", statement}, func(string) string { return "" }, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), statement) {
		t.Errorf("printed %q, want the statement byte for byte", out.String())
	}
}

func TestWhatStepRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, statement, source, want string }{
		{"no statement", "", "", "no statement"},
		{"no data source", "SELECT 1", "", "SQLFLOW_DATASOURCE is not of the form"},
		{"no address", "SELECT 1", "mysql://root:secret@tcp", "SQLFLOW_DATASOURCE"},
		{"nobody there", "SELECT 1", "mysql://root:secret@tcp(127.0.0.1:1)/?maxAllowedPacket=0", "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), []string{"-e", c.statement}, func(string) string { return c.source }, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got error %v, want one with %q", err, c.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}
