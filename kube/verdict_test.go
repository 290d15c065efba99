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
		unsure       bool
	}{
		{"image does not exist", waiting("ErrImagePull", `failed to pull image "a/b": not found`), playground.Failed, `ErrImagePull: failed to pull image "a/b": not found`, false},
		{"image is private", waiting("ErrImagePull", "pull access denied, repository does not exist or may require authorization"), playground.Failed, "access denied", false},
		{"registry does not resolve", waiting("ErrImagePull", "dial tcp: lookup registry.example.org: no such host"), playground.Failed, "no such host", false},
		{"registry hiccups", waiting("ErrImagePull", "net/http: TLS handshake timeout"), playground.Starting, "ErrImagePull: net/http: TLS handshake timeout", false},
		{"registry hiccups for long", waiting("ImagePullBackOff", `Back-off pulling image "a/b"`), playground.Failed, "ImagePullBackOff", false},
		{"image name", waiting("InvalidImageName", "couldn't parse image name"), playground.Failed, "InvalidImageName", false},
		{"image never pulled", waiting("ErrImageNeverPull", "not present with pull policy of Never"), playground.Failed, "ErrImageNeverPull", false},
		{"secret missing", waiting("CreateContainerConfigError", `secret "x" not found`), playground.Failed, `secret "x" not found`, false},
		{"secret not read yet", waiting("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"), playground.Starting, "failed to sync", false},
		{"container cannot be made", waiting("CreateContainerError", "no such device"), playground.Failed, "no such device", true},
		{"container cannot run", waiting("RunContainerError", `exec: "mysqlx": executable file not found`), playground.Failed, "mysqlx", true},
		{"crash loop", waiting("CrashLoopBackOff", "back-off 10s restarting failed container", `,"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}`), playground.Failed, "CrashLoopBackOff: container mysql ended with exit code 137 (OOMKilled)", false},
		{"crashed often", `{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"mysql","image":"i","imageID":"","ready":false,"restartCount":3,"state":{"running":{}},"lastState":{"terminated":{"exitCode":1,"reason":"Error","message":"no space left"}}}]}`, playground.Failed, "exit code 1 (Error: no space left)", false},
		{"crashed once", `{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"mysql","image":"i","imageID":"","ready":false,"restartCount":1,"state":{"running":{}},"lastState":{"terminated":{"exitCode":1}}}]}`, playground.Starting, "", false},
		{"evicted", `{"phase":"Failed","reason":"Evicted","message":"The node was low on resource: memory."}`, playground.Failed, "Evicted: The node was low on resource: memory.", false},
		{"ended", `{"phase":"Succeeded","containerStatuses":[{"name":"mysql","image":"i","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]}`, playground.Failed, "exit code 0 (Completed)", false},
		{"ended without a word", `{"phase":"Failed"}`, playground.Failed, "the pod has ended: Failed", false},
		{"no node fits", unschedulable, playground.Failed, "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.", true},
		{"volume not bound yet", `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."}]}`, playground.Starting, "unbound", false},
		{"init container", `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True"}],"initContainerStatuses":[{"name":"init","image":"i","imageID":"","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ErrImageNeverPull","message":"x"}}}]}`, playground.Failed, "ErrImageNeverPull: x", false},
		{"being made", waiting("ContainerCreating", ""), playground.Starting, "ContainerCreating", false},
		{"ready", readyStatus, playground.Ready, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := onFake(t)
			c := b.cluster()
			must(t, c.Claim(t.Context(), "ada", "", at))
			must(t, c.Start(t.Context(), "ada"))
			b.status("ada", test.status)
			db, err := c.Get(t.Context(), "ada")
			must(t, err)
			if db.Unsure != test.unsure {
				t.Errorf("unsure is %v, want %v", db.Unsure, test.unsure)
			}
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
	must(t, c.Claim(t.Context(), "ada", "", at))
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
	must(t, c.Claim(t.Context(), "ada", "", at))
	must(t, c.Start(t.Context(), "ada"))
	b.ready("ada")
	w.is("ada", playground.Ready)
	b.status("ada", `{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[{"name":"mysql","restartCount":9,"state":{"running":{}},"lastState":{"terminated":{"exitCode":1}}}]}`)
	w.is("ada", playground.Starting)
	b.status("ada", waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container"))
	w.is("ada", playground.Failed)
}
