package kube_test

import (
	"fmt"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
)

// waiting is a container's state in a pod that has a node.
func waiting(reason, message string, more ...string) string {
	return fmt.Sprintf(`{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True"},{"type":"Ready","status":"False"}],
		"containerStatuses":[{"name":"mysql","image":"i","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":%q,"message":%q}}%s}]}`,
		reason, message, strings.Join(more, ""))
}

const unschedulable = `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes are available: 1 Insufficient cpu."}]}`

func TestHopelessPodsAreFailedWithKubernetesWords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, status string
		phase        playground.Phase
		reason       string
	}{
		{"image does not exist", waiting("ErrImagePull", `failed to pull image "a/b": not found`), playground.Failed, `ErrImagePull: failed to pull image "a/b": not found`},
		{"image is private", waiting("ErrImagePull", "pull access denied, repository does not exist or may require authorization"), playground.Failed, "access denied"},
		{"registry does not resolve", waiting("ErrImagePull", "dial tcp: lookup registry.example.org: no such host"), playground.Failed, "no such host"},
		{"registry hiccups", waiting("ErrImagePull", "net/http: TLS handshake timeout"), playground.Starting, "ErrImagePull: net/http: TLS handshake timeout"},
		{"registry hiccups for long", waiting("ImagePullBackOff", `Back-off pulling image "a/b"`), playground.Failed, "ImagePullBackOff"},
		{"image name", waiting("InvalidImageName", "couldn't parse image name"), playground.Failed, "InvalidImageName"},
		{"image never pulled", waiting("ErrImageNeverPull", "not present with pull policy of Never"), playground.Failed, "ErrImageNeverPull"},
		{"secret missing", waiting("CreateContainerConfigError", `secret "x" not found`), playground.Failed, `secret "x" not found`},
		{"secret not read yet", waiting("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"), playground.Starting, "failed to sync"},
		{"container cannot be made", waiting("CreateContainerError", "no such device"), playground.Failed, "no such device"},
		{"container cannot run", waiting("RunContainerError", `exec: "mysqlx": executable file not found`), playground.Failed, "mysqlx"},
		{"crash loop", waiting("CrashLoopBackOff", "back-off 10s restarting failed container", `,"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}`), playground.Failed, "CrashLoopBackOff: container mysql ended with exit code 137 (OOMKilled)"},
		{"crashed often", `{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"mysql","image":"i","imageID":"","ready":false,"restartCount":3,"state":{"running":{}},"lastState":{"terminated":{"exitCode":1,"reason":"Error","message":"no space left"}}}]}`, playground.Failed, "exit code 1 (Error: no space left)"},
		{"crashed once", `{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"mysql","image":"i","imageID":"","ready":false,"restartCount":1,"state":{"running":{}},"lastState":{"terminated":{"exitCode":1}}}]}`, playground.Starting, ""},
		{"evicted", `{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory."}`, playground.Failed, "Evicted: The node was low on resource: memory."},
		{"ended", `{"phase":"Succeeded","containerStatuses":[{"name":"mysql","image":"i","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}`, playground.Failed, "exit code 0 (Completed)"},
		{"ended without a word", `{"phase":"Failed"}`, playground.Failed, "the pod has ended: Failed"},
		{"no node fits", unschedulable, playground.Failed, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."},
		{"volume not bound yet", `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."}]}`, playground.Starting, "unbound"},
		{"init container", `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True"}],"initContainerStatuses":[{"name":"init","image":"i","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ErrImageNeverPull","message":"x"}}}]}`, playground.Failed, "ErrImageNeverPull: x"},
		{"being made", waiting("ContainerCreating", ""), playground.Starting, "ContainerCreating"},
		{"ready", readyStatus, playground.Ready, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			c := b.cluster()
			must(t, c.Claim(t.Context(), "ada", at))
			must(t, c.Start(t.Context(), "ada"))
			b.status("ada", test.status)
			db, err := c.Get(t.Context(), "ada")
			must(t, err)
			if db.Phase != test.phase || !strings.Contains(db.Reason, test.reason) || test.reason == "" && db.Reason != "" {
				t.Errorf("%s: %q, want %s: ... %q ...", db.Phase, db.Reason, test.phase, test.reason)
			}
		})
	}
}

func TestWaitForNodes(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster(func(o *kube.Options) { o.WaitForNodes = true })
	must(t, c.Claim(t.Context(), "ada", at))
	must(t, c.Start(t.Context(), "ada"))
	b.status("ada", unschedulable)
	db, err := c.Get(t.Context(), "ada")
	must(t, err)
	if db.Phase != playground.Starting || !strings.Contains(db.Reason, "Insufficient cpu") {
		t.Errorf("%s: %s", db.Phase, db.Reason)
	}
}

// MySQL that is killed now and then is started anew by the kubelet; only a loop is hopeless.
func TestRestartsOfADatabaseThatWasReady(t *testing.T) {
	t.Parallel()
	b := onFake(t)
	c := b.cluster()
	w := b.watch(c)
	must(t, c.Claim(t.Context(), "ada", at))
	must(t, c.Start(t.Context(), "ada"))
	b.ready("ada")
	w.is("ada", playground.Ready)
	b.status("ada", `{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"mysql","restartCount":9,"state":{"running":{}},"lastState":{"terminated":{"exitCode":1}}}]}`)
	w.is("ada", playground.Starting)
	b.status("ada", waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container"))
	w.is("ada", playground.Failed)
}
