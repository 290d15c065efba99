package couler_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
)

func TestSQLReachesTheStepProgramByteForByte(t *testing.T) {
	t.Parallel()
	folder := stepFolder(t)
	log := filepath.Join(t.TempDir(), "a folder", "step.log")
	for _, w := range []*couler.Workflow{{}, {LogFile: log}, {LogFile: log, ExitWait: time.Nanosecond}} {
		for _, sql := range nasty {
			argv := w.Argv(&couler.Step{Name: "s", SQL: sql})
			for _, a := range argv {
				if rewritable(a) {
					t.Errorf("the command for %q would be rewritten: %q", sql, a)
				}
			}
			if argv[0] != "bash" || argv[1] != "-c" || len(argv) != 3 {
				t.Errorf("the command for %q is not SQLFlow's: %q", sql, argv)
			}
			if back := couler.ParseArgv(argv); back.SQL != sql {
				t.Errorf("the command for %q reads back as %+v", sql, back)
			}
			file := filepath.Join(t.TempDir(), "sql")
			if w.ExitWait > 0 {
				continue // it would wait a second for each
			}
			if got := execute(t, folder, argv, "SQL_FILE="+file); got.code != 0 {
				t.Errorf("%q ended with %+v", sql, got)
			}
			if got := readFile(t, file); got != sql {
				t.Errorf("the step program got %q, want %q", got, sql)
			}
		}
	}
}

func TestTheStepCommandIsWrittenAsInSQLFlow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		w    couler.Workflow
		sql  string
		want string
	}{
		{"plain", couler.Workflow{}, "SELECT `a` FROM \"b\\c\";", "step -e \"SELECT \\`a\\` FROM \\\"b\\\\c\\\";\""},
		{"a quoted string that is escaped already", couler.Workflow{}, `LIKE \"Versicolor\";`, `step -e "LIKE \\\"Versicolor\\\";"`},
		{"wait", couler.Workflow{ExitWait: 3 * time.Second}, "SELECT 1", "( step -e \"SELECT 1\" )\nexit_code=$?\nsleep 3\nexit $exit_code"},
		{"log", couler.Workflow{LogFile: "/d/f.log"}, "SELECT 1", `if [[ -f /opt/sqlflow/init_step_container.sh ]]; then bash /opt/sqlflow/init_step_container.sh; fi || exit
mkdir -p "/d" || exit
set -o pipefail
( step -e "SELECT 1" ) 2>&1 | tee "/d/f.log"`},
		{"log and wait", couler.Workflow{LogFile: "/d/f.log", ExitWait: 3 * time.Second}, "SELECT 1", `if [[ -f /opt/sqlflow/init_step_container.sh ]]; then bash /opt/sqlflow/init_step_container.sh; fi || exit
mkdir -p "/d" || exit
set -o pipefail
( step -e "SELECT 1" ) 2>&1 | tee "/d/f.log"
exit_code=$?
sleep 3
exit $exit_code`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := c.w.Argv(&couler.Step{SQL: c.sql})[2]; got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestAFailingStepKeepsItsExitCodeAndWaitsAndLogs(t *testing.T) {
	t.Parallel()
	folder := stepFolder(t)
	for _, code := range []int{0, 3} {
		for _, log := range []string{"", filepath.Join(t.TempDir(), "logs", "step.log")} {
			t.Run(fmt.Sprintf("exit code %d, log file %v", code, log != ""), func(t *testing.T) {
				t.Parallel()
				w := couler.Workflow{LogFile: log, ExitWait: time.Second}
				before := time.Now()
				got := execute(t, folder, w.Argv(&couler.Step{SQL: "SELECT '$'"}), "SQL_FILE="+filepath.Join(t.TempDir(), "sql"), fmt.Sprint("EXIT_CODE=", code))
				if got.code != code || !strings.Contains(got.output, "ran on stdout") {
					t.Errorf("got %+v, want exit code %d and the output", got, code)
				}
				if waited := time.Since(before); waited < time.Second {
					t.Errorf("it ended after %v, want a second at least", waited)
				}
				if log == "" {
					return
				}
				if got := readFile(t, log); !strings.Contains(got, "ran on stdout") || !strings.Contains(got, "ran on stderr") {
					t.Errorf("the log file holds %q", got)
				}
			})
		}
	}
}

func TestCommandArgumentsReachTheProgramByteForByte(t *testing.T) {
	t.Parallel()
	folder := stepFolder(t)
	command := append([]string{"printf", `%s\001`}, nasty...)
	argv := (&couler.Workflow{}).Argv(&couler.Step{Command: command})
	for _, a := range argv {
		if rewritable(a) {
			t.Errorf("the command would be rewritten: %q", a)
		}
	}
	if back := couler.ParseArgv(argv); !slices.Equal(back.Command, command) {
		t.Errorf("it reads back as %q", back.Command)
	}
	got := execute(t, folder, argv)
	if want := strings.Join(nasty, "\x01") + "\x01"; got.code != 0 || got.output != want {
		t.Errorf("got %d, %q\nwant %q", got.code, got.output, want)
	}
	plain := []string{"echo", "a b", "c\"d"}
	if argv := (&couler.Workflow{LogFile: "/f"}).Argv(&couler.Step{Command: plain}); !slices.Equal(argv, plain) {
		t.Errorf("a command that nobody rewrites became %q", argv)
	}
}

func TestPythonStepsRunAsFunctionBodies(t *testing.T) {
	t.Parallel()
	folder := stepFolder(t)
	for _, c := range pythonBodies {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, w := range []couler.Workflow{{}, {LogFile: filepath.Join(t.TempDir(), "log")}} {
				argv := w.Argv(&couler.Step{Name: "s1-python", Python: c.body})
				for _, a := range argv {
					if rewritable(a) {
						t.Errorf("the command would be rewritten: %q", a)
					}
				}
				if back := couler.ParseArgv(argv); back.Python != c.body {
					t.Errorf("it reads back as %+v", back)
				}
				got := execute(t, folder, argv)
				if got.code != c.code || !strings.Contains(got.output, c.output) {
					t.Errorf("got %+v, want %d and %q", got, c.code, c.output)
				}
			}
		})
	}
}

// pythonBodies are function bodies, and how they end.
var pythonBodies = []struct {
	name, body string
	code       int
	output     string
}{
	{"a line", `print("hello")`, 0, "hello\n"},
	{"return ends it well", "print(1)\nif True:\n    return\nprint(2)", 0, "1\n"},
	{"return ends it well, carried", "print('$')\nif True:\n    return\nprint(2)", 0, "$\n"},
	{"sys.exit keeps its code", "import sys\nsys.exit(7)\n", 7, ""},
	{"an exception is 1 with a traceback", "raise ValueError('no $ luck')", 1, "ValueError: no $ luck"},
	{"strings of several lines keep their text", "a = '''x\n  y\n\tz'''\nprint(repr(a))", 0, `'x\n  y\n\tz'`},
	{"lines joined by a backslash", "a = 'x\\\ny'\nprint(a)", 0, "xy\n"},
	{"tabs", "if True:\n\tif True:\n\t\tprint('tab')\n\tprint('out')", 0, "tab\nout\n"},
	{"engine tags", `print("{{workflow.name}} $(HOSTNAME) $$")`, 0, "{{workflow.name}} $(HOSTNAME) $$\n"},
	{"only a comment", "# nothing\n", 0, ""},
	{"carriage returns", "print(1)\r\nprint(2)\r\n", 0, "1\n2\n"},
	{"a cookie is a comment", "# -*- coding: latin-1 -*-\nprint(len('é'))", 0, "1\n"},
	{"a cookie is a comment, carried", "# -*- coding: latin-1 -*-\nprint(len('é$'))", 0, "2\n"},
	{"a function in a function", "def f(n):\n    return n + 1\n\n\nprint(f(1))", 0, "2\n"},
	{"global names", "global n\nn = 5\ndef f():\n    return n\nprint(f())", 0, "5\n"},
	{"unicode", "print('中文 😀')", 0, "中文 😀\n"},
	{"bad syntax", "print(", 1, "SyntaxError"},
}
