package couler

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// reader reads YAML nodes strictly. It goes on after a mistake, so that all of
// them can be told at once. A node that is nil leaves its value as it is.
type reader struct {
	problems []*Problem
}

// readDocument gives the only document of a file.
func readDocument(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	switch err := d.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, &Problem{Text: "the file is empty"}
	case err != nil:
		return nil, yamlProblem(err)
	}
	switch err := d.Decode(&more); {
	case err == nil:
		return nil, &Problem{Line: more.Line, Text: "a second document begins; a file is one workflow"}
	case !errors.Is(err, io.EOF):
		return nil, yamlProblem(err)
	}
	return document.Content[0], nil
}

// yamlProblem finds the line in an error of yaml.v3, which has it only as text.
func yamlProblem(err error) *Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, what, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				return &Problem{Line: line, Text: "it is no YAML: " + what}
			}
		}
	}
	return &Problem{Text: "it is no YAML: " + text}
}

func (r *reader) wrong(n *yaml.Node, format string, a ...any) {
	r.problems = append(r.problems, &Problem{Line: n.Line, Text: fmt.Sprintf(format, a...)})
}

type pair struct{ key, value *yaml.Node }

// pairs gives the entries of a mapping, those with a plain key that stands once.
func (r *reader) pairs(n *yaml.Node) []pair {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "here must be names with their values, and not %s", kindOf(n))
		return nil
	}
	var all []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			r.wrong(key, "a name must be plain text, and not %s", kindOf(key))
		case seen[key.Value]:
			r.wrong(key, "%.80q stands twice", key.Value)
		case value.Kind == yaml.AliasNode:
			r.wrong(value, "aliases are not read here")
		default:
			all = append(all, pair{key, value})
		}
		seen[key.Value] = true
	}
	return all
}

// mapping gives the fields of what, which has no others than those known.
func (r *reader) mapping(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	fields := map[string]*yaml.Node{}
	for _, p := range r.pairs(n) {
		if !slices.Contains(known, p.key.Value) {
			r.wrong(p.key, "%s has no field %.80q; its fields are %s", what, p.key.Value, strings.Join(known, ", "))
			continue
		}
		fields[p.key.Value] = p.value
	}
	return fields
}

func (r *reader) list(n *yaml.Node) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.wrong(n, "here must be a list, and not %s", kindOf(n))
		return nil
	}
	return n.Content
}

// scalar reads any scalar as the text that was written, and tells whether it is one.
func (r *reader) scalar(n *yaml.Node, into *string) bool {
	if n == nil {
		return true
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Tag == "!!binary" {
		r.wrong(n, "here must be a text, and not %s", kindOf(n))
		return false
	}
	*into = n.Value
	return true
}

// text reads a string; a number or a truth value needs quotes to be one.
func (r *reader) text(n *yaml.Node, into *string) bool {
	if n != nil && n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float" || n.Tag == "!!bool" || n.Tag == "!!timestamp") {
		r.wrong(n, "here must be a text; write %q", n.Value)
		return false
	}
	return r.scalar(n, into)
}

func (r *reader) textList(n *yaml.Node) []string {
	var all []string
	for _, item := range r.list(n) {
		var text string
		if r.text(item, &text) {
			all = append(all, text)
		}
	}
	return all
}

// texts reads a mapping of scalars as they were written.
func (r *reader) texts(n *yaml.Node) map[string]string {
	if n == nil {
		return nil
	}
	all := map[string]string{}
	for _, p := range r.pairs(n) {
		var text string
		if r.scalar(p.value, &text) {
			all[p.key.Value] = text
		}
	}
	return all
}

func (r *reader) integer(n *yaml.Node, into *int) {
	if n == nil {
		return
	}
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
		r.wrong(n, "here must be a whole number, and not %s", kindOf(n))
		return
	}
	*into = i
}

func (r *reader) boolean(n *yaml.Node, into *bool) {
	if n == nil {
		return
	}
	b, err := strconv.ParseBool(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || err != nil {
		r.wrong(n, "here must be true or false, and not %s", kindOf(n))
		return
	}
	*into = b
}

func (r *reader) duration(n *yaml.Node, into *time.Duration) {
	if n == nil {
		return
	}
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		r.wrong(n, "here must be a time like 90s or 1h30m, and not %s", kindOf(n))
		return
	}
	*into = d
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "names with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("%.80q", n.Value)
}
