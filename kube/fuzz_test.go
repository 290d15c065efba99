package kube

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// What kubectl prints is hostile: it must neither break us nor come out of an error as
// more than one line.
func FuzzStderr(f *testing.F) {
	f.Add("Error from server (AlreadyExists): error when creating \"STDIN\": pods \"a\" already exists\n")
	f.Add("The Pod \"a\" is invalid: \n* spec: x\n* spec: y")
	f.Add("error: \x00\r\n\u2028Unable to connect to the server: EOF")
	f.Fuzz(func(t *testing.T, stderr string) {
		e := &Error{Program: "kubectl", Args: []string{stderr}, Stderr: stderr, Err: context.Canceled}
		e.explain()
		if line := e.Error(); strings.ContainsAny(line, "\n\r\u2028\x1b") {
			t.Errorf("not one line: %q", line)
		}
		for _, c := range complaints(stderr) {
			c.aboutObject("Pod", "a")
			c.mayConcern("Pod")
		}
		document{kind: "Pod", name: "a"}.failure(e)
	})
}

func FuzzWatchLine(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"name":"sqlflow-mysql-a","annotations":{"sqlflow.org/user":"a"}},"status":{"phase":"Running"}}}`))
	f.Add([]byte(`{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410}}`))
	f.Add([]byte(`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7","creationTimestamp":null}}}`))
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"name":"sqlflow-spare-abcdefghij","annotations":{"sqlflow.org/user":"a"}}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		c := &Cluster{view: newView(false)}
		r := &reflector{
			keep: func(o *object) kept {
				k := kept{name: o.Metadata.Name}
				if user, ok := o.user("Pod"); ok {
					k.pieces = pieces{service: serviceOf(o, user), pod: podOf(o, user, nil, false), volume: volumeOf(o, user)}
				}
				if user, ok := o.user("Lease"); ok {
					k.record = recordOf(o, user)
				}
				return k
			},
			tell: func(_ context.Context, ch change) {
				if ch.one != nil {
					c.view.change(ch.one.name, func(p *pieces) { *p = ch.one.pieces })
				}
			},
		}
		r.event(t.Context(), line)
		c.view.all()
		decodeList(bytes.NewReader(line), func(*object) {})
	})
}
