package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/couler"
	"sqlflow.org/sqlflow_playground/kube/workflow"
)

// fake is a kubectl with a small cluster behind it, which holds objects as they are: what
// it is told of them is what it was given, or captures from a real cluster.
type fake struct {
	mu      sync.Mutex
	objects map[string]map[string]any                    // by "resource/name"
	logs    map[string]string                            // by "pod/container"
	stream  func(args []string) (text string, err error) // of logs, instead; an error ends what text began
	calls   [][]string
	fail    func(args []string) error // before anything is done
	after   func(args []string) error // when it was done
	watches []*fakeWatch
	told    []fakeEvent // all there was, for watches that begin behind it
	made    int
}

type fakeEvent struct {
	resource string
	object   map[string]any
	text     []byte
}

type fakeWatch struct {
	resource string
	selects  func(map[string]any) bool
	events   chan []byte
}

func newFake() *fake {
	return &fake{objects: map[string]map[string]any{}, logs: map[string]string{}}
}

// captured loads what real controllers made, by the name of the capture.
func captured(t *testing.T, engine couler.Engine, capture string) (f *fake, name string) {
	t.Helper()
	f = newFake()
	kinds := map[string]string{"workflow": "workflows.argoproj.io", "pods": "pods"}
	if engine == couler.Tekton {
		kinds = map[string]string{"pipelinerun": "pipelineruns.tekton.dev", "taskruns": "taskruns.tekton.dev"}
	}
	for suffix, resource := range kinds {
		var object map[string]any
		text, err := os.ReadFile(filepath.Join("testdata", string(engine)+"-"+capture+"."+suffix+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
		if items, isList := object["items"].([]any); isList {
			for _, item := range items {
				f.put(resource, item.(map[string]any))
			}
			continue
		}
		f.put(resource, object)
		name = field(object, "metadata", "name").(string)
	}
	return f, name
}

func cluster(t *testing.T, f *fake, engine couler.Engine) *workflow.Cluster {
	t.Helper()
	c, err := workflow.New(workflow.Options{Kubectl: f, Engine: engine, LogView: workflow.LogView{Endpoint: "http://localhost:8001"}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func field(object map[string]any, path ...string) any {
	var v any = object
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

// put stores an object and tells the watches.
func (f *fake) put(resource string, object map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[resource+"/"+field(object, "metadata", "name").(string)] = object
	f.tell("MODIFIED", resource, object)
}

func (f *fake) tell(event, resource string, object map[string]any) {
	text, err := json.Marshal(map[string]any{"type": event, "object": object})
	if err != nil {
		panic(err)
	}
	e := fakeEvent{resource, object, text}
	f.told = append(f.told, e)
	for _, w := range f.watches {
		w.take(e)
	}
}

func (w *fakeWatch) take(e fakeEvent) {
	if w.resource == e.resource && w.selects(e.object) {
		w.events <- e.text
	}
}

// version is the resource version of what there is now.
func (f *fake) version() string { return strconv.Itoa(7 + len(f.told)) }

func (f *fake) remove(resource, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	object := f.objects[resource+"/"+name]
	delete(f.objects, resource+"/"+name)
	f.tell("DELETED", resource, object)
}

// breakWatches ends all watches with an error, as when the API server goes away.
func (f *fake) breakWatches() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watches {
		close(w.events)
	}
	f.watches = nil
}

func option(args []string, name string) string {
	for _, a := range args {
		if value, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

func (f *fake) Run(ctx context.Context, stdin []byte, args ...string) (out []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, args)
	if f.fail != nil {
		if err := f.fail(args); err != nil {
			return nil, err
		}
	}
	out, err = f.run(stdin, args)
	if err == nil && f.after != nil {
		err = f.after(args)
	}
	return out, err
}

func (f *fake) run(stdin []byte, args []string) ([]byte, error) {
	switch {
	case args[0] == "get" && args[1] == "--raw":
		resource, selects := rawPath(args[2])
		return json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": f.version()}, "items": f.list(resource, selects)})
	case args[0] == "get" && !strings.HasPrefix(args[2], "--"):
		object := f.objects[args[1]+"/"+args[2]]
		if object == nil {
			return nil, nil // --ignore-not-found
		}
		return json.Marshal(object)
	case args[0] == "get":
		return json.Marshal(map[string]any{"items": f.list(args[1], byLabels(option(args, "selector")))})
	case args[0] == "create":
		return f.create(stdin)
	case args[0] == "patch":
		object := f.objects[map[string]string{"secret": "secrets"}[args[1]]+"/"+args[2]]
		if object == nil {
			object = f.objects[args[1]+"/"+args[2]]
		}
		if object == nil {
			return nil, fmt.Errorf("NotFound: %s", args[2])
		}
		var patch map[string]any
		if err := json.Unmarshal([]byte(option(args, "patch")), &patch); err != nil {
			return nil, err
		}
		merge(object, patch)
		return nil, nil
	case args[0] == "delete":
		var gone []string
		for key, object := range f.objects {
			resource, name, _ := strings.Cut(key, "/")
			wanted := strings.Contains(","+args[1]+",", ","+resource+",")
			if selector := option(args, "selector"); selector != "" {
				wanted = wanted && byLabels(selector)(object)
			} else {
				wanted = wanted && name == args[2]
			}
			if wanted {
				delete(f.objects, key)
				gone = append(gone, key)
			}
		}
		return []byte(strings.Join(gone, "\n")), nil
	}
	return nil, fmt.Errorf("the fake knows no %v", args)
}

func (f *fake) list(resource string, selects func(map[string]any) bool) []any {
	all := []any{}
	for key, object := range f.objects {
		if strings.HasPrefix(key, resource+"/") && selects(object) {
			all = append(all, object)
		}
	}
	return all
}

func (f *fake) create(stdin []byte) ([]byte, error) {
	var object map[string]any
	if err := yaml.Unmarshal(stdin, &object); err != nil {
		return nil, err
	}
	metadata := object["metadata"].(map[string]any)
	f.made++
	if prefix, ok := metadata["generateName"].(string); ok {
		metadata["name"] = fmt.Sprintf("%sabcd%d", prefix, f.made)
	}
	metadata["uid"] = fmt.Sprintf("uid-%d", f.made)
	if metadata["namespace"] == nil {
		metadata["namespace"] = "kubectls-own"
	}
	resource := map[string]string{"Workflow": "workflows.argoproj.io", "PipelineRun": "pipelineruns.tekton.dev", "Secret": "secrets"}[object["kind"].(string)]
	f.objects[resource+"/"+metadata["name"].(string)] = object
	return json.Marshal(object)
}

func merge(into, patch map[string]any) {
	for key, value := range patch {
		inner, isMap := value.(map[string]any)
		if old, there := into[key].(map[string]any); isMap && there {
			merge(old, inner)
			continue
		}
		into[key] = value
	}
}

func byLabels(selector string) func(map[string]any) bool {
	name, value, _ := strings.Cut(selector, "=")
	return func(object map[string]any) bool {
		return selector == "" || field(object, "metadata", "labels", name) == value
	}
}

// rawPath understands the path of a collection and its selectors.
func rawPath(path string) (resource string, selects func(map[string]any) bool) {
	u, err := url.Parse(path)
	if err != nil {
		panic(err)
	}
	parts := strings.Split(u.Path, "/")
	resource = parts[len(parts)-1]
	if group := parts[2]; parts[1] == "apis" {
		resource += "." + group
	}
	if name, ok := strings.CutPrefix(u.Query().Get("fieldSelector"), "metadata.name="); ok {
		return resource, func(o map[string]any) bool { return field(o, "metadata", "name") == name }
	}
	return resource, byLabels(u.Query().Get("labelSelector"))
}

func (f *fake) Stream(ctx context.Context, line func([]byte) error, args ...string) error {
	if args[0] == "logs" {
		f.mu.Lock()
		text, there := f.logs[args[1]+"/"+option(args, "container")]
		f.mu.Unlock()
		var broken error
		switch {
		case f.stream != nil:
			text, broken = f.stream(args)
		case !there:
			return errors.New("NotFound: " + args[1])
		}
		for l := range strings.Lines(text) {
			if err := line([]byte(strings.TrimSuffix(l, "\n"))); err != nil {
				return err
			}
		}
		return broken
	}
	w, err := f.watch(args[2])
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, open := <-w.events:
			if !open {
				return errors.New("unexpected EOF")
			}
			if err := line(event); err != nil {
				return err
			}
		}
	}
}

// watch begins a watch at the version in its path, as an API server does.
func (f *fake) watch(path string) (*fakeWatch, error) {
	resource, selects := rawPath(path)
	u, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	from, err := strconv.Atoi(u.Query().Get("resourceVersion"))
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	missed := f.told[from-7:]
	w := &fakeWatch{resource: resource, selects: selects, events: make(chan []byte, 16+len(missed))}
	for _, e := range missed {
		w.take(e)
	}
	f.watches = append(f.watches, w)
	return w, nil
}
