package kube_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
)

// scripts are the manifests for operators, which nothing else reads.
var scripts = []string{
	"../scripts/rbac.yaml", "../scripts/rbac-pool.yaml", "../scripts/rbac-storage.yaml", "../scripts/networkpolicy.yaml", "../scripts/deployment.yaml",
}

func TestRolesGrantExactlyWhatIsNeeded(t *testing.T) {
	t.Parallel()
	const base, pool, storage = "../scripts/rbac.yaml", "../scripts/rbac-pool.yaml", "../scripts/rbac-storage.yaml"
	for _, test := range []struct {
		pool, storage bool
		files         []string
	}{
		{false, false, []string{base}},
		{true, false, []string{base, pool}},
		{false, true, []string{base, storage}},
		{true, true, []string{base, pool, storage}},
	} {
		granted := granted(t, test.files)
		needed := kube.Permissions(test.pool, test.storage)
		slices.Sort(granted)
		slices.Sort(needed)
		if !slices.Equal(granted, needed) {
			t.Errorf("pool %v, storage %v: granted %v\nneeded  %v", test.pool, test.storage, granted, needed)
		}
	}
}

// granted are the permissions of all roles in the files.
func granted(t *testing.T, files []string) (granted []string) {
	t.Helper()
	for _, file := range files {
		for _, doc := range documents(t, file) {
			granted = append(granted, grantedBy(t, doc)...)
		}
	}
	return granted
}

func grantedBy(t *testing.T, doc []byte) (granted []string) {
	t.Helper()
	var role struct {
		Kind  string
		Rules []struct {
			APIGroups, Resources, Verbs, ResourceNames []string
		}
	}
	must(t, json.Unmarshal(doc, &role))
	for _, rule := range role.Rules {
		if role.Kind != "Role" || len(rule.ResourceNames) > 0 {
			t.Errorf("a rule of a %s with names %v", role.Kind, rule.ResourceNames)
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					granted = append(granted, verb+" "+group+"/"+resource)
				}
			}
		}
	}
	return granted
}

// documents are those of a YAML file, as JSON.
func documents(t *testing.T, file string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var all [][]byte
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		asJSON, err := json.Marshal(doc)
		must(t, err)
		all = append(all, asJSON)
	}
}

func TestScriptsAreAcceptedAndEnough(t *testing.T) {
	t.Parallel()
	if os.Getenv("PLAYGROUND_TEST_KUBECONFIG") == "" {
		t.Skip("only a real API server can say")
	}
	b := onReal(t)
	for _, file := range scripts {
		text, err := os.ReadFile(file)
		must(t, err)
		here := filepath.Join(t.TempDir(), "manifest.yaml")
		must(t, os.WriteFile(here, []byte(strings.ReplaceAll(string(text), "namespace: default", "namespace: "+b.namespace)), 0o600))
		b.kubectl("apply", "--filename="+here, "--validate=strict")
	}

	// From here on as the service account, which may do no more than its Role says.
	limited := *b
	limited.options.Kubeconfig = impersonate(t, b, "system:serviceaccount:"+b.namespace+":sqlflow-playground")
	c := limited.cluster(withPool, withStorage)
	ctx := t.Context()
	must(t, c.Check(ctx))
	b.put(original("old"))
	users, err := c.Adopt(ctx)
	must(t, err)
	if len(users) != 1 {
		t.Errorf("adopted %v", users)
	}
	w := limited.watch(c)
	w.until("the first list", func() bool { return w.synced > 0 })
	must(t, c.Claim(ctx, "ada", "", at))
	must(t, c.Start(ctx, "ada"))
	b.ready("ada")
	db := w.is("ada", playground.Ready)
	must(t, c.Touch(ctx, at, []playground.User{"ada"}))
	w.until("the touch", func() bool { db = w.all["ada"]; return db.LastUse.Equal(at) })
	db, err = c.Get(ctx, "ada")
	must(t, err)
	must(t, c.Mark(ctx, db, at))
	db, err = c.Get(ctx, "ada")
	must(t, err)
	must(t, c.Release(ctx, db, at))
	w.is("ada", playground.Released)
	leads, err := c.Lead(ctx, time.Minute)
	must(t, err)
	if !leads {
		t.Error("the only replica does not lead")
	}
	must(t, c.Remove(ctx, "ada", true))
	w.is("ada", playground.None)
	must(t, c.Resign(ctx))
	b.stock(c, w, 2)
	must(t, c.Claim(ctx, "bob", "", at))
	must(t, c.Start(ctx, "bob"))
	b.handedOver(w.is("bob", playground.Ready).Place, "bob", "pods", "services", "persistentvolumeclaims")
	must(t, c.Restock(ctx, 0, 0))
	w.spares(c, playground.Spares{})
}

// impersonate writes a kubeconfig whose user acts as another.
func impersonate(t *testing.T, b *bed, as string) string {
	t.Helper()
	var config map[string]any
	must(t, json.Unmarshal([]byte(b.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json")), &config))
	for _, each := range config["users"].([]any) {
		each.(map[string]any)["user"].(map[string]any)["as"] = as
	}
	text, err := json.Marshal(config)
	must(t, err)
	file := filepath.Join(t.TempDir(), "config")
	must(t, os.WriteFile(file, text, 0o600))
	return file
}
