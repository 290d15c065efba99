package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// podLogs is a kubectl that reads the logs of pods, all of which are there.
type podLogs func(ctx context.Context, pod string) (text string, err error)

func (podLogs) Run(_ context.Context, _ []byte, args ...string) ([]byte, error) {
	return []byte("pod/" + args[2]), nil
}

func (l podLogs) Stream(ctx context.Context, line func([]byte) error, args ...string) error {
	text, err := l(ctx, args[1])
	if err != nil {
		return err
	}
	return line([]byte(text))
}

// succeeded is a workflow of n steps s1, s2 and so on, that ran well in pods p1, p2 and so on.
func succeeded(t *testing.T, n int, logs podLogs) *found {
	t.Helper()
	p, err := makePrograms(boundKubectl(logs), []string{"argo"}, couler.Session{Namespace: "wf"}, couler.Options{}, nil, workflow.LogView{})
	if err != nil {
		t.Fatal(err)
	}
	status := &workflow.Status{Run: workflow.Run{Name: "w", Namespace: "wf", State: workflow.Succeeded}}
	for i := range n {
		status.Steps = append(status.Steps, workflow.Step{
			Name: fmt.Sprint("s", i+1), State: workflow.Succeeded, ID: fmt.Sprint(i + 1),
			Pod: fmt.Sprint("p", i+1), Container: "main", Begun: true,
		})
	}
	return &found{cluster: p.clusters[couler.Argo], status: status, user: "ann"}
}

// tellers are the steps that news tell to have succeeded.
func tellers(news handlers.WorkflowNews) []string {
	var steps []string
	for _, m := range news.Messages {
		if step, ok := strings.CutSuffix(m.Message, "] Status: Succeeded"); ok {
			steps = append(steps, strings.TrimPrefix(step, "SQLFlow Step: ["))
		}
	}
	return steps
}

// toTheEnd asks until all was told, and gives the steps that each answer told.
func toTheEnd(t *testing.T, w *found, each func(handlers.WorkflowNews)) (told [][]string) {
	t.Helper()
	cursor := ""
	for range 2 * len(w.status.Steps) {
		news, err := w.News(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		each(news)
		told = append(told, tellers(news))
		if news.EOF {
			return told
		}
		cursor = news.Cursor
	}
	t.Fatalf("there is no end: %q", told)
	return nil
}

func numbered(from, to, of int) (steps []string) {
	for i := from; i <= to; i++ {
		steps = append(steps, fmt.Sprintf("%d/%d", i, of))
	}
	return steps
}

func TestOneAnswerOfNewsIsNotTooLarge(t *testing.T) {
	t.Parallel()
	const steps, length = 20, 4_000_000
	row := `row:<data:<type_url:"type.googleapis.com/google.protobuf.StringValue" value:"\n\200\222\364\001` + strings.Repeat("x", length) + `" > >`
	w := succeeded(t, steps, func(context.Context, string) (string, error) { return row, nil })
	rows := 0
	told := toTheEnd(t, w, func(news handlers.WorkflowNews) {
		text, err := json.Marshal(news)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) >= 16<<20 {
			t.Errorf("an answer has %d bytes", len(text))
		}
		for _, m := range news.Messages {
			if len(m.Row) == 1 && len(m.Row[0].(string)) == length {
				rows++
			}
		}
	})
	if !slices.Equal(slices.Concat(told...), numbered(1, steps, steps)) || rows != steps {
		t.Errorf("%d rows were told, by %q", rows, told)
	}
}

func TestOneAnswerOfNewsDoesNotTakeTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const steps, each = 20, 4 * time.Second
		w := succeeded(t, steps, func(context.Context, string) (string, error) {
			<-time.After(each)
			return "", nil
		})
		since := time.Now()
		told := toTheEnd(t, w, func(handlers.WorkflowNews) {
			if took := time.Since(since); took > 30*time.Second {
				t.Errorf("an answer took %v", took)
			}
			since = time.Now()
		})
		if !slices.Equal(slices.Concat(told...), numbered(1, steps, steps)) {
			t.Errorf("%q were told", told)
		}
	})
}

// What was gathered before a trouble is told; the trouble when there is nothing else.
func TestNewsAreToldAsFarAsTheyGo(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(context.Context) error{
		"unreachable": func(context.Context) error {
			return &kube.Error{Reason: kube.Unreachable, Err: errors.New("exit status 1")}
		},
		"silent": func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			broken := true
			w := succeeded(t, 5, func(ctx context.Context, pod string) (string, error) {
				if broken && pod == "p3" {
					return "", trouble(ctx)
				}
				return "", nil
			})
			first, err := w.News(t.Context(), "")
			if err != nil || first.EOF || !slices.Equal(tellers(first), numbered(1, 2, 5)) || strings.Contains(linesOf(first), "[3/5]") {
				t.Errorf("%s: first was told %q, %v", name, linesOf(first), err)
			}
			if _, err := w.News(t.Context(), first.Cursor); code(err) != playground.Unavailable {
				t.Errorf("%s: and then %v", name, err)
			}
			broken = false
			rest, err := w.News(t.Context(), first.Cursor)
			if err != nil || !rest.EOF || !slices.Equal(tellers(rest), numbered(3, 5, 5)) {
				t.Errorf("%s: when it is over %q, %v", name, linesOf(rest), err)
			}
		})
	}
}
