package couler_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
)

// pythons finds the interpreters that a program must work with: python3, and
// the versions beside it, in PATH or where pyenv keeps them.
func pythons(t testing.TB) []string {
	t.Helper()
	found := []string{python3()}
	root := os.Getenv("PYENV_ROOT")
	if home, err := os.UserHomeDir(); root == "" && err == nil {
		root = filepath.Join(home, ".pyenv")
	}
	for minor := 8; minor <= 13; minor++ {
		name := fmt.Sprintf("python3.%d", minor)
		kept, _ := filepath.Glob(filepath.Join(root, "versions", fmt.Sprintf("3.%d.*", minor), "bin", name))
		for _, python := range append(kept, name) {
			if exec.Command(python, "-c", "").Run() == nil {
				found = append(found, python)
				break
			}
		}
	}
	return found
}

// pythonFile writes a workflow's Python program to a file.
func pythonFile(t testing.TB, w *couler.Workflow) string {
	t.Helper()
	text, err := w.Emit(couler.Python)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "program.py")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// steps makes a workflow of steps that run one by one.
func steps(all ...couler.Step) *couler.Workflow {
	for i := range all {
		all[i].Name, all[i].Image = fmt.Sprintf("s%d", i+1), "image"
		if i > 0 && all[i].After == nil {
			all[i].After = []string{all[i-1].Name}
		}
	}
	return &couler.Workflow{Name: "test-", Secret: "secret", Steps: all}
}

func TestProgramsCompileUnderEverySupportedPython(t *testing.T) {
	t.Parallel()
	var files []string
	for _, w := range goldens(t) {
		files = append(files, pythonFile(t, w))
	}
	var all []couler.Step
	for _, sql := range nasty {
		all = append(all, couler.Step{SQL: sql + ";"})
	}
	files = append(files, pythonFile(t, steps(all...)))
	versions := pythons(t)
	t.Logf("with %d interpreters: %v", len(versions), versions)
	for _, python := range versions {
		got := execute(t, t.TempDir(), append([]string{python, "-W", "error", "-m", "py_compile"}, files...))
		if got.code != 0 {
			t.Errorf("%s: %s", python, got.output)
		}
	}
	const oldest = "import ast, sys\nfor file in sys.argv[1:]: ast.parse(open(file, encoding='utf-8').read(), file, feature_version=(3, 8))"
	if got := execute(t, t.TempDir(), append([]string{"python3", "-c", oldest}, files...)); got.code != 0 {
		t.Errorf("not Python 3.8: %s", got.output)
	}
}

func TestAProgramGivesTheStepProgramItsSQLByteForByte(t *testing.T) {
	t.Parallel()
	folder := stepFolder(t)
	for _, python := range pythons(t) {
		t.Run(filepath.Base(python), func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			var all []couler.Step
			for i, sql := range nasty {
				if strings.TrimSpace(sql) == "" {
					sql += ";"
				}
				all = append(all, couler.Step{SQL: sql, Env: []couler.EnvVar{{Name: "SQL_FILE", Value: filepath.Join(out, fmt.Sprint(i))}}})
			}
			// A locale that cannot write most of it must not matter.
			got := execute(t, folder, []string{python, pythonFile(t, steps(all...))}, "LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")
			if got.code != 0 {
				t.Fatal(got.output)
			}
			for i, s := range all {
				if got := readFile(t, filepath.Join(out, fmt.Sprint(i))); got != s.SQL {
					t.Errorf("got %q, want %q", got, s.SQL)
				}
			}
		})
	}
}

func TestAProgramStopsAtTheStepThatFails(t *testing.T) {
	t.Parallel()
	folder := stepFolder(t)
	file := filepath.Join(t.TempDir(), "sql")
	for _, c := range []struct {
		name string
		step couler.Step
		code int
		says string
	}{
		{"SQL", couler.Step{SQL: "SELECT 1", Env: []couler.EnvVar{{Name: "EXIT_CODE", Value: "7"}}}, 7, "step s2 failed with exit code 7\n"},
		{"a command", couler.Step{Command: []string{"sh", "-c", "exit 5"}}, 5, "step s2 failed with exit code 5\n"},
		{"a signal", couler.Step{Command: []string{"sh", "-c", "kill -9 $$"}}, 137, "step s2 failed with exit code 137\n"},
		{"no program", couler.Step{Command: []string{"no-such-program"}}, 127, "cannot run no-such-program: No such file or directory\nstep s2 failed with exit code 127\n"},
		{"an exception", couler.Step{Python: "raise ValueError('no luck')"}, 1, "ValueError: no luck\nstep s2 failed with exit code 1\n"},
		{"sys.exit", couler.Step{Python: "import sys\nsys.exit(9)"}, 9, "step s2 failed with exit code 9\n"},
		{"sys.exit with words", couler.Step{Python: "import sys\nsys.exit('words')"}, 1, "words\nstep s2 failed with exit code 1\n"},
		{"too long in Python", couler.Step{Python: "import time\ntime.sleep(60)", Timeout: time.Second}, 124, "step s2 timed out\nstep s2 failed with exit code 124\n"},
		{"too long outside", couler.Step{Command: []string{"sleep", "60"}, Timeout: time.Second}, 124, "step s2 timed out\nstep s2 failed with exit code 124\n"},
		{"tried again", couler.Step{Command: []string{"sh", "-c", "exit 5"}, Retries: 2}, 5, "step s2: again, 1 of 2\nstep s2: again, 2 of 2\nstep s2 failed with exit code 5\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := steps(couler.Step{SQL: "SELECT 0"}, c.step, couler.Step{Python: "print('never')"})
			w.OnExit = &couler.Step{Name: "last", Image: "image", Python: "import os\nprint('it', os.environ['SQLFLOW_WORKFLOW_STATUS'])"}
			got := execute(t, folder, []string{"python3", pythonFile(t, w)}, "SQL_FILE="+file)
			if got.code != c.code || !strings.Contains(got.output, c.says) || strings.Contains(got.output, "never") || !strings.HasSuffix(got.output, "it Failed\n") {
				t.Errorf("got %d and %s", got.code, got.output)
			}
		})
	}
}

func TestAProgramRunsPythonStepsInPlace(t *testing.T) {
	t.Parallel()
	for _, c := range pythonBodies {
		if c.name == "bad syntax" {
			continue // the whole program does not compile, and nothing runs
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := execute(t, t.TempDir(), []string{"python3", pythonFile(t, steps(couler.Step{Python: c.body}))})
			if got.code != c.code || !strings.Contains(got.output, c.output) {
				t.Errorf("got %+v, want %d and %q", got, c.code, c.output)
			}
		})
	}
}

func TestAProgramTakesCredentialsFromItsEnvironment(t *testing.T) {
	t.Parallel()
	const secret = "mysql://root:hunter2@tcp(h)/"
	show := "import os\nprint(os.environ['SQLFLOW_DATASOURCE'], os.environ['SQLFLOW_USER_ID'])"
	env := []couler.EnvVar{{Name: "SQLFLOW_DATASOURCE", Hidden: secret}, {Name: "SQLFLOW_USER_ID", Value: "al'ice\n$HOME \u00e9"}}
	w := steps(couler.Step{Python: show, Env: env}, couler.Step{Python: "import os\nprint('SQLFLOW_USER_ID' in os.environ)"})
	file := pythonFile(t, w)
	if strings.Contains(readFile(t, file), "hunter2") {
		t.Error("the program holds the credential")
	}
	if got := execute(t, t.TempDir(), []string{"python3", file}); got.code != 2 || got.output != "set these variables first: SQLFLOW_DATASOURCE\n" {
		t.Errorf("without the variable: %+v", got)
	}
	want := "[1/2] s1\n" + secret + " al'ice\n$HOME é\n[2/2] s2\nFalse\n"
	if got := execute(t, t.TempDir(), []string{"python3", file}, "SQLFLOW_DATASOURCE="+secret); got.code != 0 || got.output != want {
		t.Errorf("got %+v, want %q", got, want)
	}
	w.Secret = ""
	if got := execute(t, t.TempDir(), []string{"python3", pythonFile(t, w)}); got.code != 0 || got.output != want {
		t.Errorf("with the credential inside: %+v, want %q", got, want)
	}
}

// All steps have the one environment of the program; a second secret of a name would
// silently be the first.
func TestAProgramHasOneSecretOfAName(t *testing.T) {
	t.Parallel()
	env := func(e couler.EnvVar) couler.Step {
		e.Name = "A"
		return couler.Step{SQL: "SELECT 1;", Env: []couler.EnvVar{e}}
	}
	db, other := couler.SecretKey{Name: "db", Key: "a"}, couler.SecretKey{Name: "other", Key: "a"}
	for _, c := range []struct {
		name   string
		a, b   couler.EnvVar
		secret string
		good   bool
	}{
		{"two values", couler.EnvVar{Hidden: "x"}, couler.EnvVar{Hidden: "y"}, "secret", false},
		{"two values that may be told", couler.EnvVar{Hidden: "x"}, couler.EnvVar{Hidden: "y"}, "", true},
		{"one value", couler.EnvVar{Hidden: "x"}, couler.EnvVar{Hidden: "x"}, "secret", true},
		{"one value of two secrets", couler.EnvVar{Hidden: "x", From: db}, couler.EnvVar{Hidden: "x", From: other}, "secret", true},
		{"two secrets", couler.EnvVar{From: db}, couler.EnvVar{From: other}, "secret", false},
		{"one secret", couler.EnvVar{From: db}, couler.EnvVar{From: db}, "secret", true},
		{"a value and a secret", couler.EnvVar{Hidden: "x"}, couler.EnvVar{From: db}, "secret", false},
		{"an empty value and a secret", couler.EnvVar{From: other, Empty: true}, couler.EnvVar{From: db}, "secret", false},
		{"a value and an empty one", couler.EnvVar{Hidden: "x"}, couler.EnvVar{From: db, Empty: true}, "secret", false},
		{"two empty values", couler.EnvVar{From: other, Empty: true}, couler.EnvVar{From: db, Empty: true}, "secret", true},
		{"a secret and what is none", couler.EnvVar{Hidden: "x"}, couler.EnvVar{Value: "y"}, "secret", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := steps(env(c.a), env(couler.EnvVar{Value: "1"}), env(c.b))
			w.Secret = c.secret
			const want = "step s3: environment variable A is another secret than in step s1; a Python program takes both from its one environment"
			if _, err := w.Emit(couler.Python); c.good && err != nil || !c.good && (err == nil || err.Error() != want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAProgramCallsStepsInAnOrderThatTheirDependenciesAllow(t *testing.T) {
	t.Parallel()
	w := steps(couler.Step{Python: "print('one')", After: []string{"s3"}}, couler.Step{Python: "print('two')", After: []string{}}, couler.Step{Python: "print('three')", After: []string{}})
	got := execute(t, t.TempDir(), []string{"python3", pythonFile(t, w)})
	if want := "[1/3] s2\ntwo\n[2/3] s3\nthree\n[3/3] s1\none\n"; got.output != want {
		t.Errorf("got %q, want %q", got.output, want)
	}
}

func TestAProgramThatTakesTooLongIsStopped(t *testing.T) {
	t.Parallel()
	w := steps(couler.Step{Command: []string{"sleep", "60"}}, couler.Step{Python: "print('never')"})
	w.Timeout = time.Second
	if got := execute(t, t.TempDir(), []string{"python3", pythonFile(t, w)}); got.code != 124 || strings.Contains(got.output, "never") {
		t.Errorf("got %+v", got)
	}
}

// leavesBehind is a step whose own process has another one do the work: one that would
// make the file, and until then holds the standard output.
func leavesBehind(file string) couler.Step {
	return couler.Step{Command: []string{"sh", "-c", `(echo begun; sleep 3; echo done > "$0") & wait`, file}}
}

func TestWhatAStepHasStartedIsEndedWithIt(t *testing.T) {
	t.Parallel()
	for _, python := range pythons(t) {
		t.Run(filepath.Base(python), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "file")
			step := leavesBehind(file)
			step.Timeout, step.Retries = time.Second, 1
			// The output ends when the last process is gone that has it.
			got := execute(t, t.TempDir(), []string{python, pythonFile(t, steps(step))})
			if got.code != 124 {
				t.Errorf("got %+v", got)
			}
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the step went on: %v", err)
			}
		})
	}
}

func TestAStepThatDoesNotListenIsEndedByForce(t *testing.T) {
	t.Parallel()
	step := couler.Step{Command: []string{"sh", "-c", "trap '' TERM; echo begun; sleep 60"}, Timeout: time.Second}
	begun := time.Now()
	got := execute(t, t.TempDir(), []string{"python3", pythonFile(t, steps(step))})
	if took := time.Since(begun); got.code != 124 || took > 30*time.Second {
		t.Errorf("after %s got %+v", took, got)
	}
}

func TestASignalEndsTheProgramAndItsStep(t *testing.T) {
	t.Parallel()
	// Who ignores signals, as under nohup(1), has the programs that he starts ignore them too.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP, syscall.SIGINT)
	t.Cleanup(func() { signal.Stop(heard) })
	for number, interpreters := range map[syscall.Signal][]string{
		syscall.SIGTERM: pythons(t), syscall.SIGINT: {python3()}, syscall.SIGHUP: {python3()},
	} {
		for _, python := range interpreters {
			t.Run(fmt.Sprint(filepath.Base(python), " ", number), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "file")
				step := leavesBehind(file)
				step.Retries = 1
				w := steps(step)
				w.OnExit = &couler.Step{Name: "last", Image: "image", Command: []string{"echo", "last"}}
				cmd := exec.Command(python, pythonFile(t, w))
				pipe, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				out := bufio.NewReader(pipe)
				if line, err := out.ReadString('\n'); line != "begun\n" {
					t.Errorf("it said %q, %v", line, err)
				}
				if err := cmd.Process.Signal(number); err != nil {
					t.Error(err)
				}
				rest, err := io.ReadAll(out) // to the end of the last process
				if err != nil || len(rest) > 0 {
					t.Errorf("it also said %q, %v", rest, err)
				}
				if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 128+int(number) {
					t.Errorf("it ended with %v, want %d", err, 128+int(number))
				}
				if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the step went on: %v", err)
				}
			})
		}
	}
}
