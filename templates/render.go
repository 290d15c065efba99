package templates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// most is the longest rendering, in bytes; the API server takes 1.5 MiB.
const most = 1 << 20

var errTooLong = fmt.Errorf("the result is longer than %d bytes", most)

func (m *manifest) render(d Database) ([]byte, error) {
	doc, err := m.parse(d)
	if err != nil {
		return nil, err
	}
	return m.finish(doc, d)
}

// parse renders the template and reads the result as exactly one YAML document.
func (m *manifest) parse(d Database) (*yaml.Node, error) {
	text := &limited{room: most}
	if err := m.text.Execute(text, d); err != nil {
		if errors.Is(err, errTooLong) {
			return nil, fmt.Errorf("%s: %w", m.path, err)
		}
		return nil, templateError(err)
	}
	decoder := yaml.NewDecoder(&text.buf)
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		return nil, fmt.Errorf("%s: nothing is rendered", m.path)
	case err != nil:
		return nil, m.yamlError(err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, m.yamlError(err)
		}
		return nil, m.fault(&more, "a second document starts here; the file makes exactly one object")
	}
	return doc.Content[0], nil
}

// finish compares doc with what was meant and returns it as JSON.
func (m *manifest) finish(doc *yaml.Node, d Database) ([]byte, error) {
	shape, err := m.shape(d)
	if err != nil {
		return nil, err
	}
	if at := differs(shape, doc); at != nil {
		return nil, m.fault(at, "the structure depends on the user's id here (user %q)", cut(d.User))
	}
	if err := m.check(yamlNode{doc, m}, d); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := writeJSON(&out, doc); err != nil {
		return nil, fmt.Errorf("%s: %w", m.path, err)
	}
	return out.Bytes(), nil
}

// shape is the structure of a rendering for a harmless user whose labels and annotations
// have the keys of d, with a volume if d has one.
func (m *manifest) shape(d Database) (*yaml.Node, error) {
	harmless := d
	harmless.User = "sample"
	keys := ""
	for _, each := range []*map[string]string{&harmless.Labels, &harmless.Annotations, &harmless.Selector} {
		changed := make(map[string]string, len(*each))
		for _, key := range slices.Sorted(maps.Keys(*each)) {
			changed[key] = "sample"
			keys += strconv.Quote(key)
		}
		*each = changed
		keys += ";"
	}
	keys += fmt.Sprint(d.VolumeClaim != "", d.Storage != "", d.StorageClass != "")
	if known, ok := m.shapes.Load(keys); ok {
		return known.(*yaml.Node), nil
	}
	doc, err := m.parse(harmless)
	if err == nil {
		m.shapes.Store(keys, doc)
	}
	return doc, err
}

func (m *manifest) yamlError(err error) error {
	return fmt.Errorf("%s: rendered %s", m.path, strings.TrimPrefix(err.Error(), "yaml: "))
}

func (m *manifest) fault(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s: rendered line %d: %s", m.path, at.Line, fmt.Sprintf(format, args...))
}

// cut keeps a message readable; the caller quotes it.
func cut(s string) string {
	const longest = 40
	if len(s) > longest {
		return strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return s
}

// differs returns the first node of b whose place in the structure, keys or type
// are not those of a; values may be others. Nil: there is none.
func differs(a, b *yaml.Node) *yaml.Node {
	if a.Kind != b.Kind || a.ShortTag() != b.ShortTag() || len(a.Content) != len(b.Content) || a.Anchor != b.Anchor {
		return b
	}
	for i := range a.Content {
		isKey := a.Kind == yaml.MappingNode && i%2 == 0
		if isKey && a.Content[i].Value != b.Content[i].Value {
			return b.Content[i]
		}
		if at := differs(a.Content[i], b.Content[i]); at != nil {
			return at
		}
	}
	return nil
}

// writeJSON writes what n means. Only plain data passes: no aliases, no tags of
// YAML's own, no keys but text, because the API server knows none of them.
func writeJSON(out *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		return writeObject(out, n)
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
		return nil
	case yaml.ScalarNode:
		return writeScalar(out, n)
	}
	return fmt.Errorf("rendered line %d: aliases are not allowed", n.Line)
}

func writeObject(out *bytes.Buffer, n *yaml.Node) error {
	seen := make(map[string]bool, len(n.Content)/2)
	out.WriteByte('{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			return fmt.Errorf("rendered line %d: a key must be text", key.Line)
		}
		if seen[key.Value] {
			return fmt.Errorf("rendered line %d: %q is there twice", key.Line, cut(key.Value))
		}
		seen[key.Value] = true
		if i > 0 {
			out.WriteByte(',')
		}
		if err := writeScalar(out, key); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := writeJSON(out, n.Content[i+1]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

func writeScalar(out *bytes.Buffer, n *yaml.Node) error {
	var value any = n.Value
	switch n.ShortTag() {
	case "!!str", "!!timestamp": // Kubernetes has times as text
	case "!!int", "!!float", "!!bool", "!!null":
		if err := n.Decode(&value); err != nil {
			return fmt.Errorf("rendered line %d: %w", n.Line, err)
		}
	default:
		return fmt.Errorf("rendered line %d: the tag %s is not allowed", n.Line, n.Tag)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("rendered line %d: %w", n.Line, err)
	}
	out.Write(text)
	return nil
}

// limited is a buffer that refuses to grow without end, as a template with a loop
// might make it.
type limited struct {
	buf  bytes.Buffer
	room int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.room {
		return 0, errTooLong
	}
	l.room -= len(p)
	return l.buf.Write(p)
}
