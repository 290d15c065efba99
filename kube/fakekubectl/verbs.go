package fakekubectl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// group of a resource; "" is the core group. Kinds that are not listed are made up as
// they come (custom resources).
func group(resource string) string {
	switch resource {
	case "pods", "services", "secrets", "configmaps", "persistentvolumeclaims":
		return ""
	case "leases":
		return "coordination.k8s.io"
	}
	return "example.org"
}

// full is a resource with its group, as in Kubernetes' messages.
func full(resource string) string { return strings.TrimSuffix(resource+"."+group(resource), ".") }

// named is what -o name prints.
func (k key) named() string {
	return strings.TrimSuffix(strings.TrimSuffix(k.resource, "s")+"."+group(k.resource), ".") + "/" + k.name
}

func (k key) notFound() error {
	return serverError("NotFound", "%s %q not found", full(k.resource), k.name)
}

// may says that a verb is denied.
func (c *call) may(verb, resource, namespace string) error {
	if !slices.Contains(c.store.settings().Denied, verb+" "+resource) {
		return nil
	}
	return serverError("Forbidden", "%s is forbidden: User %q cannot %s resource %q in API group %q in the namespace %q",
		full(resource), "playground", verb, resource, group(resource), namespace)
}

// place takes an API path apart.
var place = regexp.MustCompile(`^(?:/api/v1|/apis/[^/]+/[^/]+)/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?$`)

func (c *call) get() error {
	if raw := c.flags["raw"]; raw != "" {
		return c.getRaw(raw)
	}
	var wanted []key
	if c.flags["filename"] != "" {
		if c.flags["ignore-not-found"] != "true" {
			return errors.New("the fake kubectl reads the objects of a file with --ignore-not-found only")
		}
		all, err := c.documents()
		if err != nil {
			return err
		}
		for _, o := range all {
			wanted = append(wanted, keyOf(o, c.namespace()))
		}
	}
	found, listed := []dict{}, false
	err := c.store.locked(func() error {
		for _, word := range c.words {
			resource, name, single := strings.Cut(word, "/")
			resource = plural(resource)
			if single {
				wanted = append(wanted, key{resource, c.namespace(), name})
				continue
			}
			all, err := c.store.list(resource, c.namespace())
			if err != nil {
				return err
			}
			found, listed = append(found, all...), true
		}
		for _, k := range wanted {
			if err := c.may("get", k.resource, k.namespace); err != nil {
				return err
			}
			o, err := c.store.read(k)
			switch {
			case err == nil:
				found = append(found, o)
			case !errors.Is(err, fs.ErrNotExist):
				return err
			case c.flags["ignore-not-found"] != "true":
				return k.notFound()
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case c.flags["output"] == "name":
		for _, o := range found {
			fmt.Fprintln(c.stdout, keyOf(o, "").named())
		}
		return nil
	case len(found) == 0 && !listed:
		return nil
	case len(found) == 1 && !listed:
		return c.print(found[0])
	}
	return c.print(dict{"apiVersion": "v1", "kind": "List", "metadata": dict{"resourceVersion": ""}, "items": found})
}

// plural makes pods of pod, po and pods, and leases of leases.coordination.k8s.io.
func plural(resource string) string {
	resource, _, _ = strings.Cut(strings.ToLower(resource), ".")
	if !strings.HasSuffix(resource, "s") {
		resource += "s"
	}
	return resource
}

func keyOf(o dict, namespace string) key {
	if ns := text(meta(o)["namespace"]); ns != "" {
		namespace = ns
	}
	return key{plural(text(o["kind"])), namespace, text(meta(o)["name"])}
}

func (c *call) print(o any) error {
	text, err := json.MarshalIndent(o, "", "    ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "%s\n", text)
	return err
}

func (c *call) getRaw(raw string) error {
	u, err := url.ParseRequestURI(raw)
	if err != nil {
		return err
	}
	if u.Path == "/version" {
		_, err := fmt.Fprintln(c.stdout, `{"major": "1", "minor": "36", "gitVersion": "v1.36.3-fake"}`)
		return err
	}
	parts := place.FindStringSubmatch(u.Path)
	if parts == nil {
		return serverError("NotFound", "the server could not find the requested resource")
	}
	namespace, resource, name, query := parts[1], parts[2], parts[3], u.Query()
	if query.Get("watch") != "" {
		if err := c.may("watch", resource, namespace); err != nil {
			return err
		}
		return c.watch(resource, namespace, query)
	}
	return c.store.locked(func() error {
		if name != "" {
			if err := c.may("get", resource, namespace); err != nil {
				return err
			}
			o, err := c.store.read(key{resource, namespace, name})
			if errors.Is(err, fs.ErrNotExist) {
				return key{resource, namespace, name}.notFound()
			}
			return errors.Join(err, json.NewEncoder(c.stdout).Encode(o))
		}
		if err := c.may("list", resource, namespace); err != nil {
			return err
		}
		all, err := c.store.list(resource, namespace)
		if err != nil {
			return err
		}
		match := selector(query.Get("labelSelector"))
		all = slices.DeleteFunc(all, func(o dict) bool { return !match(o) })
		return json.NewEncoder(c.stdout).Encode(dict{
			"kind": "List", "apiVersion": "v1", "metadata": dict{"resourceVersion": strconv.Itoa(c.store.version())}, "items": all,
		})
	})
}

// documents reads the JSON on standard input. (Kubectl reads YAML as well; package kube
// sends none.)
func (c *call) documents() ([]dict, error) {
	var all []dict
	d := json.NewDecoder(bytes.NewReader(c.stdin))
	for {
		var o dict
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, failf("error: error parsing STDIN: %v", err)
		}
		all = append(all, o)
	}
	if len(all) == 0 && c.verb != "get" {
		return nil, fmt.Errorf("no objects passed to %s", c.verb)
	}
	return all, nil
}

// each does one thing for every document, goes on after a failure, as kubectl does, and
// says all that failed in the end.
func (c *call) each(do func(key, dict) (dict, error)) error {
	all, err := c.documents()
	if err != nil {
		return err
	}
	var failed []string
	for _, o := range all {
		k := keyOf(o, c.namespace())
		err := c.store.locked(func() error {
			done, err := do(k, o)
			if err != nil {
				return err
			}
			if c.flags["output"] == "json" {
				return c.print(done)
			}
			if path, ok := strings.CutPrefix(c.flags["output"], "jsonpath="); ok {
				_, err := fmt.Fprint(c.stdout, jsonpath(path, done))
				return err
			}
			_, err = fmt.Fprintln(c.stdout, k.named())
			return err
		})
		var said *failure
		switch {
		case errors.As(err, &said):
			failed = append(failed, said.lines...)
		case err != nil:
			return err
		}
	}
	if failed != nil {
		return &failure{failed}
	}
	return nil
}

// jsonpath knows {.a.b}, with a\.b for a name that has a dot, and {"text"}.
func jsonpath(path string, o dict) string {
	return regexp.MustCompile(`\{[^}]*\}`).ReplaceAllStringFunc(path, func(braced string) string {
		inner := braced[1 : len(braced)-1]
		if quoted, err := strconv.Unquote(inner); err == nil {
			return quoted
		}
		var v any = o
		const dot = "\x00"
		for name := range strings.SplitSeq(strings.TrimPrefix(strings.ReplaceAll(inner, `\.`, dot), "."), ".") {
			inside, _ := v.(dict)
			v = inside[strings.ReplaceAll(name, dot, ".")]
		}
		return text(v)
	})
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

func (c *call) create() error {
	return c.each(func(k key, o dict) (dict, error) {
		if k.resource == "selfsubjectaccessreviews" {
			return c.review(o), nil
		}
		return o, creating(c.createOne(k, o))
	})
}

func (c *call) createOne(k key, o dict) error {
	if err := c.may("create", k.resource, k.namespace); err != nil {
		return err
	}
	if !dnsLabel.MatchString(k.name) {
		return serverError("Invalid", "%s %q is invalid: metadata.name: Invalid value: %q: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
			text(o["kind"]), k.name, k.name)
	}
	there, err := c.store.read(k)
	switch {
	case err == nil && meta(there)["deletionTimestamp"] != nil:
		return serverError("AlreadyExists", "object is being deleted: %s %q already exists", full(k.resource), k.name)
	case err == nil:
		return serverError("AlreadyExists", "%s %q already exists", full(k.resource), k.name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if quota := c.store.settings().Quota; quota > 0 && k.resource == "pods" {
		pods, err := c.store.list("pods", k.namespace)
		if err != nil {
			return err
		}
		if len(pods) >= quota {
			return serverError("Forbidden", "pods %q is forbidden: exceeded quota: playground, requested: pods=1, used: pods=%d, limited: pods=%d", k.name, len(pods), quota)
		}
	}
	if c.flags["dry-run"] == "server" {
		return nil
	}
	return c.store.add(k, o)
}

// creating puts kubectl's own words before the server's.
func creating(err error) error {
	var said *failure
	if errors.As(err, &said) {
		head, rest, _ := strings.Cut(said.lines[0], "): ")
		return failf("%s): error when creating \"STDIN\": %s", head, rest)
	}
	return err
}

func (c *call) review(o dict) dict {
	spec, _ := o["spec"].(dict)
	asked, _ := spec["resourceAttributes"].(dict)
	denied := slices.Contains(c.store.settings().Denied, text(asked["verb"])+" "+text(asked["resource"]))
	o["status"] = dict{"allowed": !denied}
	return o
}

func (c *call) patch() error {
	var change dict
	if err := json.Unmarshal([]byte(c.flags["patch"]), &change); err != nil {
		return fmt.Errorf("unable to parse %q: %v", c.flags["patch"], err)
	}
	if c.flags["type"] != "merge" || c.flags["filename"] != "-" {
		return errors.New("the fake kubectl patches with --type=merge --filename=- only")
	}
	return c.each(func(k key, _ dict) (dict, error) {
		if err := c.may("patch", k.resource, k.namespace); err != nil {
			return nil, err
		}
		o, err := c.store.read(k)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, k.notFound()
		}
		if err != nil {
			return nil, err
		}
		asked, _ := change["metadata"].(dict)
		if version := text(asked["resourceVersion"]); version != "" && version != text(meta(o)["resourceVersion"]) {
			return nil, serverError("Conflict", "Operation cannot be fulfilled on %s %q: the object has been modified; please apply your changes to the latest version and try again", full(k.resource), k.name)
		}
		patched := merge(o, change)
		if reflect.DeepEqual(o, patched) {
			return o, nil
		}
		return patched, c.store.write(k, "MODIFIED", patched)
	})
}

func (c *call) delete() error {
	if raw := c.flags["raw"]; raw != "" {
		return c.deleteRaw(raw)
	}
	if len(c.words) != 1 || c.flags["selector"] == "" {
		return errors.New("the fake kubectl deletes --raw or RESOURCES --selector only")
	}
	match, none := selector(c.flags["selector"]), true
	for resource := range strings.SplitSeq(c.words[0], ",") {
		err := c.store.locked(func() error {
			resource = plural(resource)
			for _, verb := range []string{"list", "delete"} {
				if err := c.may(verb, resource, c.namespace()); err != nil {
					return err
				}
			}
			all, err := c.store.list(resource, c.namespace())
			if err != nil {
				return err
			}
			for _, o := range all {
				if !match(o) {
					continue
				}
				none = false
				k := keyOf(o, c.namespace())
				if err := c.store.drop(k); err != nil {
					return err
				}
				fmt.Fprintln(c.stdout, k.named())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if none {
		fmt.Fprintln(c.stdout, "No resources found")
	}
	return nil
}

func (c *call) deleteRaw(raw string) error {
	parts := place.FindStringSubmatch(raw)
	if parts == nil || parts[3] == "" {
		return serverError("NotFound", "the server could not find the requested resource")
	}
	k := key{parts[2], parts[1], parts[3]}
	var options struct {
		Preconditions struct{ UID, ResourceVersion string }
	}
	if len(c.stdin) > 0 {
		if err := json.Unmarshal(c.stdin, &options); err != nil {
			return serverError("BadRequest", "%v", err)
		}
	}
	return c.store.locked(func() error {
		if err := c.may("delete", k.resource, k.namespace); err != nil {
			return err
		}
		o, err := c.store.read(k)
		if errors.Is(err, fs.ErrNotExist) {
			return k.notFound()
		}
		if err != nil {
			return err
		}
		if want := options.Preconditions.UID; want != "" && want != text(meta(o)["uid"]) {
			return serverError("Conflict", "Operation cannot be fulfilled on %s %q: the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated",
				text(o["kind"]), k.name, want, text(meta(o)["uid"]))
		}
		return errors.Join(c.store.drop(k), json.NewEncoder(c.stdout).Encode(o))
	})
}
