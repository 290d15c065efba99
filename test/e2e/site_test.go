package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// A site is one playground: a namespace of its own, a key store made by the key
// tool, and the servers that a test starts on it.
type site struct {
	*bed.Bed
	program    string // sqlflow_playground
	namespace  string
	kubeconfig string // the administrator's, with that namespace as its own
	keys       string // the key store
	servers    int    // started on it
}

// program builds the server with all that it can do. Where make has just built it, that
// costs nothing.
func program(t *testing.T) string {
	t.Helper()
	return once(t, "build the server", func() (string, func(context.Context) error, error) {
		root, err := filepath.Abs("../..")
		if err != nil {
			return "", nil, err
		}
		return filepath.Join(root, "sqlflow_playground"), nil, makeTarget("build")
	})
}

// imageProgram builds the server as the image has it, without an embedded MySQL.
func imageProgram(t *testing.T) string {
	t.Helper()
	return once(t, "build the image's server", func() (string, func(context.Context) error, error) {
		dir, err := os.MkdirTemp("", "sqlflow_playground")
		if err != nil {
			return "", nil, err
		}
		path := filepath.Join(dir, "sqlflow_playground")
		return path, func(context.Context) error { return os.RemoveAll(dir) }, makeTarget("lean", "OUTPUT="+path)
	})
}

// makeTarget makes something of the Makefile.
func makeTarget(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute) // cold, all is compiled
	defer cancel()
	if out, err := exec.CommandContext(ctx, "make", append([]string{"--directory=../.."}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("make %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// newSite makes a playground on the real cluster. It goes with the test.
func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOn(t, cluster(t))
}

func newSiteOn(t *testing.T, b *bed.Bed) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{Bed: b, program: program(t), kubeconfig: filepath.Join(dir, "kubeconfig"), keys: filepath.Join(dir, "key_store")}
	s.namespace = strings.TrimSpace(s.kubectl(t, "apiVersion: v1\nkind: Namespace\nmetadata: {generateName: playground-}\n",
		"create", "--filename=-", "--output=jsonpath={.metadata.name}"))
	t.Cleanup(func() {
		shared.results.playground(s.servers)
		if t.Failed() {
			s.describe(t)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := b.Kubectl(ctx, nil, "delete", "namespace", s.namespace, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	s.useAccount(t, b.Kubeconfig())
	awaitAccount(t, b, s.namespace)
	return s
}

// awaitAccount waits until a new namespace has its service account, without which
// its pods are refused.
func awaitAccount(t *testing.T, b *bed.Bed, namespace string) {
	t.Helper()
	eventually(t, "the namespace's account is there", patience, func() error {
		return b.Get(t.Context(), "/api/v1/namespaces/"+namespace+"/serviceaccounts/default", new(struct{}))
	})
}

// useAccount has the servers that start from now on act as the account of a
// kubeconfig.
func (s *site) useAccount(t *testing.T, kubeconfig string) {
	t.Helper()
	text, err := os.ReadFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "", "config", "set-context", "--current", "--kubeconfig="+s.kubeconfig)
}

// kubectl runs kubectl as the administrator in the site's namespace and ends the
// test if it fails.
func (s *site) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := s.tryKubectl(t.Context(), stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *site) tryKubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Minute)
	defer cancel()
	if s.namespace != "" {
		args = append(args[:1:1], append([]string{"--namespace=" + s.namespace}, args[1:]...)...)
	}
	out, err := s.Kubectl(ctx, strings.NewReader(stdin), args...)
	return string(out), err
}

// keytool runs the key tool on the site's key store.
func (s *site) keytool(t *testing.T, args ...string) string {
	t.Helper()
	return s.run(t, append([]string{"keytool"}, append(args, "--key_store="+s.keys)...)...)
}

// run runs the program to its end and gives its standard output.
func (s *site) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, args...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("sqlflow_playground %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// describe logs what a failed test leaves behind.
func (s *site) describe(t *testing.T) {
	for _, args := range [][]string{
		{"get", "leases,services,pods", "--output=wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		out, err := s.tryKubectl(ctx, "", args...)
		cancel()
		t.Logf("kubectl %s: %v\n%.8000s", strings.Join(args, " "), err, out)
	}
}

// An object is what the tests look at of leases, services and pods.
type object struct {
	Kind     string
	Metadata struct {
		Name, Namespace, UID string
		Labels, Annotations  map[string]string
		DeletionTimestamp    string
	}
	Spec struct {
		ClusterIP string
		RenewTime time.Time
	}
	Status struct {
		Phase             string
		Conditions        []struct{ Type, Status string }
		ContainerStatuses []struct{ RestartCount int }
	}
}

func (o object) ready() bool {
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True" && o.Metadata.DeletionTimestamp == ""
		}
	}
	return false
}

// kinds are what a database consists of, and where the API server has it.
var kinds = [...]struct{ kind, path, resource string }{
	{"Lease", "/apis/coordination.k8s.io/v1", "leases"}, {"Service", "/api/v1", "services"}, {"Pod", "/api/v1", "pods"},
}

// objects lists the leases, services and pods that a selector means; "" means all.
func (s *site) objects(ctx context.Context, selector string) ([]object, error) {
	var all []object
	for _, k := range kinds {
		some, err := s.list(ctx, k.path, k.resource, selector)
		if err != nil {
			return nil, err
		}
		for _, o := range some {
			o.Kind = k.kind
			all = append(all, o)
		}
	}
	return all, nil
}

// list lists the objects of one resource that a selector means.
func (s *site) list(ctx context.Context, path, resource, selector string) ([]object, error) {
	var list struct{ Items []object }
	err := s.Get(ctx, path+"/namespaces/"+s.namespace+"/"+resource+"?labelSelector="+url.QueryEscape(selector), &list)
	return list.Items, err
}

// databaseLabel is on everything of a user's database, and its value is the name.
const databaseLabel = "sqlflow.org/database"

// databases lists the objects of databases only, by kind.
func (s *site) databases(t *testing.T) map[string][]object {
	t.Helper()
	all, err := s.objects(t.Context(), databaseLabel)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]object{}
	for _, o := range all {
		found[o.Kind] = append(found[o.Kind], o)
	}
	return found
}

// pod gives the pod of a user with a plain id.
func (s *site) pod(ctx context.Context, user string) (object, error) {
	var o object
	err := s.Get(ctx, "/api/v1/namespaces/"+s.namespace+"/pods/sqlflow-mysql-"+user, &o)
	return o, err
}

// released waits until a user has no pod.
func (s *site) released(t *testing.T, user string) {
	t.Helper()
	eventually(t, "the idle database of "+user+" is released", patience, func() error {
		_, err := s.pod(t.Context(), user)
		if errors.Is(err, bed.ErrNotFound) {
			return nil
		}
		return errors.Join(err, errors.New("its pod is there"))
	})
}

// uid is the identity of a user's pod.
func (s *site) uid(t *testing.T, user string) string {
	t.Helper()
	o, err := s.pod(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return o.Metadata.UID
}

// nothingLeft checks that nothing of any database is there.
func (s *site) nothingLeft(t *testing.T) {
	t.Helper()
	eventually(t, "nothing is left", patience, func() error {
		all, err := s.objects(t.Context(), "")
		for _, o := range all {
			if strings.HasPrefix(o.Metadata.Name, "sqlflow-mysql-") {
				err = errors.Join(err, fmt.Errorf("%s %s is there", o.Kind, o.Metadata.Name))
			}
		}
		return err
	})
}
