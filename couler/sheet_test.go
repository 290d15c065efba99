package couler

import (
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestOnlyTextThatEveryYAMLReadsAsTextIsBare(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"a": true, "s1-normal": true, "sqlflow/sqlflow:step": true, "a.b/c_d@e": true, "A1": true, "a:b:c": true, "python3": true,
		"": false, "1a": false, "-c": false, "a:": false, "a::b": false, ":a": false, "a b": false, "a: b": false, "a#": false,
		"é": false, "aé": false, "true": false, "Yes": false, "NULL": false, "n": false, "off": false, "a\n": false,
	} {
		got, err := yamlValue(text)
		if err != nil || (got == text) != want {
			t.Errorf("%q is written %s (%v), want it bare: %v", text, got, err, want)
		}
		var back any
		if err := yaml.Unmarshal([]byte(got), &back); err != nil || back != text {
			t.Errorf("%s is read as %v, %v", got, back, err)
		}
	}
}

// FuzzYAMLValue reads back what the templates of YAML print.
func FuzzYAMLValue(f *testing.F) {
	for _, text := range []string{"a", "yes", "a:b", "a\n  b\n", "#", "{{x}}", "\x7f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "\ufffd")
		for _, indent := range [][]int{nil, {4}} {
			value, err := yamlValue(text, indent...)
			if err != nil {
				t.Fatal(err)
			}
			var back map[string]map[string]any
			source := "a:\n  b: " + value + "\n  c: 1\n"
			if err := yaml.Unmarshal([]byte(source), &back); err != nil || back["a"]["b"] != text || back["a"]["c"] != 1 {
				t.Errorf("%q is read as %v, %v:\n%s", text, back, err, source)
			}
		}
	})
}

// The limit is that of the API server but for its size, so that what is just under it need
// not be read back by the megabyte.
func TestCommentsAreNotSentAndSoNotCounted(t *testing.T) {
	t.Parallel()
	const limit = 10_000
	of := func(n int, sql string) *Workflow {
		w := &Workflow{Name: "w-", Secret: "secret"}
		for i := range n {
			w.Steps = append(w.Steps, Step{Name: stepLabel(i, "normal"), Line: i + 1, Image: "i", SQL: sql})
		}
		return w
	}
	for _, c := range []struct {
		name string
		emit func(w *Workflow, limit int) ([]byte, error)
		over string // the first step that is too much
	}{
		{"argo", (*Workflow).argo, "line 8: step s8-normal"}, // its list of steps comes first
		{"tekton", (*Workflow).tekton, "line 9: step s9-normal"},
	} {
		plain := strings.Repeat("x", 1000)
		if text, err := c.emit(of(7, plain), limit); err != nil || len(text) > limit {
			t.Errorf("%s: %d bytes, %v", c.name, len(text), err)
		}
		if _, err := c.emit(of(20, plain), limit); err == nil || !strings.HasPrefix(err.Error(), c.over+": with this step the workflow is too large: 2") {
			t.Errorf("%s: got %v", c.name, err)
		}
		// A third more in base64, and as much again in the comment.
		carried := of(7, "$"+strings.Repeat("x", 700))
		text, err := c.emit(carried, limit)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		sent := 0
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(strings.TrimSpace(line), "# $xxx") {
				sent += len(line)
			}
		}
		if len(text) <= limit || sent > limit {
			t.Errorf("%s: of %d bytes %d are sent: this shows nothing", c.name, len(text), sent)
		}
		if _, err := c.emit(carried, sent); err != nil {
			t.Errorf("%s: at the limit: %v", c.name, err)
		}
		if _, err := c.emit(carried, sent-1); err == nil {
			t.Errorf("%s: a byte over the limit, and no error", c.name)
		}
	}
}
