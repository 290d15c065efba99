package couler

import (
	"encoding/base64"
	"fmt"
	"path"
	"strings"
	"time"

	"sqlflow.org/sqlflow_playground/couler/quote"
)

// MaxArgument is the most bytes that Linux takes in one argument or one
// environment variable: MAX_ARG_STRLEN, 32 pages, less the NUL byte at the end.
const MaxArgument = 32*4096 - 1

// Argv gives the argument vector that a step's container runs. Nothing in it
// is rewritten by Argo, Tekton or the kubelet, and what the step was given
// arrives byte for byte; ParseArgv is its inverse.
//
// A SQL step is bash -c 'step -e "..."', as in SQLFlow. The log file and the
// wait of the workflow apply to SQL and Python steps, and need bash; the exit
// code of a step is kept, and a failing one waits too.
func (w *Workflow) Argv(s *Step) []string {
	switch {
	case s.SQL != "":
		return []string{"bash", "-c", w.attend(sqlScript(s.SQL))}
	case s.Python != "":
		argv := []string{"python3", "-c", pythonProgram(s.Name, s.Python)}
		if w.LogFile == "" && w.ExitWait == 0 {
			return argv
		}
		return []string{"bash", "-c", w.attend(argvScript(argv))}
	}
	for _, a := range s.Command {
		if !quote.Plain(a) {
			return []string{"sh", "-c", argvScript(s.Command)}
		}
	}
	return s.Command
}

// SQLCommand is the command of a SQL step as people are shown it: what Argv gives, with
// nothing of the statement encoded for an engine.
func SQLCommand(sql string) []string {
	return []string{"bash", "-c", stepProgram + quote.Bash(sql)}
}

// ParseArgv reads what Argv writes: the SQL, Python or Command of a step. Any
// other argument vector is a command.
func ParseArgv(argv []string) Step {
	if len(argv) == 3 && argv[1] == "-c" {
		switch argv[0] {
		case "bash":
			script := unattend(argv[2])
			if sql, ok := parseSQLScript(script); ok {
				return Step{SQL: sql}
			}
			if argv, ok := parseArgvScript(script); ok && len(argv) == 3 && argv[0] == "python3" {
				return ParseArgv(argv)
			}
		case "sh":
			if argv, ok := parseArgvScript(argv[2]); ok {
				return Step{Command: argv}
			}
		case "python3":
			if body, ok := parsePythonProgram(argv[2]); ok {
				return Step{Python: body}
			}
		}
	}
	return Step{Command: argv}
}

const stepProgram = "step -e "

func sqlScript(sql string) string {
	if quote.Plain(sql) {
		return stepProgram + quote.Bash(sql)
	}
	return quote.BashVariable("sql", sql) + ` && ` + stepProgram + `"${sql%.}"`
}

func parseSQLScript(script string) (string, bool) {
	if word, found := strings.CutPrefix(script, stepProgram); found {
		sql, rest, ok := quote.FromBash(word)
		return sql, ok && rest == "" && sqlScript(sql) == script
	}
	sql, _, ok := quote.FromBashVariable("sql", script)
	return sql, ok && sqlScript(sql) == script
}

// argvScript writes an argument vector for sh. What is not plain goes through a
// variable of its own.
func argvScript(argv []string) string {
	var variables, words []string
	for _, a := range argv {
		if quote.Plain(a) {
			words = append(words, quote.Bash(a))
			continue
		}
		name := fmt.Sprintf("a%d", len(variables)+1)
		variables = append(variables, quote.BashVariable(name, a))
		words = append(words, `"${`+name+`%.}"`)
	}
	return strings.Join(append(variables, "exec "+strings.Join(words, " ")), " && ")
}

func parseArgvScript(script string) (argv []string, ok bool) {
	rest := script
	var variables []string
	for {
		name := fmt.Sprintf("a%d", len(variables)+1)
		text, after, ok := quote.FromBashVariable(name, rest)
		if !ok {
			break
		}
		variables = append(variables, text)
		rest = strings.TrimPrefix(after, " && ")
	}
	rest, ok = strings.CutPrefix(rest, "exec ")
	for used := 0; ok && rest != ""; {
		if after, found := strings.CutPrefix(rest, fmt.Sprintf(`"${a%d%%.}"`, used+1)); found && used < len(variables) {
			argv, rest = append(argv, variables[used]), after
			used++
		} else {
			var word string
			word, rest, ok = quote.FromBash(rest)
			argv = append(argv, word)
		}
		rest = strings.TrimPrefix(rest, " ")
	}
	return argv, ok && argvScript(argv) == script
}

// Parts of the script around a step, from SQLFlow's step template
// (go/codegen/experimental/codegen_couler.go).
const (
	initScript = "if [[ -f /opt/sqlflow/init_step_container.sh ]]; then bash /opt/sqlflow/init_step_container.sh; fi || exit\n"
	beforeStep = "set -o pipefail\n( "
	afterStep  = " ) 2>&1 | tee "
	keepExit   = "\nexit_code=$?\nsleep "
	leave      = "\nexit $exit_code"
)

// attend puts the log file and the wait around a script. With pipefail the
// exit code is the step's and not tee's.
func (w *Workflow) attend(script string) string {
	if w.LogFile != "" {
		script = initScript + "mkdir -p " + quote.Bash(path.Dir(w.LogFile)) + " || exit\n" +
			beforeStep + script + afterStep + quote.Bash(w.LogFile)
	} else if w.ExitWait > 0 {
		script = "( " + script + " )"
	}
	if w.ExitWait > 0 {
		script += keepExit + fmt.Sprint(seconds(w.ExitWait)) + leave
	}
	return script
}

// unattend gives the script of which attend made this one.
func unattend(script string) string {
	rest := script
	waits := strings.HasSuffix(rest, leave)
	if waits {
		if at := strings.LastIndex(rest, keepExit); at >= 0 {
			rest = rest[:at]
		}
	}
	if after, found := strings.CutPrefix(rest, initScript); found {
		_, after, found = strings.Cut(after, beforeStep)
		if at := strings.LastIndex(after, afterStep); found && at >= 0 {
			return after[:at]
		}
	}
	if waits && strings.HasPrefix(rest, "( ") && strings.HasSuffix(rest, " )") {
		return rest[2 : len(rest)-2]
	}
	return script
}

// seconds rounds up, for a bound must not be tighter than asked.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// pythonProgram makes a function body a program for python3 -c. A body that can
// be indented without changing it is readable; any other is carried as base64
// and put into its function as a syntax tree, so that strings of several lines
// keep their text and "return" its meaning.
func pythonProgram(name, body string) string {
	if text, ok := indented(body); ok && quote.Plain(body) {
		return pythonHead + name + "\"\"\"\n" + text + pythonCall
	}
	return fmt.Sprintf(pythonTree, base64.StdEncoding.EncodeToString([]byte(body)), name)
}

const (
	pythonHead = "def step_entry():\n    \"\"\""
	pythonCall = "\n\nstep_entry()\n"
	pythonTree = `import ast, base64
body = ast.parse(base64.b64decode("%s").decode()).body
step = ast.parse("def step_entry(): pass")
step.body[0].body += body
exec(compile(step, "%s", "exec"))
step_entry()
`
)

func parsePythonProgram(text string) (body string, ok bool) {
	if rest, found := strings.CutPrefix(text, pythonHead); found {
		name, rest, _ := strings.Cut(rest, "\"\"\"\n")
		rest, found = strings.CutSuffix(rest, pythonCall)
		if !found {
			return "", false
		}
		lines := strings.Split(rest, "\n")
		for i, line := range lines {
			lines[i] = strings.TrimPrefix(line, pythonIndent)
		}
		body = strings.Join(lines, "\n")
		return body, pythonProgram(name, body) == text
	}
	var payload, name string
	head, tail, found := strings.Cut(pythonTree, "%s")
	rest, begins := strings.CutPrefix(text, head)
	if !found || !begins {
		return "", false
	}
	payload, rest, _ = strings.Cut(rest, `"`)
	_, rest, found = strings.Cut(rest, `exec(compile(step, "`)
	name, _, _ = strings.Cut(rest, `"`)
	b, err := base64.StdEncoding.Strict().DecodeString(payload)
	return string(b), found && tail != "" && err == nil && pythonProgram(name, string(b)) == text
}

const pythonIndent = "    "

// indented puts a body inside a function. It is not ok when that would change
// what the body means: a line that begins inside a string would be longer.
// Lines that hold nothing stay empty.
func indented(body string) (text string, ok bool) {
	if !quote.Printable(body) || strings.Contains(body, `"""`) || strings.Contains(body, "'''") || strings.Contains(body, "\\\n") {
		return "", false
	}
	lines := strings.Split(body, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = pythonIndent + line
		}
	}
	return strings.Join(lines, "\n"), true
}

// readable tells whether a body stands as it is in the step's command.
func readable(body string) bool {
	_, ok := indented(body)
	return ok && quote.Plain(body)
}
