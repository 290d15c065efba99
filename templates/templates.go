// Package templates holds the YAML of what the gateway makes in a cluster, and renders that
// of databases. The templates of workflows are filled in by package couler ([Workflow]).
//
// The files beside this one are built in; a maintainer replaces those of databases by
// files of the same names in a folder of their own ([Load]). They are Go text
// templates with a short list of sprig functions, none of which reads the
// environment, the clock, the network or randomness, so that equal values give
// equal objects and [Set.Hash] means something.
//
// A user id is hostile text. Three fences keep it a plain value: every printed
// value must end in quote (checked in the template's syntax tree), what was
// rendered is parsed back and compared with what was meant, and its structure must
// be that of a rendering for a harmless user. What leaves here is JSON made from
// that very parse, so kubectl cannot read it in another way than it was checked.
package templates

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/template"
)

//go:embed *.yaml *.py
var builtin embed.FS

const (
	podFile     = "mysql_pod.yaml"
	serviceFile = "mysql_service.yaml"
	volumeFile  = "mysql_volume.yaml"
)

// files are the names that a maintainer may replace.
func files() []string { return []string{podFile, serviceFile, volumeFile} }

// File is the name of the template that makes objects of a kind; "" if none does.
func File(kind string) string {
	switch kind {
	case "Pod":
		return podFile
	case "Service":
		return serviceFile
	case "PersistentVolumeClaim":
		return volumeFile
	}
	return ""
}

// Database is what the templates know of one database.
type Database struct {
	Name        string            // of pod and service: a DNS label
	Namespace   string            // where they live
	User        string            // raw id of the user, any text
	Image       string            // the container image to run
	Labels      map[string]string // of pod and service
	Annotations map[string]string // of pod and service
	Selector    map[string]string // labels by which the service finds the pod

	VolumeClaim  string // the PersistentVolumeClaim that the pod mounts; "" for none
	Storage      string // size of a volume, a quantity; "" for no volumes
	StorageClass string // where volumes come from; "" for the cluster's default
}

// Set is a complete set of templates, checked. It is safe for concurrent use.
type Set struct {
	pod, service, volume *manifest
}

// manifest is one template with the structures that its renderings have.
type manifest struct {
	path   string // for messages
	text   *template.Template
	check  func(yamlNode, Database) error
	shapes sync.Map // from the keys of a Database's maps to *yaml.Node
}

// Load reads the built-in templates, each replaced by the file of the same name in
// dir if there is one (dir "" replaces none). Every template is tried with harmless
// and with hostile values, and the first fault is returned with its file and line.
// A .yaml file in dir that replaces nothing is a fault too: it is a misspelt name.
func Load(dir string) (*Set, error) {
	if err := noStrays(dir); err != nil {
		return nil, err
	}
	pod, err := load(dir, podFile, checkPod)
	if err != nil {
		return nil, err
	}
	service, err := load(dir, serviceFile, checkService)
	if err != nil {
		return nil, err
	}
	volume, err := load(dir, volumeFile, checkVolume)
	if err != nil {
		return nil, err
	}
	return &Set{pod: pod, service: service, volume: volume}, nil
}

func noStrays(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read the template folder: %w: name another by --template_dir, or none", err)
	}
	for _, e := range entries {
		known := false
		for _, name := range files() {
			known = known || e.Name() == name
		}
		if filepath.Ext(e.Name()) == ".yaml" && !e.IsDir() && !known {
			return fmt.Errorf("%s replaces no template; the names are %s",
				filepath.Join(dir, e.Name()), strings.Join(files(), ", "))
		}
	}
	return nil
}

func load(dir, name string, check func(yamlNode, Database) error) (*manifest, error) {
	path, text, err := read(dir, name)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	t, err := template.New(path).Option("missingkey=error").Funcs(functions()).Parse(string(text))
	if err != nil {
		return nil, templateError(err)
	}
	if err := allQuoted(t, "quote"); err != nil {
		return nil, err
	}
	m := &manifest{path: path, text: t, check: check}
	for _, d := range samples() {
		if _, err := m.render(d); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func read(dir, name string) (path string, text []byte, err error) {
	if dir != "" {
		path = filepath.Join(dir, name)
		text, err = os.ReadFile(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return path, text, err
		}
	}
	text, err = builtin.ReadFile(name)
	return name, text, err
}

// Pod renders the pod of d as one JSON document. The error names file and line.
func (s *Set) Pod(d Database) ([]byte, error) { return s.pod.render(d) }

// Service renders the service of d as one JSON document.
func (s *Set) Service(d Database) ([]byte, error) { return s.service.render(d) }

// Volume renders the volume claim of d as one JSON document.
func (s *Set) Volume(d Database) ([]byte, error) { return s.volume.render(d) }

// Hash names what the templates make with d's image and storage, in 16 hexadecimal
// characters: two databases with the same hash differ in nothing but their user. It fits
// a label. The error names file and line of what does not fit that storage.
func (s *Set) Hash(of Database) (string, error) {
	d := samples()[0]
	d.Image, d.Storage, d.StorageClass = of.Image, of.Storage, of.StorageClass
	all := []*manifest{s.pod, s.service}
	if d.VolumeClaim = ""; d.Storage != "" {
		d.VolumeClaim = d.Name
		all = append(all, s.volume)
	}
	sum := sha256.New()
	for _, m := range all {
		doc, err := m.render(d)
		if err != nil {
			return "", err
		}
		sum.Write(doc)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

// samples are what every template is tried with: a harmless user first, whose
// rendering gives the structure, then text that ends a quote in YAML, JSON or a
// shell, starts a comment, a document or a mapping, or is not printable.
func samples() []Database {
	plain := Database{
		Name: "sqlflow-mysql-sample", Namespace: "default", User: "sample", Image: "sqlflow/sqlflow:mysql",
		Labels:      map[string]string{"app.kubernetes.io/name": "sqlflow-mysql", "sqlflow.org/database": "sqlflow-mysql-sample"},
		Annotations: map[string]string{"sqlflow.org/user": "sample"},
		Selector:    map[string]string{"sqlflow.org/database": "sqlflow-mysql-sample"},
	}
	all := []Database{plain}
	for _, user := range []string{
		`"`, `'`, `\`, "a: b", "- a", "# a", "a #b", "{a: b}", "[a", "*a", "&a b", "!a", "|", ">", "%a", "@a", "`a`",
		"no", "on", "null", "~", "1", "0x1", "1e3", ".inf", "2001-01-01", "true", "=", "<<",
		"a\nb: c", "a\n---\nb: c", "a\r\nb", "\t", " a ", "\x00", "\x7f", "\u0085", "\u2028", "\ufeff", "\u202eabc", "😀",
		"$(reboot)", "`reboot`", "{{ .User }}", "\"\nspec:\n  hostNetwork: true\n#",
	} {
		d := plain
		d.User = user
		d.Annotations = maps.Clone(plain.Annotations)
		d.Annotations["sqlflow.org/user"] = user
		all = append(all, d)
	}
	return all
}
