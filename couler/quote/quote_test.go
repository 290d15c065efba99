package quote_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/couler/quote"
)

// nasty is text that somebody on the way to a step would like to change.
var nasty = []string{
	"",
	"SELECT 1;",
	"SELECT `a`, \"b\", 'c' FROM t WHERE d = \"it's\" -- $HOME \\ \\n\n;",
	"SELECT \\`$(date)\\`;",
	"a\\\nb", "\\", "\"", "`", "$", "$$", "$(", "!", "!!x",
	"{{workflow.name}} {{=1+1}} {{", "}}", "{ {", "{}", "$(params.x) $$(params.x) $(context.taskRun.name)",
	"\n\nleading and trailing\n\n", " blank ", "tab\there", "cr\r\nlf", "\r",
	"'''", `"""`, "'", "\x01\x1b[31m\x7f", "\u0085\u2028\u2029\ufeff\u00a0", "中文 ünï 😀", "\xff\xfe invalid \xc3(",
	"\ufffd", "a.\n.", "x", ".", "#", "# no comment", "- a", "? b", "a: b", "yes", "null", "~", "1e3", "0x10", "|-", "&a *b !!str",
	"line\n  indented\n\nempty above", "line \nblank before the line feed", " first\nsecond", "first\n\ttab",
}

func TestBashReadsTheWordAsTheTextItWas(t *testing.T) {
	t.Parallel()
	for _, text := range nasty {
		bash(t, text)
	}
}

func bash(t *testing.T, text string) {
	t.Helper()
	if got := run(t, "bash", "-c", "printf %s "+quote.Bash(text)); got != text {
		t.Errorf("bash read %q, want %q", got, text)
	}
	if got := run(t, "bash", "-c", quote.BashVariable("x", text)+` && printf %s "${x%.}"`); got != text {
		t.Errorf("bash read the variable as %q, want %q", got, text)
	}
	if back, rest, ok := quote.FromBash(quote.Bash(text) + " rest"); back != text || rest != " rest" || !ok {
		t.Errorf("FromBash(Bash(%q)) = %q, %q, %v", text, back, rest, ok)
	}
	if back, rest, ok := quote.FromBashVariable("x", quote.BashVariable("x", text)+" rest"); back != text || rest != " rest" || !ok {
		t.Errorf("FromBashVariable(BashVariable(%q)) = %q, %q, %v", text, back, rest, ok)
	}
}

func TestAVariableStopsTheCommandWhenBase64IsMissing(t *testing.T) {
	t.Parallel()
	script := "PATH=/nowhere; " + quote.BashVariable("x", "DROP TABLE t") + ` && echo ran "${x%.}"`
	cmd := exec.Command("bash", "-c", script)
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != 127 || len(out) != 0 {
		t.Errorf("without base64: exit code %d (%v), output %q; want 127 and nothing run", cmd.ProcessState.ExitCode(), err, out)
	}
}

func TestWhatCarriesTextIsItselfLeftAloneByEveryEngine(t *testing.T) {
	t.Parallel()
	for _, text := range nasty {
		carrier := quote.BashVariable("x", text) + ` && step -e "${x%.}"`
		for _, tag := range []string{"{{", "}}", "$(", "$$"} {
			if strings.Contains(carrier, tag) {
				t.Errorf("%q is carried by %q, which holds %q", text, carrier, tag)
			}
		}
	}
}

func TestFromBashRefusesWhatBashWouldExpand(t *testing.T) {
	t.Parallel()
	for _, script := range []string{``, `a`, `"a`, `"$a"`, "\"`a`\"", `"\a"`, `"\`} {
		if text, _, ok := quote.FromBash(script); ok {
			t.Errorf("FromBash(%q) = %q, want a refusal", script, text)
		}
	}
}

func TestPythonReadsTheLiteralAsTheTextItWas(t *testing.T) {
	t.Parallel()
	interpreter := startPython(t)
	for _, text := range nasty {
		interpreter.check(t, text)
	}
}

// python is a running interpreter that evaluates one expression after another;
// starting one for each would make the fuzzer crawl.
type python struct {
	in  io.Writer
	out *bufio.Reader
}

const evaluate = `
import sys
for line in sys.stdin.buffer:
    source = sys.stdin.buffer.read(int(line)).decode("utf-8")
    value = eval(source).encode("utf-8", "surrogateescape")
    sys.stdout.buffer.write(b"%d\n" % len(value) + value)
    sys.stdout.buffer.flush()
`

func startPython(t testing.TB) *python {
	cmd := exec.Command("python3", "-c", evaluate)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return &python{in: in, out: bufio.NewReader(out)}
}

func (p *python) eval(t *testing.T, source string) string {
	t.Helper()
	fmt.Fprintf(p.in, "%d\n%s", len(source), source)
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("python died on %q: %v", source, err)
	}
	length, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, length)
	if _, err := io.ReadFull(p.out, value); err != nil {
		t.Fatal(err)
	}
	return string(value)
}

func (p *python) check(t *testing.T, text string) {
	t.Helper()
	if got := p.eval(t, quote.Python(text)); got != text {
		t.Errorf("python read %q, want %q", got, text)
	}
	if got := p.eval(t, "(\n"+quote.PythonLines(text, "    ")+"\n)"); got != text {
		t.Errorf("python read the lines as %q, want %q", got, text)
	}
}

func TestYAMLIsReadAsTheTextItWas(t *testing.T) {
	t.Parallel()
	for _, text := range nasty {
		yamlText(t, text)
	}
}

func yamlText(t *testing.T, text string) {
	t.Helper()
	text = strings.ToValidUTF8(text, "\ufffd")
	var doc struct{ A map[string]any }
	source := "a:\n  b: " + quote.YAML(text, "    ") + "\n  c: 1\n"
	if err := yaml.Unmarshal([]byte(source), &doc); err != nil {
		t.Fatalf("%q became bad YAML %q: %v", text, source, err)
	}
	if doc.A["b"] != text || doc.A["c"] != 1 {
		t.Errorf("YAML was read as %q, want %q:\n%s", doc.A, text, source)
	}
}

func TestACommentStaysOnItsLines(t *testing.T) {
	t.Parallel()
	for _, text := range nasty {
		for _, line := range quote.Comment(text) {
			if strings.ContainsAny(line, "\n\r\u0085\u2028\u2029\x1b\x00") {
				t.Errorf("the comment on %q has the line %q", text, line)
			}
		}
	}
	got := strings.Join(quote.Comment("SELECT 1\r\n\tFROM t \x1b\xff\u2028;\n\n"), "|")
	if want := `SELECT 1|    FROM t \x1b\xff\u2028;`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                                   true,
		"SELECT 'a', \"b\", `c`\n\tFROM t;":  true,
		"{a} } { }, 中文 😀 \ufffd":             true,
		"{{":                                 false,
		"x}}":                                false,
		"$":                                  false,
		"\r\n":                               false,
		"\x00":                               false,
		"\x7f":                               false,
		"\u00a0":                             false,
		"\ufeff":                             false,
		"\xff":                               false,
		"{ { a } }":                          true,
		"WITH model.hidden_units = [10, 20]": true,
	} {
		if got := quote.Plain(text); got != want {
			t.Errorf("Plain(%q) = %v, want %v", text, got, want)
		}
	}
}

// The targets of the fuzzers run the real bash, the real python3 and the YAML
// parser.

func FuzzBash(f *testing.F) {
	for _, text := range nasty {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bash(t, strings.ReplaceAll(text, "\x00", "")) // a shell has no word with NUL
	})
}

func FuzzPython(f *testing.F) {
	for _, text := range nasty {
		f.Add(text)
	}
	interpreter := startPython(f)
	f.Fuzz(func(t *testing.T, text string) { interpreter.check(t, text) })
}

func FuzzYAML(f *testing.F) {
	for _, text := range nasty {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { yamlText(t, text) })
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, errors.String())
	}
	return string(out)
}
