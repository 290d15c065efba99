package handlers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// described is the part of an OpenAPI 3.1 document that is compared with the code.
type described struct {
	OpenAPI string `yaml:"openapi"`
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string               `yaml:"operationId"`
		Summary     string               `yaml:"summary"`
		Responses   map[string]yaml.Node `yaml:"responses"`
	}
	Components struct {
		Schemas map[string]yaml.Node
	}
}

func readDescription(t *testing.T) (d described, root *yaml.Node) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(openAPIDescription), &d); err != nil {
		t.Fatal(err)
	}
	root = &yaml.Node{}
	if err := yaml.Unmarshal([]byte(openAPIDescription), root); err != nil {
		t.Fatal(err)
	}
	return d, root.Content[0]
}

func TestDescriptionAndRoutesAgree(t *testing.T) {
	t.Parallel()
	d, _ := readDescription(t)
	var written, served []string
	for path, operations := range d.Paths {
		for method := range operations {
			written = append(written, strings.ToUpper(method)+" "+path)
		}
	}
	for _, rt := range (&API{}).routes() {
		served = append(served, rt.method+" "+rt.path)
	}
	slices.Sort(written)
	slices.Sort(served)
	if !slices.Equal(written, served) {
		t.Errorf("openapi.yaml describes\n%q\nthe server serves\n%q", written, served)
	}
}

func TestDescriptionIsWellFormed(t *testing.T) {
	t.Parallel()
	d, root := readDescription(t)
	if d.OpenAPI != "3.1.0" || d.Info.Title == "" || d.Info.Version == "" {
		t.Errorf("openapi %q, info %+v", d.OpenAPI, d.Info)
	}
	ids := map[string]bool{}
	for path, operations := range d.Paths {
		for method, operation := range operations {
			if operation.OperationID == "" || ids[operation.OperationID] {
				t.Errorf("%s %s: operationId %q is missing or twice there", method, path, operation.OperationID)
			}
			ids[operation.OperationID] = true
			if _, ok := operation.Responses["200"]; !ok || operation.Summary == "" {
				t.Errorf("%s %s needs a summary and a response 200", method, path)
			}
		}
	}
	used := map[string]bool{}
	walk(root, func(n *yaml.Node) {
		ref := child(n, "$ref")
		if ref == nil {
			return
		}
		used[ref.Value] = true
		at, found := root, strings.HasPrefix(ref.Value, "#/")
		for _, name := range strings.Split(strings.TrimPrefix(ref.Value, "#/"), "/") {
			if at = child(at, name); at == nil {
				found = false
				break
			}
		}
		if !found {
			t.Errorf("line %d: %s leads nowhere", ref.Line, ref.Value)
		}
	})
	for _, kind := range []string{"schemas", "responses", "parameters", "requestBodies"} {
		group := child(child(root, "components"), kind)
		for i := 0; i < len(group.Content); i += 2 {
			if ref := fmt.Sprintf("#/components/%s/%s", kind, group.Content[i].Value); !used[ref] {
				t.Errorf("%s is never used", ref)
			}
		}
	}
}

func TestDescriptionHasEveryCodeAndStatus(t *testing.T) {
	t.Parallel()
	_, root := readDescription(t)
	at := func(path ...string) *yaml.Node {
		t.Helper()
		n := root
		for _, name := range path {
			if n = child(n, name); n == nil {
				t.Fatalf("%v is missing", path)
			}
		}
		return n
	}
	var codes, states []string
	for code := range statuses() {
		codes = append(codes, string(code))
	}
	for _, state := range playground.States() {
		states = append(states, string(state))
	}
	for _, test := range []struct {
		enum *yaml.Node
		want []string
	}{
		{at("components", "schemas", "Error", "properties", "error", "properties", "code", "enum"), codes},
		{at("components", "schemas", "Database", "properties", "state", "enum"), states},
	} {
		var written []string
		if err := test.enum.Decode(&written); err != nil {
			t.Fatal(err)
		}
		slices.Sort(written)
		slices.Sort(test.want)
		if !slices.Equal(written, test.want) {
			t.Errorf("line %d: %q, want %q", test.enum.Line, written, test.want)
		}
	}
}

// child is the value of a mapping's key, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func walk(n *yaml.Node, visit func(*yaml.Node)) {
	visit(n)
	for _, c := range n.Content {
		walk(c, visit)
	}
}
