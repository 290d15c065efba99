package command

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// terminal understands what a screen writes, and fails the test at anything else.
type terminal struct {
	t    *testing.T
	rows []string
	at   int
}

func (v *terminal) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexAny(rest, "AJmlh")
			if end < 0 {
				v.t.Fatalf("a sequence without end: %q", text)
			}
			switch rest[end] {
			case 'A':
				n, err := strconv.Atoi(rest[:end])
				if err != nil || n > v.at {
					v.t.Fatalf("up %q from row %d", rest[:end], v.at)
				}
				v.at -= n
			case 'J':
				v.rows = v.rows[:v.at]
			}
			text = rest[end+1:]
			continue
		}
		switch r := text[0]; {
		case r == '\n':
			v.at++
		case r == '\r':
		case r < ' ':
			v.t.Fatalf("a control character reached the terminal: %q", text)
		default:
			end := strings.IndexAny(text, "\n\r\x1b")
			for len(v.rows) <= v.at {
				v.rows = append(v.rows, "")
			}
			v.rows[v.at] += text[:end]
			text = text[end:]
			continue
		}
		text = text[1:]
	}
	return len(p), nil
}

func TestScreenKeepsTheTableBelowTheLogs(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := begun
	v := &terminal{t: t}
	s := newScreen(v, func() time.Time { return now }, func() (int, int) { return 60, 10 })
	status := &workflow.Status{
		Run: workflow.Run{Name: "sqlflow-abcde", State: workflow.Running, Started: begun},
		Steps: []workflow.Step{
			{Name: "s1-normal", State: workflow.Running, Started: begun, Text: "SELECT 1\nFROM t;"},
			{Name: "s2-train", State: workflow.Pending, Text: "SELECT * FROM a_table_with_a_name_that_is_long TO TRAIN x;"},
		},
	}
	s.status(status)
	s.line("s1-normal", "one")
	now = now.Add(2 * time.Second)
	s.tick()
	s.line("s1-normal", "\x1b[2J a trick \x07\u202e")
	status = &workflow.Status{Run: status.Run, Steps: []workflow.Step{status.Steps[0], status.Steps[1]}}
	status.State, status.Finished = workflow.Failed, now
	status.Steps[0].State, status.Steps[0].Finished, status.Steps[0].Message = workflow.Failed, now, "exit\ncode 1"
	status.Steps[1].State = workflow.Skipped
	s.status(status)
	s.close()
	want := []string{
		"s1-normal | one",
		"s1-normal | \ufffd[2J a trick \ufffd\ufffd",
		"✗ sqlflow-abcde failed, 0 of 2 steps done, 2s",
		"  ✗ s1-normal  failed         2s  exit code 1",
		"  – s2-train   skipped         -  SELECT * FROM a_table_wit…",
	}
	if got := strings.Join(v.rows, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("the terminal shows\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestScreenShowsWhatMattersOfManySteps(t *testing.T) {
	t.Parallel()
	var steps []workflow.Step
	for i := range 100 {
		state := workflow.Succeeded
		switch {
		case i == 20:
			state = workflow.Failed
		case i >= 90 && i < 93:
			state = workflow.Running
		case i >= 93:
			state = workflow.Pending
		}
		steps = append(steps, workflow.Step{Name: fmt.Sprint("s", i), State: state})
	}
	shown, left := choose(steps, 6)
	if got, want := fmt.Sprint(shown, left), "[20 90 91 92 93 94] 94"; got != want {
		t.Errorf("%s is shown, want %s", got, want)
	}
	s := &screen{now: time.Now, last: &workflow.Status{Steps: steps}}
	for rows := 3; rows < 200; rows += 7 {
		if got := len(s.table(40, rows)); got > rows {
			t.Errorf("%d rows on a terminal of %d", got, rows)
		}
	}
}

func TestCutToColumns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"short": "short", "exactly t": "exactly t", "far too long a line": "far too l…", "中文字符宽度测试": "中文字符…", "": "",
	} {
		if got := cut(text, 10); got != want {
			t.Errorf("cut(%q) is %q, want %q", text, got, want)
		}
	}
}
