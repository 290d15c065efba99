package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/templates"
)

// inClusterNamespace is where a pod finds the namespace it runs in
// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
const inClusterNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// CurrentNamespace is the namespace that kubectl uses: the one asked for, that of the
// kubeconfig's context, that of the pod we run in, or "default".
func (r *Runner) CurrentNamespace(ctx context.Context) (string, error) {
	if r.o.Namespace != "" {
		return r.o.Namespace, nil
	}
	text, err := r.Run(ctx, nil, "config", "view", "--minify", "--output=jsonpath={.contexts[0].context.namespace}")
	switch {
	case ReasonOf(err) == Missing:
		return "", noKubectl(err)
	case ctx.Err() != nil:
		return "", err
	}
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name, nil
	}
	if err != nil { // no kubeconfig: kubectl then takes the service account of its pod
		if name, err := os.ReadFile(inClusterNamespace); err == nil && len(bytes.TrimSpace(name)) > 0 {
			return string(bytes.TrimSpace(name)), nil
		}
	}
	return "default", nil
}

// ClientVersion is kubectl's own version, such as "v1.36.3".
func (r *Runner) ClientVersion(ctx context.Context) (string, error) {
	text, err := r.Run(ctx, nil, "version", "--client", "--output=json")
	if err != nil {
		return "", err
	}
	var v struct {
		ClientVersion struct {
			GitVersion string `json:"gitVersion"`
		} `json:"clientVersion"`
	}
	if err := json.Unmarshal(text, &v); err != nil || v.ClientVersion.GitVersion == "" {
		return "", fmt.Errorf("%s version printed %.80q", r.o.Path, text)
	}
	return v.ClientVersion.GitVersion, nil
}

func noKubectl(err error) error {
	return fmt.Errorf("there is no kubectl to run: install it, or name it with --kubectl: %w", err)
}

// permission is a verb on a resource that a Cluster needs.
type permission struct{ verb, group, resource string }

func (p permission) String() string { return p.verb + " " + p.resource }

// permissions are what scripts/rbac.yaml grants, and rbac-pool.yaml and
// rbac-storage.yaml for those, no more and no less.
func permissions(pool, storage bool) []permission {
	var all []permission
	for _, each := range []struct {
		needed                 bool
		group, resource, verbs string
	}{
		{true, "", "pods", "create get list watch patch delete"},
		{true, "", "services", "create get list watch delete"},
		{true, "coordination.k8s.io", "leases", "create get list watch patch delete"},
		{pool, "", "services", "patch"},
		{storage, "", "persistentvolumeclaims", "create get list watch delete"},
		{pool, "", "persistentvolumeclaims", "patch"},
	} {
		if !each.needed {
			continue
		}
		for verb := range strings.FieldsSeq(each.verbs) {
			all = append(all, permission{verb, each.group, each.resource})
		}
	}
	return all
}

// Check finds out, before the first user comes, whether databases can be made here: is
// there a kubectl, does the cluster answer, may we do all that we need to, and does the
// API server take what the templates make. The error is one line that says what to do.
func (c *Cluster) Check(ctx context.Context) error {
	version, err := c.o.Runner.ClientVersion(ctx)
	if err != nil {
		if ReasonOf(err) == Missing {
			return noKubectl(err)
		}
		return fmt.Errorf("kubectl does not run: repair it, or name another with --kubectl: %w", err)
	}
	c.o.Log.WithField("kubectl", version).Debug("found kubectl")
	if _, err := c.o.Runner.Run(ctx, nil, "get", "--raw", "/version"); err != nil {
		return fmt.Errorf("the cluster does not answer: check KUBECONFIG and --context, or run with --backend=embedded: %w", err)
	}
	if err := c.checkPermissions(ctx); err != nil {
		return err
	}
	return c.dryRun(ctx)
}

// checkPermissions asks, with one kubectl, what `kubectl auth can-i` asks with one each.
func (c *Cluster) checkPermissions(ctx context.Context) error {
	all := permissions(c.o.Pool, c.o.Storage != "")
	var reviews bytes.Buffer
	for _, p := range all {
		reviews.Write(manifest(fields{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": fields{},
			"spec": fields{"resourceAttributes": fields{"namespace": c.o.Namespace, "verb": p.verb, "group": p.group, "resource": p.resource}},
		}))
		reviews.WriteByte('\n')
	}
	text, err := c.o.Runner.Run(ctx, reviews.Bytes(), "create", "--filename=-", "--output=json", "--validate=false")
	if err != nil {
		return fmt.Errorf("the cluster does not say what we may do: %w", err)
	}
	allowed := make(map[permission]bool)
	answers := json.NewDecoder(bytes.NewReader(text))
	for range all {
		var review struct {
			Spec struct {
				ResourceAttributes struct{ Verb, Group, Resource string }
			}
			Status struct{ Allowed bool }
		}
		if err := answers.Decode(&review); err != nil {
			return fmt.Errorf("the cluster does not say what we may do: %w", err)
		}
		if r := review.Spec.ResourceAttributes; review.Status.Allowed {
			allowed[permission{r.Verb, r.Group, r.Resource}] = true
		}
	}
	var missing []string
	for _, p := range all {
		if !allowed[p] {
			missing = append(missing, p.String())
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("kubectl may not %s in the namespace %s: have an administrator apply %s, or use another --context or --namespace",
			strings.Join(missing, ", "), c.o.Namespace, c.roles())
	}
	return nil
}

// roles names the files that grant what is needed.
func (c *Cluster) roles() string {
	files := "scripts/rbac.yaml"
	if c.o.Pool {
		files += ", scripts/rbac-pool.yaml"
	}
	if c.o.Storage != "" {
		files += ", scripts/rbac-storage.yaml"
	}
	return files
}

// dryRun has the API server say, unknown fields included, whether it takes a pod and a
// service of ours. A full quota, or a webhook that cannot be asked without consequence,
// is no fault of the templates.
func (c *Cluster) dryRun(ctx context.Context) error {
	// An id that gets a hash, so that no user has this name.
	user := playground.User("Dry Run")
	made, err := c.manifests(user, &home{place: user.Name(), record: "00000000-0000-0000-0000-000000000000"})
	if err != nil {
		return err
	}
	for _, d := range made {
		_, err := c.o.Runner.Run(ctx, d.json, "create", "--filename=-", "--output=name", "--validate=strict", "--dry-run=server")
		switch {
		case err == nil, ReasonOf(err) == AlreadyExists:
		case passingRefusal(err):
			c.o.Log.WithError(err).Warnf("the cluster could not try the %s template", strings.ToLower(d.kind))
		default:
			var e *Error
			if errors.As(err, &e) && slices.Contains([]Reason{Invalid, BadRequest, Forbidden, Other}, e.Reason) {
				return fmt.Errorf("the cluster does not take the %s that %s makes: %s", strings.ToLower(d.kind), templates.File(d.kind), firstWords(err))
			}
			return fmt.Errorf("try the templates: %w", err)
		}
	}
	return nil
}

func passingRefusal(err error) bool {
	said := firstWords(err)
	return strings.Contains(said, "exceeded quota") || strings.Contains(said, "dry run") || strings.Contains(said, "dryRun")
}
