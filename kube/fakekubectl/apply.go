package fakekubectl

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
)

// apply is a server-side apply of labels, annotations and owners. Which manager set what
// is kept in managedFields, in a form of our own.
func (c *call) apply() error {
	if c.flags["server-side"] != "true" || c.flags["force-conflicts"] != "true" || c.flags["filename"] != "-" {
		return errors.New("the fake kubectl applies with --server-side --force-conflicts --filename=- only")
	}
	err := c.each(c.applyOne)
	var said *failure
	if !errors.As(err, &said) {
		return err
	}
	// Kubectl wraps a conflict, with advice after it, and prints it as an error of its own.
	prefix := ""
	if len(said.lines) == 1 {
		prefix = "error: "
	}
	for i, line := range said.lines {
		if message, ok := strings.CutPrefix(line, "Error from server (Conflict): "); ok {
			said.lines[i] = prefix + message
		}
	}
	return said
}

func (c *call) applyOne(k key, change dict) (dict, error) {
	if err := c.may("patch", k.resource, k.namespace); err != nil {
		return nil, err
	}
	o, err := c.store.read(k)
	asked := meta(change)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, serverError("Conflict", "Operation cannot be fulfilled on %s %q: uid mismatch: the provided object specified uid %s, and no existing object was found", full(k.resource), k.name, text(asked["uid"]))
	case err != nil:
		return nil, err
	case asked["uid"] != nil && asked["uid"] != meta(o)["uid"]:
		return nil, failf("The %s %q is invalid: metadata.uid: Invalid value: %q: field is immutable", text(o["kind"]), k.name, text(asked["uid"]))
	case asked["resourceVersion"] != nil && asked["resourceVersion"] != meta(o)["resourceVersion"]:
		return nil, serverError("Conflict", "Operation cannot be fulfilled on %s %q: the object has been modified; please apply your changes to the latest version and try again", full(k.resource), k.name)
	}
	applied := merge(o, nil)
	applied["metadata"] = merge(meta(o), nil)
	c.own(meta(applied), asked)
	if reflect.DeepEqual(o, applied) {
		return o, nil
	}
	return applied, c.store.write(k, "MODIFIED", applied)
}

// own writes what the manager of this call sets into there, and takes out what it set
// the last time and does not any more.
func (c *call) own(there, asked dict) {
	manager := c.flags["field-manager"]
	managed, _ := there["managedFields"].(dict)
	before, _ := managed[manager].([]any)
	var now []any
	for _, part := range []string{"labels", "annotations"} {
		set, _ := asked[part].(dict)
		kept, _ := there[part].(dict)
		for _, each := range before {
			if name, ours := strings.CutPrefix(text(each), part+"/"); ours && set[name] == nil {
				kept = merge(kept, dict{name: nil})
			}
		}
		for name := range set {
			now = append(now, part+"/"+name)
		}
		if kept = merge(kept, set); len(kept) > 0 {
			there[part] = kept
		} else {
			delete(there, part)
		}
	}
	owners, _ := asked["ownerReferences"].([]any)
	for _, owner := range owners {
		all, _ := there["ownerReferences"].([]any)
		same := func(other any) bool { return reflect.DeepEqual(other, owner) }
		if !slices.ContainsFunc(all, same) {
			there["ownerReferences"] = append(slices.Clone(all), owner)
		}
	}
	slices.SortFunc(now, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	there["managedFields"] = merge(managed, dict{manager: now})
}
