package fakekubectl

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Namespace is the current one of every folder.
const Namespace = "playground"

// Folder is a fake cluster, as a test sees it.
type Folder struct {
	t     testing.TB
	store *store
	// Kubectl is the path of the program. It only works for processes whose test binary
	// calls [Main] when [Called] says so.
	Kubectl string
	faults  int
}

// New makes an empty cluster that lasts as long as the test.
func New(t testing.TB) *Folder {
	t.Helper()
	dir := t.TempDir()
	f := &Folder{t: t, store: &store{dir: filepath.Join(dir, "cluster")}, Kubectl: filepath.Join(dir, "bin", "kubectl")}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{filepath.Dir(f.Kubectl), f.store.path("faults"), f.store.path("held")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(self, f.Kubectl); err != nil {
		t.Fatal(err)
	}
	f.Set(func(*Settings) {})
	return f
}

// Kubeconfig is the file by which the program finds the folder.
func (f *Folder) Kubeconfig() string { return f.store.path("config") }

// Environ is the environment in which a program finds this kubectl on PATH, and kubectl
// this folder.
func (f *Folder) Environ() []string {
	return []string{
		"PATH=" + filepath.Dir(f.Kubectl) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + filepath.Dir(f.store.dir), "KUBECONFIG=" + f.Kubeconfig(),
	}
}

// Settings say how the cluster behaves.
type Settings = settings

// Set changes the settings. Manual is for pods that are ready, and gone after they were
// deleted, only when the test says so.
func (f *Folder) Set(change func(*Settings)) {
	f.t.Helper()
	f.locked(func() error {
		v := settings{Namespace: Namespace}
		if text, err := os.ReadFile(f.Kubeconfig()); err == nil {
			if err := json.Unmarshal(text, &v); err != nil {
				return err
			}
		}
		change(&v)
		return f.put("config", v)
	})
}

// put writes a file of the folder whole, so that no reader sees half of it.
func (f *Folder) put(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	half := f.store.path(name + ".half")
	if err := os.WriteFile(half, text, 0o600); err != nil {
		return err
	}
	return os.Rename(half, f.store.path(name))
}

func (f *Folder) locked(do func() error) {
	f.t.Helper()
	if err := f.store.locked(do); err != nil {
		f.t.Fatal(err)
	}
}

// Plant has the fault happen; faults that were planted first happen first.
func (f *Folder) Plant(fault Fault) {
	f.t.Helper()
	f.faults++
	name := filepath.Join("faults", fmt.Sprintf("%04d.json", f.faults))
	f.locked(func() error { return f.put(name, fault) })
}

// Held waits until a kubectl runs that is to read late, and returns what has it go on.
func (f *Folder) Held() (goOn func()) {
	f.t.Helper()
	var fifo *os.File
	f.Eventually("a kubectl is held", func() bool {
		files, _ := filepath.Glob(f.store.path("held", "*"))
		for _, file := range files {
			var err error
			if fifo, err = os.OpenFile(file, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				return os.Remove(file) == nil
			}
		}
		return false
	})
	return func() { fifo.Close() }
}

// Planted is how many faults have not happened yet.
func (f *Folder) Planted() int {
	files, _ := filepath.Glob(f.store.path("faults", "*.json"))
	return len(files)
}

// Down has nothing answer any more, and running watches break.
func (f *Folder) Down() {
	f.t.Helper()
	if err := os.WriteFile(f.store.path("down"), nil, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// Up ends Down.
func (f *Folder) Up() {
	f.t.Helper()
	if err := os.Remove(f.store.path("down")); err != nil {
		f.t.Fatal(err)
	}
}

// LoseWatches ends the watches that run now: with an error, or orderly, as the API server
// does after a time.
func (f *Folder) LoseWatches(orderly bool) {
	f.t.Helper()
	f.locked(func() error {
		v := f.store.lost()
		return f.put("lost", lost{v.N + 1, orderly})
	})
}

// Compact forgets all changes until now: a watch that goes on from before is too old.
func (f *Folder) Compact() {
	f.t.Helper()
	version := 0
	f.locked(func() error {
		version = f.store.version() + 1
		return f.put("version", version)
	})
	f.Set(func(s *Settings) { s.Compacted = version })
}

// Put creates or replaces an object, which is JSON with kind and metadata.name.
func (f *Folder) Put(object string) {
	f.t.Helper()
	var o dict
	if err := json.Unmarshal([]byte(object), &o); err != nil {
		f.t.Fatal(err)
	}
	k := keyOf(o, Namespace)
	f.locked(func() error {
		there, err := f.store.read(k)
		if err != nil {
			status := o["status"]
			if err := f.store.add(k, o); err != nil || status == nil {
				return err
			}
			return f.store.status(k, status.(dict))
		}
		return f.store.write(k, "MODIFIED", merge(there, o))
	})
}

// Status gives a pod its status, JSON, as a kubelet would.
func (f *Folder) Status(pod, status string) {
	f.t.Helper()
	var v dict
	if err := json.Unmarshal([]byte(status), &v); err != nil {
		f.t.Fatal(err)
	}
	f.locked(func() error { return f.store.status(key{"pods", Namespace, pod}, v) })
}

// Ready makes a pod ready.
func (f *Folder) Ready(pod string) {
	f.t.Helper()
	f.locked(func() error { return f.store.ready(key{"pods", Namespace, pod}) })
}

// Gone removes an object for good: resource is pods, services or leases.
func (f *Folder) Gone(resource, name string) {
	f.t.Helper()
	f.locked(func() error { return f.store.remove(key{resource, Namespace, name}) })
}

// Delete asks for an object to be deleted, as kubectl delete does.
func (f *Folder) Delete(resource, name string) {
	f.t.Helper()
	f.locked(func() error { return f.store.drop(key{resource, Namespace, name}) })
}

// Object is one object as it is now; nil if it is not there.
func (f *Folder) Object(resource, name string) map[string]any {
	f.t.Helper()
	var o dict
	f.locked(func() error {
		o, _ = f.store.read(key{resource, Namespace, name})
		return nil
	})
	return o
}

// Names are those of all objects of a resource, sorted.
func (f *Folder) Names(resource string) []string {
	f.t.Helper()
	var names []string
	f.locked(func() error {
		all, err := f.store.list(resource, Namespace)
		for _, o := range all {
			names = append(names, text(meta(o)["name"]))
		}
		return err
	})
	return names
}

// Mend takes back all faults that have not happened yet.
func (f *Folder) Mend() {
	f.t.Helper()
	f.locked(func() error {
		files, _ := filepath.Glob(f.store.path("faults", "*.json"))
		for _, file := range files {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
		return nil
	})
}

// Eventually waits until holds, for what no event tells of (a process that starts or
// ends); it fails the test after ten seconds.
func (f *Folder) Eventually(what string, holds func() bool) {
	f.t.Helper()
	for range 1000 {
		if holds() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	f.t.Fatalf("waited in vain for: %s", what)
}
