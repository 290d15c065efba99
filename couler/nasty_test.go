package couler_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// nasty is text that an engine, the kubelet, a shell, Python or YAML would like
// to change on its way to a step. No program holds a NUL byte.
var nasty = []string{
	"SELECT 1;",
	"SELECT 'it''s', \"a \\\"b\\\"\", `c` FROM t -- \"\n;",
	`SELECT "a" LIKE \"Versicolor\";`,
	"SELECT '\\`$(date)\\`', '$HOME', '\\\\' ;",
	"{{workflow.name}} {{=1+1}} {{inputs.parameters.x}} {{", "}} {{item}} {{=sprig.env(\"HOME\")}}",
	"$(params.x) $(params['x']) $(context.taskRun.name) $(tasks.status) $(HOSTNAME) $(SQLFLOW_DATASOURCE)",
	"$", "$$", "$$$", "$$(params.x)", "$$$(HOSTNAME)", "${HOME}", "$(", "$()", "\\$(HOSTNAME)",
	"a\\\nb", "tail\\", "'", "'''", `"""`, `"'"`, "`", "!!", "\\n \\t \\r \\0",
	"\n\nlines around\n\n", "\n", " ", "cr\r\n\r", "\x1b[31m\x07\x7f\x01", "\u0085 \u2028 \u2029 \u00a0 \ufeff", "中文 ünï 😀",
	"\xff\xfe \xc3( no UTF-8", "%s %d %%", "-e", "--", "#", "# -*- coding: latin-1 -*-\n", "EOF\nEOF", "x\n\tx\n  x\n\n x",
}

// stepFolder holds a program "step" that writes the SQL it is given to the file
// in SQL_FILE and ends with EXIT_CODE, and python3; it is what SQLFlow's images hold.
func stepFolder(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	script := "#!/bin/sh\n[ $# = 2 ] && [ \"$1\" = -e ] || exit 99\nprintf %s \"$2\" >\"$SQL_FILE\"\necho ran on stdout\necho ran on stderr >&2\nexit ${EXIT_CODE:-0}\n"
	if err := os.WriteFile(filepath.Join(folder, "step"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if path := python3(); filepath.IsAbs(path) {
		if err := os.Symlink(path, filepath.Join(folder, "python3")); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// python3 is the interpreter that python3 in PATH starts. That may be a script, as pyenv has it,
// which takes longer than many a test.
var python3 = sync.OnceValue(func() string {
	path, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		return "python3"
	}
	return strings.TrimSpace(string(path))
})

// result is how a command ended.
type result struct {
	code   int
	output string // of stdout and stderr
}

// execute runs a command with the program "step" in PATH and more variables.
func execute(t testing.TB, folder string, argv []string, environ ...string) result {
	t.Helper()
	program := argv[0]
	if program == "python3" {
		program = python3()
	}
	cmd := exec.CommandContext(t.Context(), program, argv[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
	cmd.Env = append(cmd.Env, environ...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if _, ended := errors.AsType[*exec.ExitError](err); !ended {
			t.Fatalf("%.200q: %v", argv, err)
		}
	}
	return result{cmd.ProcessState.ExitCode(), output.String()}
}

func readFile(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rewritable tells whether an engine or the kubelet would change text.
func rewritable(text string) bool {
	for _, tag := range []string{"{{", "}}", "$(", "$$"} {
		if strings.Contains(text, tag) {
			return true
		}
	}
	return false
}
