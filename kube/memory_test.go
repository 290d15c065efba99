package kube_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
)

// Not parallel: it weighs the heap of the whole process.
func TestThousandsOfDatabasesAreLight(t *testing.T) {
	const many, most = 2000, 8 << 20
	dir := t.TempDir()
	pod, err := os.ReadFile("testdata/pod.json")
	must(t, err)
	write := func(file string, item func(name string) string) {
		var list bytes.Buffer
		list.WriteString(`{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[`)
		for i := range many {
			if i > 0 {
				list.WriteByte(',')
			}
			list.WriteString(item(fmt.Sprintf("user%d", i)))
		}
		list.WriteString("]}")
		must(t, os.WriteFile(filepath.Join(dir, file), list.Bytes(), 0o600))
	}
	write("pods", func(user string) string { return string(bytes.ReplaceAll(pod, []byte("NAME"), []byte(user))) })
	write("leases", func(user string) string { return lease(playground.User(user).Name(), user, "") })
	write("services", func(user string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"annotations":{"sqlflow.org/user":%q}},"spec":{"clusterIP":"10.96.0.1"}}`, playground.User(user).Name(), user)
	})
	program := filepath.Join(dir, "kubectl")
	must(t, os.WriteFile(program, []byte(`#!/bin/sh
case "$*" in
*watch=1*) exec sleep 3600 ;;
*/pods*) exec cat `+dir+`/pods ;;
*/leases*) exec cat `+dir+`/leases ;;
*/services*) exec cat `+dir+`/services ;;
esac
`), 0o700))

	b := onFake(t)
	b.options = kube.RunnerOptions{Path: program}
	before := heap()
	w := b.watch(b.cluster())
	w.until("the first list", func() bool { return w.synced == 1 && len(w.all) == many })
	if db := w.is("user7", playground.Ready); db.Address != "10.96.0.1:3306" {
		t.Errorf("there is %+v", db)
	}
	used := heap() - before
	t.Logf("%d databases take %d KiB, the observer's copy included", many, used>>10)
	if used > most {
		t.Errorf("more than %d KiB", most>>10)
	}
	runtime.KeepAlive(w)
}

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
