package kube_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
	"sqlflow.org/sqlflow_playground/kube/fakekubectl"
	"sqlflow.org/sqlflow_playground/templates"
)

func TestMain(m *testing.M) {
	if fakekubectl.Called() {
		os.Exit(fakekubectl.Main())
	}
	code := m.Run()
	if left := leftovers(); left != "" && code == 0 {
		fmt.Fprintln(os.Stderr, "after all tests there is still:\n"+left)
		code = 1
	}
	os.Exit(code)
}

// leftovers are child processes, and goroutines in this package's code, that outlive the
// tests by two seconds.
func leftovers() (left string) {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = children()
		stacks := make([]byte, 1<<20)
		for goroutine := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(goroutine, "sqlflow_playground/kube.") {
				left += goroutine + "\n"
			}
		}
		if left == "" {
			return ""
		}
	}
	return left
}

func children() (all string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(text), ") ") // after the name: state, parent
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			all += "child: " + string(text)
		}
	}
	return all
}

// bed is a cluster to test on, with the test in the role of scheduler and kubelet.
type bed struct {
	t         testing.TB
	namespace string
	options   kube.RunnerOptions
	fake      *fakekubectl.Folder // nil on a real cluster
}

// onFake is a bed without a cluster. Pods become ready when the test says so.
func onFake(t testing.TB) *bed {
	folder := fakekubectl.New(t)
	folder.Set(func(s *fakekubectl.Settings) { s.Manual = true })
	return &bed{t: t, namespace: fakekubectl.Namespace, fake: folder,
		options: kube.RunnerOptions{Path: folder.Kubectl, Environ: folder.Environ, Grace: 300 * time.Millisecond}}
}

// onBoth runs the test on the fake, and on the real cluster that
// PLAYGROUND_TEST_KUBECONFIG leads to, in a namespace of its own, which takes an
// administrator; pods there get a scheduler that does not exist.
func onBoth(t *testing.T, test func(*testing.T, *bed)) {
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		test(t, onFake(t))
	})
	t.Run("real", func(t *testing.T) {
		if os.Getenv("PLAYGROUND_TEST_KUBECONFIG") == "" {
			t.Skip("PLAYGROUND_TEST_KUBECONFIG names no real cluster; the fake was tried alone")
		}
		t.Parallel()
		test(t, onReal(t))
	})
}

// onReal is a namespace on the cluster that PLAYGROUND_TEST_KUBECONFIG leads to.
func onReal(t testing.TB) *bed {
	b := &bed{t: t, namespace: fmt.Sprintf("kube-test-%08x", rand.Uint32())}
	b.options = kube.RunnerOptions{Path: "kubectl", Kubeconfig: os.Getenv("PLAYGROUND_TEST_KUBECONFIG")}
	b.kubectl("create", "namespace", b.namespace)
	b.options.Namespace = b.namespace
	t.Cleanup(func() { b.kubectl("delete", "namespace", b.namespace, "--wait=false") })
	return b
}

func (b *bed) kubectl(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := kube.NewRunner(b.options).Run(ctx, nil, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// cluster is one more replica on the bed.
func (b *bed) cluster(change ...func(*kube.Options)) *kube.Cluster {
	b.t.Helper()
	set, err := templates.Load(b.templates())
	if err != nil {
		b.t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(testWriter{b.t})
	o := kube.Options{
		Runner: kube.NewRunner(b.options), Templates: set, Namespace: b.namespace, Log: log,
		Identity: fmt.Sprintf("replica-%08x", rand.Uint32()),
	}
	for _, f := range change {
		f(&o)
	}
	c, err := kube.New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	c.Hurry(30*time.Second, 200*time.Millisecond)
	return c
}

// templates keeps the real scheduler's hands off.
func (b *bed) templates() string {
	if b.fake != nil {
		return ""
	}
	dir := b.t.TempDir()
	text, err := os.ReadFile("../templates/mysql_pod.yaml")
	if err != nil {
		b.t.Fatal(err)
	}
	changed := strings.Replace(string(text), "\nspec:\n", "\nspec:\n  schedulerName: nobody\n", 1)
	if err := os.WriteFile(dir+"/mysql_pod.yaml", []byte(changed), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

const readyStatus = `{"phase":"Running","podIP":"10.9.8.7","podIPs":[{"ip":"10.9.8.7"}],"conditions":[{"type":"Ready","status":"True"}]}`

// status is what the kubelet would say of the user's pod.
func (b *bed) status(user playground.User, status string) {
	b.t.Helper()
	b.podStatus(user.Name(), status)
}

func (b *bed) podStatus(pod, status string) {
	b.t.Helper()
	b.podsStatus(status, pod)
}

// podsStatus is what the kubelet would say of all these pods.
func (b *bed) podsStatus(status string, pods ...string) {
	b.t.Helper()
	switch {
	case b.fake != nil:
		for _, pod := range pods {
			b.fake.Status(pod, status)
		}
	case len(pods) > 0:
		args := append([]string{"patch", "pod"}, pods...)
		b.kubectl(append(args, "--subresource=status", "--type=merge", "--patch={\"status\":"+status+"}")...)
	}
}

// listed are the names of the objects that a selector finds.
func (b *bed) listed(resource, selector string) (names []string) {
	b.t.Helper()
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	path := "/api/v1/namespaces/" + b.namespace + "/" + resource + "?" + url.Values{"labelSelector": {selector}}.Encode()
	if err := json.Unmarshal([]byte(b.kubectl("get", "--raw", path)), &list); err != nil {
		b.t.Fatal(err)
	}
	for _, o := range list.Items {
		names = append(names, o.Metadata.Name)
	}
	return names
}

func (b *bed) ready(user playground.User) { b.t.Helper(); b.status(user, readyStatus) }

// finish ends a pod that is being deleted, as the kubelet would. A real API server does
// that by itself for pods that are on no node.
func (b *bed) finish(user playground.User) {
	b.t.Helper()
	b.finishPod(user.Name())
}

func (b *bed) finishPod(name string) {
	b.t.Helper()
	if b.fake != nil {
		b.fake.Gone("pods", name)
	}
}

// bind gives a claim a volume, as a provisioner would. The fake's claims are bound at once.
func (b *bed) bind(claim string) {
	b.t.Helper()
	if b.fake != nil {
		return
	}
	name := b.namespace + "-" + claim
	b.put(fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":%q},"spec":{"capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],
		"hostPath":{"path":"/nowhere"},"claimRef":{"namespace":%q,"name":%q}}}`, name, b.namespace, claim))
	b.t.Cleanup(func() { b.kubectl("delete", "persistentvolume", name, "--wait=false") })
	b.kubectl("wait", "persistentvolumeclaim/"+claim, "--for=jsonpath={.status.phase}=Bound", "--timeout=15s")
}

// object is one object now; nil if there is none.
func (b *bed) object(resource, name string) map[string]any {
	b.t.Helper()
	var o map[string]any
	text := b.kubectl("get", resource+"/"+name, "--ignore-not-found", "--output=json")
	if text != "" {
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			b.t.Fatal(err)
		}
	}
	return o
}

// objects are all of a resource, by name.
func (b *bed) objects(resource string) map[string]map[string]any {
	b.t.Helper()
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(b.kubectl("get", resource, "--output=json")), &list); err != nil {
		b.t.Fatal(err)
	}
	all := make(map[string]map[string]any)
	for _, o := range list.Items {
		all[o["metadata"].(map[string]any)["name"].(string)] = o
	}
	return all
}

// put creates any object.
func (b *bed) put(object string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := kube.NewRunner(b.options).Run(ctx, []byte(object), "create", "--filename=-"); err != nil {
		b.t.Fatal(err)
	}
}

// patch changes any object.
func (b *bed) patch(apiVersion, kind, name, change string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stub := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"namespace":%q}}`, apiVersion, kind, name, b.namespace)
	if _, err := kube.NewRunner(b.options).Run(ctx, []byte(stub), "patch", "--filename=-", "--type=merge", "--patch="+change); err != nil {
		b.t.Fatal(err)
	}
}

// watched collects what an Observer is told.
type watched struct {
	t      testing.TB
	mu     sync.Mutex
	news   chan struct{}
	synced int
	all    map[playground.User]playground.Database
	past   map[playground.User][]playground.Phase
	stale  []error
}

// watch runs c.Watch until the test ends.
func (b *bed) watch(c *kube.Cluster) *watched {
	b.t.Helper()
	w := &watched{t: b.t, news: make(chan struct{}, 1), all: make(map[playground.User]playground.Database), past: make(map[playground.User][]playground.Phase)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Watch(ctx, w) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != context.Canceled {
			b.t.Errorf("Watch ended with %v", err)
		}
	})
	return w
}

func (w *watched) told(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *watched) Synced(all []playground.Database) {
	w.told(func() {
		w.synced++
		for _, db := range all {
			w.all[db.User] = db
		}
	})
}

func (w *watched) Changed(all ...playground.Database) {
	w.told(func() {
		for _, db := range all {
			w.all[db.User] = db
			w.past[db.User] = append(w.past[db.User], db.Phase)
		}
	})
}

func (w *watched) Stale(err error) { w.told(func() { w.stale = append(w.stale, err) }) }

// agrees waits until the watch says of user what Get says, and returns that. The watch of
// one kind may be behind that of another, and Start may have written the record anew.
func (w *watched) agrees(c *kube.Cluster, user playground.User) playground.Database {
	w.t.Helper()
	db, err := c.Get(w.t.Context(), user)
	if err != nil {
		w.t.Fatal(err)
	}
	w.until("the watch says what Get says", func() bool { return w.all[user] == db })
	return db
}

// database is what was told last of user.
func (w *watched) database(user playground.User) playground.Database {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all[user]
}

// until waits for the state, woken by each change, at most a minute.
func (w *watched) until(what string, holds func() bool) {
	w.t.Helper()
	late := time.After(time.Minute)
	for {
		w.mu.Lock()
		yes := holds()
		w.mu.Unlock()
		if yes {
			return
		}
		select {
		case <-w.news:
		case <-late:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("waited in vain for: %s; synced %d times, stale %v, there is %+v", what, w.synced, w.stale, w.all)
		}
	}
}

// is waits for the user's database to come to that phase, and returns it.
func (w *watched) is(user playground.User, phase playground.Phase) (db playground.Database) {
	w.t.Helper()
	w.until(fmt.Sprintf("%v is %q", user, phase), func() bool {
		db = w.all[user]
		// The service's news may come after the pod's.
		return db.Phase == phase && w.synced > 0 && (phase != playground.Ready || db.Address != "")
	})
	return db
}
