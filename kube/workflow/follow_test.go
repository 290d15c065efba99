package workflow_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// slow is the try that runs in the capture "running".
func slow(t *testing.T, f *fake, engine couler.Engine, name string, tries *workflow.Tries) *workflow.Try {
	t.Helper()
	all := tries.Next(status(t, f, engine, name))
	i := slices.IndexFunc(all, func(try *workflow.Try) bool { return try.Step == "s2-slow" })
	if i < 0 {
		t.Fatalf("the tries are %v", all)
	}
	return all[i]
}

func status(t *testing.T, f *fake, engine couler.Engine, name string) *workflow.Status {
	t.Helper()
	s, err := cluster(t, f, engine).Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kubectl's streams end before the container does, and lose nothing by it (Kubernetes
// issue 115836).
func TestABrokenLogIsReadOn(t *testing.T) {
	broken := errors.New("unexpected EOF")
	const (
		a = "2026-11-23T17:19:29.100000000Z "
		b = "2026-11-23T17:19:30.200000000Z "
		c = "2026-11-23T18:19:30.300000000+01:00 " // the same day's summer time
	)
	for name, test := range map[string]struct {
		streams []string
		err     error // of all but the last
		want    string
	}{
		"exit code 0":             {streams: []string{a + "1\n", a + "1\n" + b + "2\n"}, want: "1|2|"},
		"an error":                {streams: []string{a + "1\n", a + "1\n" + b + "2\n"}, err: broken, want: "1|2|"},
		"no times":                {streams: []string{"1\n", "1\n2\n"}, err: broken, want: "1|2|"},
		"nothing new":             {streams: []string{a + "1\n", "", a + "1\n", b + "2\n"}, err: broken, want: "1|2|"},
		"rotated":                 {streams: []string{a + "1\n" + a + "2\n" + b + "3\n", c + "4\n"}, want: "1|2|3|4|"},
		"many at once":            {streams: []string{a + "1\n" + a + "2\n", a + "1\n" + a + "2\n" + a + "3\n" + c + "4\n"}, want: "1|2|3|4|"},
		"the same text":           {streams: []string{a + "x\n" + b + "x\n", b + "x\n" + c + "x\n"}, want: "x|x|x|"},
		"a line cut off":          {streams: []string{a + "1\n" + b + "lo", b + "long\n" + c + "4\n"}, err: broken, want: "1|lo|long|4|"},
		"empty lines":             {streams: []string{a + "\n" + a + "\n", a + "\n" + a + "\n" + b + "\n"}, want: "|||"},
		"the engine's own":        {streams: []string{a + "1\n" + b + "time=\"x\" argo=true\n", b + "time=\"x\" argo=true\n" + c + "2\n"}, want: "1|2|"},
		"times that go back":      {streams: []string{b + "1\n" + a + "2\n", b + "1\n" + a + "2\n"}, want: "1|2|"},
		"a kubelet with troubles": {streams: []string{a + "1\n", "unable to retrieve container logs\n", a + "1\n" + b + "2\n"}, want: "1|2|"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, workflowName := captured(t, couler.Argo, "running")
				var tries workflow.Tries
				try := slow(t, f, couler.Argo, workflowName, &tries)
				var since []string
				f.stream = func(args []string) (string, error) {
					since = append(since, option(args, "since-time"))
					if !slices.Contains(args, "--follow") || !slices.Contains(args, "--timestamps") {
						t.Errorf("kubectl was called with %q", args)
					}
					at := len(since) - 1
					if at < len(test.streams)-1 {
						return test.streams[at], test.err
					}
					// The last two are alike: the container ends, which is not
					// known before the first of them.
					f.turn(t, couler.Argo, "stopped", workflowName)
					tries.Next(status(t, f, couler.Argo, workflowName))
					return test.streams[len(test.streams)-1], nil
				}
				var got strings.Builder
				begun := time.Now()
				err := cluster(t, f, couler.Argo).Follow(t.Context(), try, func(line []byte) error {
					got.WriteString(string(line) + "|")
					return nil
				})
				if got.String() != test.want || err != nil {
					t.Errorf("the log is %q, %v, want %q", got.String(), err, test.want)
				}
				if len(since) != len(test.streams)+1 {
					t.Fatalf("kubectl was run %d times for %d streams", len(since), len(test.streams))
				}
				if since[0] != "" || name != "no times" && since[1] == "" {
					t.Errorf("kubectl was asked for what came since %q", since)
				}
				if d := time.Since(begun); d < time.Second || d > 10*time.Second {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// A stream that ends at once, again and again, is no busy loop, and one that only fails is
// given up.
func TestABrokenLogIsLeftAloneForAWhile(t *testing.T) {
	broken, refused := errors.New("unexpected EOF"), errors.New("forbidden")
	for name, test := range map[string]struct {
		stream     func(n int) (string, error)
		err        error
		least      time.Duration // until it is given up
		calls      int           // of kubectl logs, at most
		lineRefuse bool
	}{
		"quiet":               {stream: func(int) (string, error) { return "", nil }, err: context.DeadlineExceeded, least: time.Hour, calls: 370},
		"fails after a while": {stream: func(n int) (string, error) { return "1\n"[:2*max(0, 1-n)], broken }, err: broken, least: 2 * time.Minute, calls: 20},
		"fails slowly after a while": {stream: func(n int) (string, error) {
			if n > 0 {
				time.Sleep(30 * time.Second) // the API server cannot reach the kubelet
			}
			return "1\n"[:2*max(0, 1-n)], broken
		}, err: broken, least: 2 * time.Minute, calls: 6},
		"fails slowly at first": {stream: func(int) (string, error) { time.Sleep(30 * time.Second); return "", refused }, err: refused, calls: 1},
		"fails at first":        {stream: func(int) (string, error) { return "", refused }, err: refused, calls: 1},
		"nobody listens":        {stream: func(int) (string, error) { return "1\n", broken }, err: refused, calls: 1, lineRefuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, workflowName := captured(t, couler.Argo, "running")
				try := slow(t, f, couler.Argo, workflowName, &workflow.Tries{})
				calls := 0
				f.stream = func([]string) (string, error) {
					calls++
					return test.stream(calls - 1)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				begun := time.Now()
				err := cluster(t, f, couler.Argo).Follow(ctx, try, func([]byte) error {
					if test.lineRefuse {
						return refused
					}
					return nil
				})
				if !errors.Is(err, test.err) {
					t.Errorf("it ended with %v, want %v", err, test.err)
				}
				if took := time.Since(begun); took < test.least || took > test.least+time.Minute || calls > test.calls {
					t.Errorf("it ended after %v and %d kubectl, want %v and at most %d", took, calls, test.least, test.calls)
				}
			})
		})
	}
}

// A pod may be removed as soon as it has ended (Argo's podGC). What was read until then is
// the whole log, unless the stream broke.
func TestAPodThatGoesAfterItsLogWasRead(t *testing.T) {
	for name, broken := range map[string]error{"whole": nil, "broken": errors.New("unexpected EOF")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, workflowName := captured(t, couler.Argo, "running")
				var tries workflow.Tries
				try := slow(t, f, couler.Argo, workflowName, &tries)
				calls := 0
				f.stream = func(args []string) (string, error) {
					if calls++; calls > 1 {
						return "", errors.New("NotFound")
					}
					f.remove("pods", args[1])
					tries.Next(status(t, f, couler.Argo, workflowName))
					return "1\n", broken
				}
				err := cluster(t, f, couler.Argo).Follow(t.Context(), try, func([]byte) error { return nil })
				if lost := errors.Is(err, workflow.ErrNoLogs); lost != (broken != nil) || !lost && err != nil {
					t.Errorf("it ended with %v", err)
				}
			})
		})
	}
}

// What ended before it is followed is read once.
func TestALogThatIsWholeIsReadOnce(t *testing.T) {
	t.Parallel()
	for _, engine := range []couler.Engine{couler.Argo, couler.Tekton} {
		f, name := captured(t, engine, "steps")
		calls := map[string]int{}
		f.stream = func(args []string) (string, error) {
			calls[args[1]]++
			return "1\n", nil
		}
		var tries workflow.Tries
		all := tries.Next(status(t, f, engine, name))
		if len(all) != 3 || len(tries.Next(status(t, f, engine, name))) != 0 {
			t.Errorf("%s: there are %d tries, and then more", engine, len(all))
		}
		for _, try := range all {
			if err := cluster(t, f, engine).Follow(t.Context(), try, func([]byte) error { return nil }); err != nil {
				t.Errorf("%s: %v", engine, err)
			}
		}
		for pod, n := range calls {
			if n != 1 {
				t.Errorf("%s: the log of %s was read %d times", engine, pod, n)
			}
		}
	}
}
