package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// application is a change to one object, for a server-side apply
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/). Unlike a patch,
// one kubectl carries a different one for every object, each with a lock of its own.
type application struct {
	kind, name string
	// version is the state in which the object must still be; an empty Resource allows
	// any state of that UID.
	version playground.Version
	// What is set. Labels and annotations that an earlier application by the same
	// manager set and this one leaves out are removed.
	labels, annotations fields
	owners              []fields
}

// The field managers of our applications. Each knows a set of fields of its own, so that
// one does not remove what another wrote.
const (
	reaperManager = "sqlflow-playground-reaper" // marks and releases
	poolManager   = "sqlflow-playground-pool"   // whose a database made ahead is
)

func (a application) document() document { return document{kind: a.kind, name: a.name} }

// apply makes all changes with one kubectl and returns one error for each: nil,
// playground.ErrConflict where the object is gone or not in the state that was given, or
// what [outOfReach] makes of it.
func (c *Cluster) apply(ctx context.Context, manager string, all []application) []error {
	var stdin bytes.Buffer
	for _, a := range all {
		metadata := fields{"name": a.name, "namespace": c.o.Namespace, "uid": a.version.UID}
		if a.version.Resource != "" {
			metadata["resourceVersion"] = a.version.Resource
		}
		if a.labels != nil {
			metadata["labels"] = a.labels
		}
		if a.annotations != nil {
			metadata["annotations"] = a.annotations
		}
		if a.owners != nil {
			metadata["ownerReferences"] = a.owners
		}
		stdin.Write(manifest(fields{"apiVersion": apiVersion(a.kind), "kind": a.kind, "metadata": metadata}))
		stdin.WriteByte('\n')
	}
	out, err := c.o.Runner.Run(ctx, stdin.Bytes(), "apply", "--server-side", "--force-conflicts", "--field-manager="+manager,
		"--filename=-", "--validate=false", "--output=name")
	done := make(map[string]bool)
	for line := range strings.Lines(string(out)) {
		if strings.HasSuffix(line, "\n") {
			done[strings.TrimSpace(line)] = true
		}
	}
	errs := make([]error, len(all))
	for i, a := range all {
		d := a.document()
		switch {
		case done[d.argument()]:
		case a.overtaken(err):
			errs[i] = playground.ErrConflict
		case err == nil:
			errs[i] = outOfReach(fmt.Errorf("apply %s: kubectl ended well and did not name it", d.argument()))
		default:
			errs[i] = outOfReach(fmt.Errorf("apply %s: %w", d.argument(), err))
		}
	}
	return errs
}

// overtaken finds in a run's error that the object changed, went, or is another one by
// now. Kubectl wraps what the API server says of a conflict, so there is no reason to
// go by, only the words.
func (a application) overtaken(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	name := strconv.Quote(a.name)
	for line := range strings.Lines(e.Stderr) {
		about := strings.Contains(line, "Operation cannot be fulfilled on ") || strings.Contains(line, " is invalid: metadata.uid: ") ||
			strings.Contains(line, " not found")
		if about && strings.Contains(line, name) {
			return true
		}
	}
	return false
}

// apiVersion of the kinds that we make.
func apiVersion(kind string) string {
	if kind == "Lease" {
		return "coordination.k8s.io/v1"
	}
	return "v1"
}
