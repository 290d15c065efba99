package command

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// tailed knows --tail, as kubectl logs does.
type tailed struct{ *objects }

func (o tailed) Stream(ctx context.Context, line func([]byte) error, args ...string) error {
	logs := o.logs
	for _, arg := range args {
		if number, ok := strings.CutPrefix(arg, "--tail="); ok {
			n, err := strconv.Atoi(number)
			if err != nil {
				return err
			}
			lines := strings.SplitAfter(strings.TrimSuffix(logs, "\n"), "\n")
			logs = strings.Join(lines[max(0, len(lines)-n):], "")
		}
	}
	return (&objects{logs: logs}).Stream(ctx, line, args...)
}

// What a step printed beyond the bound is not told, and that is: but what it says at its
// end of how it failed.
func TestNewsAreBounded(t *testing.T) {
	t.Parallel()
	const (
		row     = `row:<data:<type_url:"type.googleapis.com/proto.Row.Null" value:"" > >`
		failure = `message:<message:"no such table" >`
	)
	long := func(line string) string {
		line += strings.Repeat(" ", 1023-len(line)) + "\n"
		return strings.Repeat(line, 5<<10) // 5 MiB
	}
	for name, test := range map[string]struct {
		log        string
		rows       int
		more       bool
		errorsTold int
	}{
		"all of it":         {row + "\n" + failure + "\n", 1, false, 1},
		"more rows":         {long(row) + failure + "\n", mostLog >> 10, true, 1},
		"more of a run":     {long("epoch 1") + failure + "\n" + long("")[:50<<10], 0, true, 1},
		"told twice":        {failure + "\n" + long("epoch 1") + failure + "\n", 0, true, 1},
		"told at the start": {failure + "\n" + long("epoch 1"), 0, true, 1},
		"told nowhere":      {long("epoch 1"), 0, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, id := failedWorkflow(t, "ann")
			o.logs = test.log
			p, err := makePrograms(boundKubectl(tailed{o}), []string{"argo"}, couler.Session{Namespace: "wf"}, couler.Options{}, nil, workflow.LogView{Endpoint: "http://logs"})
			if err != nil {
				t.Fatal(err)
			}
			w, err := p.Find(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			for cursor, step := range map[string]string{"s1-first/Running": "[1/3]", "s2-fails/Running": "[2/3]"} {
				news, err := w.News(t.Context(), cursor)
				if err != nil {
					t.Fatal(err)
				}
				rows := 0
				for _, m := range news.Messages {
					if m.Row != nil {
						rows++
					}
				}
				told := linesOf(news)
				if rows < test.rows || step == "[2/3]" && rows != test.rows {
					t.Errorf("%s: %d rows, want %d", step, rows, test.rows)
				}
				note := "SQLFlow Step: " + step + " Output: ... there is more; this server shows the first 4 MiB; the whole log is at http://logs/workflows/wf/" + id
				if got := strings.Contains(told, note); got != test.more {
					t.Errorf("%s: that there is more was told: %t, want %t", step, got, test.more)
				}
				if step == "[2/3]" && (strings.Count(news.Error, "no such table") != test.errorsTold || !news.EOF) {
					t.Errorf("the error is %q, the end %t", news.Error, news.EOF)
				}
			}
		})
	}
}
