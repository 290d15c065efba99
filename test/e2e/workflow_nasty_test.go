package e2e_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/test/images"
)

// nasty is text that Argo, Tekton, the kubelet, a shell, Python, YAML or SQL
// would like to change on its way to a step.
func nasty() []string {
	return []string{
		"{{x}}", "{{=1+1}}", "{{workflow.name}}", "{{= workflow.name }}", "{{inputs.parameters.x}}", "{{", "}} {{item}}", "{ {",
		`{{=sprig.env("HOME")}}`, "{{workflow.status}}",
		"$(params.x)", "$(params['x'])", "$(context.taskRun.name)", "$(tasks.status)", "$(results.x.path)", "$(workspaces.w.path)",
		"$(date)", "$(HOSTNAME)", "$(SQLFLOW_DATASOURCE)", "$(PATH)", "$", "$$", "$$$", "$$(params.x)", "$$$(HOSTNAME)",
		"$HOME", "${HOME}", "${sql%.}", "$(", "$()", `\$(HOSTNAME)`, "`date`", "!!", "!-1",
		"'", "''", "'''", `"`, `""`, `"""`, `"'"`, "`", "a 'b' \"c\" `d`", `\`, `\\`, `a\`, "a\\\nb", `\n \t \r \0 \x41 \u0041`,
		"two\nlines", "\n\naround\n\n", "\n", " ", "  blanks  ", "tab\t", "\ttab", "cr\r\n\r", "x\n\tx\n  x\n\n x",
		"中文 ünï 😀", "e\u0301", "\u0085 \u2028 \u2029 \u00a0 \ufeff \u202e", "\x1b[31m\x07\x7f\x01\b",
		"%s %d %%", "-e", "--", "# no comment", "-- no comment", "/* no comment */", "; no end", "EOF\nEOF", "|", ">-", "&a *a", "!!binary eA==",
		"null", "~", "true", "no", "0x10", "1e3", "- a: b", "{a: b}", "[a]", "<div>", "&amp;",
	}
}

// plain says whether a text may stand in the YAML as it is, for texts that may
// take another way than those that may not.
func plain(text string) bool {
	return !strings.ContainsAny(text, "$\r\u0085\u2028\u2029\u00a0\ufeff\u202e\x1b\x07\x7f\x01\b") &&
		!strings.Contains(text, "{{") && !strings.Contains(text, "}}")
}

// literal writes a text as a string of MariaDB.
func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Every text is inserted by a statement and read back from the table; and it is
// given to a Python step and to a command, which tell what they got in base64.
func nastyTexts(t *testing.T, s *scene) {
	var rows [2][]string // of the texts that are plain, and of the others
	for i, text := range nasty() {
		row := fmt.Sprintf("(%d, %s)", i, literal(text))
		if plain(text) {
			rows[0] = append(rows[0], row)
		} else {
			rows[1] = append(rows[1], row)
		}
	}
	program := "CREATE TABLE got (i INT PRIMARY KEY, text LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin);\n" +
		"INSERT INTO got VALUES " + strings.Join(rows[0], ",\n  ") + ";\n" +
		"INSERT INTO got VALUES " + strings.Join(rows[1], ",\n  ") + ";"
	w, err := couler.Compile(program, s.session(), s.options())
	if err != nil {
		t.Fatal(err)
	}
	const tell = "import base64, sys\nfor a in sys.argv[1:]: print(base64.b64encode(a.encode('utf-8', 'surrogateescape')).decode())"
	w.Steps = append(w.Steps,
		couler.Step{Name: "python", Image: images.StepName, Python: "import base64\nfor text in " + pythonList(nasty()) + ":\n" +
			"    print(base64.b64encode(text.encode()).decode())\n"},
		couler.Step{Name: "command", Image: images.StepName, Command: append([]string{"python3", "-c", tell}, nasty()...)},
	)
	r := s.submit(t, w)
	r.succeeded(t)
	for i, text := range nasty() {
		if got := s.data.one(t, "SELECT HEX(text) FROM got WHERE i = ?", i); got != strings.ToUpper(hex.EncodeToString([]byte(text))) {
			read, _ := hex.DecodeString(got)
			t.Errorf("the statement's %q arrived as %q", text, read)
		}
	}
	for _, step := range []string{"python", "command"} {
		said(t, step, r.log(t, step), nasty())
	}
}

// Every text, as the value of an environment variable, is the same to a step.
func nastyEnvironment(t *testing.T, s *scene) {
	var env []couler.EnvVar
	var want []string
	for i, text := range nasty() {
		env = append(env, couler.EnvVar{Name: fmt.Sprintf("NASTY_%03d", i), Value: text})
		want = append(want, text)
	}
	const tell = "import base64, os\n" +
		"for name in sorted(n for n in os.environb if n.startswith(b'NASTY_')): print(base64.b64encode(os.environb[name]).decode())"
	r := s.submit(t, &couler.Workflow{
		Name: "environment-", Namespace: s.namespace, Secret: "environment",
		Steps: []couler.Step{{Name: "tell", Image: images.StepName, Command: []string{"python3", "-c", tell}, Env: env}},
	})
	r.succeeded(t)
	said(t, "tell", r.log(t, "tell"), want)
}

// said compares what a step told, a line of base64 each, with the texts.
func said(t *testing.T, step, log string, want []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("step %s told %d texts, want %d:\n%s", step, len(lines), len(want), log)
	}
	for i, line := range lines {
		if got, err := base64.StdEncoding.DecodeString(line); err != nil || string(got) != want[i] {
			t.Errorf("%q arrived in step %s as %q (%v)", want[i], step, got, err)
		}
	}
}

// pythonList writes texts as a list of Python's strings, every text as it is
// but for what a Python string cannot hold.
func pythonList(texts []string) string {
	var list []string
	for _, text := range texts {
		text = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(text)
		list = append(list, `"`+text+`"`)
	}
	return "[" + strings.Join(list, ", ") + "]"
}
