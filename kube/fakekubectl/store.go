package fakekubectl

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// store is the folder:
//
//	config                          names the namespace and how pods behave (settings)
//	objects/RESOURCE/NAMESPACE/NAME one object, JSON
//	events                          one line for each change, in order (event)
//	version                         the resource version of the last change
//	faults/*.json                   what goes wrong next (Fault)
//	down                            if it is there, nothing answers
//	lock                            held by whoever reads or writes
type store struct{ dir string }

// settings are in the file config.
type settings struct {
	Namespace string   // the current one
	Manual    bool     // pods become ready, and go when deleted, only when told to
	Denied    []string // "VERB RESOURCE" that we may not do
	Quota     int      // most pods; 0: no limit
	Compacted int      // older resource versions are gone
}

type key struct{ resource, namespace, name string }

type dict = map[string]any

type event struct {
	Version   int             `json:"version"`
	Resource  string          `json:"resource"`
	Namespace string          `json:"namespace"`
	Type      string          `json:"type"`
	Object    json.RawMessage `json:"object"`
}

func (s *store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *store) isDown() bool {
	_, err := os.Stat(s.path("down"))
	return err == nil
}

func (s *store) settings() settings {
	var v settings
	text, err := os.ReadFile(s.path("config"))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		panic(err)
	}
	return v
}

// locked runs f alone among all processes that use the folder.
func (s *store) locked(f func() error) error {
	lock, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return err
	}
	return f()
}

func (s *store) file(k key) string { return s.path("objects", k.resource, k.namespace, k.name) }

func (s *store) version() int {
	text, err := os.ReadFile(s.path("version"))
	if err != nil {
		return 1
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

func (s *store) read(k key) (dict, error) {
	text, err := os.ReadFile(s.file(k))
	if err != nil {
		return nil, err
	}
	var o dict
	return o, json.Unmarshal(text, &o)
}

// list returns all objects of a resource in a namespace, in the order of their names.
func (s *store) list(resource, namespace string) ([]dict, error) {
	entries, err := os.ReadDir(s.path("objects", resource, namespace))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := []dict{}
	for _, e := range entries {
		o, err := s.read(key{resource, namespace, e.Name()})
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// write stores o with a new resource version and tells the watches.
func (s *store) write(k key, kind string, o dict) error {
	version := s.version() + 1
	meta(o)["resourceVersion"] = strconv.Itoa(version)
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	file := s.file(k)
	switch kind {
	case "DELETED":
		err = os.Remove(file)
	default:
		if err = os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("version"), []byte(strconv.Itoa(version)), 0o600); err != nil {
		return err
	}
	line, err := json.Marshal(event{version, k.resource, k.namespace, kind, text})
	if err != nil {
		return err
	}
	log, err := os.OpenFile(s.path("events"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = log.Write(append(line, '\n'))
	return errors.Join(err, log.Close())
}

// add stores a new object as the API server and, for pods, the kubelet would.
func (s *store) add(k key, o dict) error {
	m := meta(o)
	m["namespace"], m["uid"], m["creationTimestamp"] = k.namespace, uid(), time.Now().UTC().Format(time.RFC3339)
	v := s.settings()
	switch k.resource {
	case "services":
		spec, _ := o["spec"].(dict)
		if spec == nil {
			spec = dict{}
			o["spec"] = spec
		}
		if spec["clusterIP"] == nil {
			spec["clusterIP"] = s.address("10.96")
		}
	case "pods":
		o["status"] = dict{"phase": "Pending"}
	case "persistentvolumeclaims":
		o["status"] = dict{"phase": "Bound"}
	}
	if err := s.write(k, "ADDED", o); err != nil {
		return err
	}
	if k.resource == "pods" && !v.Manual {
		return s.ready(k)
	}
	return nil
}

// address is one that nobody had before.
func (s *store) address(net string) string {
	n := s.version()
	return fmt.Sprintf("%s.%d.%d", net, n/250%250, n%250+1)
}

// ready does what the kubelet does for a pod that passes its probe.
func (s *store) ready(k key) error {
	return s.status(k, dict{
		"phase": "Running", "podIP": s.address("10.244"),
		"conditions":        []any{dict{"type": "PodScheduled", "status": "True"}, dict{"type": "Ready", "status": "True"}},
		"containerStatuses": []any{dict{"name": "mysql", "ready": true, "restartCount": 0, "state": dict{"running": dict{}}}},
	})
}

func (s *store) status(k key, status dict) error {
	o, err := s.read(k)
	if err != nil {
		return err
	}
	o["status"] = status
	return s.write(k, "MODIFIED", o)
}

// drop deletes k as the API server does: a pod gets its time to end.
func (s *store) drop(k key) error {
	o, err := s.read(k)
	if err != nil {
		return err
	}
	if k.resource != "pods" {
		return s.write(k, "DELETED", o)
	}
	if meta(o)["deletionTimestamp"] == nil {
		meta(o)["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
		if err := s.write(k, "MODIFIED", o); err != nil {
			return err
		}
	}
	if s.settings().Manual {
		return nil
	}
	return s.remove(k)
}

func (s *store) remove(k key) error {
	o, err := s.read(k)
	if err != nil {
		return err
	}
	return s.write(k, "DELETED", o)
}

func meta(o dict) dict {
	m, _ := o["metadata"].(dict)
	if m == nil {
		m = dict{}
		o["metadata"] = m
	}
	return m
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func uid() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// selector matches labels as "a=b,c in (d,e)" does.
func selector(s string) func(dict) bool {
	terms := requirement.FindAllStringSubmatch(s, -1)
	return func(o dict) bool {
		labels, _ := meta(o)["labels"].(dict)
		for _, term := range terms {
			if !slices.Contains(strings.Split(term[2]+term[3], ","), text(labels[term[1]])) {
				return false
			}
		}
		return true
	}
}

// requirement is one term of a selector: a key, and a value or several.
var requirement = regexp.MustCompile(`([^,=\s]+)(?:=([^,]*)| in \(([^)]*)\))`)

// merge is a JSON merge patch (RFC 7386).
func merge(target, change dict) dict {
	out := maps.Clone(target)
	if out == nil {
		out = dict{}
	}
	for name, v := range change {
		switch v := v.(type) {
		case nil:
			delete(out, name)
		case dict:
			inner, _ := out[name].(dict)
			out[name] = merge(inner, v)
		default:
			out[name] = v
		}
	}
	return out
}
