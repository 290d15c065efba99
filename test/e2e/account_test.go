package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// account is that of scripts/rbac.yaml.
const account = "sqlflow-playground"

// shipped gives a manifest of scripts/ for the site's namespace, changed by sed as
// the file itself says.
func (s *site) shipped(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../scripts", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "namespace: default", "namespace: "+s.namespace)
}

// The server as the account of scripts/rbac.yaml, outside of the cluster. Between
// it and the API server stands a proxy that writes down what is asked.
func TestAccount(t *testing.T) {
	beside(t, 50*time.Second)
	s := newSite(t)
	s.kubectl(t, s.shipped(t, "rbac.yaml"), "apply", "--filename=-")
	config, err := s.ServiceAccountKubeconfig(t.Context(), s.namespace, account)
	if err != nil {
		t.Fatal(err)
	}
	s.useAccount(t, config)
	asked := s.watchRequests(t)

	s.kubectl(t, fmt.Sprintf(oldPod, "old"), "create", "--filename=-")
	s.kubectl(t, "", "wait", "--for=condition=Ready", "--timeout="+patience.String(), "pod/sqlflow-mysql-old")
	servers := s.replicas(t, "--idle_timeout=20s")
	adopted := s.uid(t, "old")
	servers[0].database(t, "old")
	if s.uid(t, "old") != adopted {
		t.Error("the old server's pod was not adopted")
	}
	source := servers[0].database(t, "ann")
	pod := s.uid(t, "ann")
	s.kubectl(t, "", "delete", "pod", "sqlflow-mysql-ann", "--wait=false")
	s.healed(t, "ann", source, pod, time.Now())
	s.released(t, "ann")
	if again := servers[1].database(t, "ann"); again != source {
		t.Errorf("the data source is %s, was %s", again, source)
	}
	s.kubectl(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: sqlflow-mysql-foreign}\nspec: {schedulerName: nobody, containers: [{name: mine, image: mine}]}\n",
		"create", "--filename=-")
	eventually(t, "a foreign pod in the way is answered 502", patience, func() error {
		a, err := servers[0].create(t.Context(), servers[0].clients, "foreign")
		if err == nil && a.status != http.StatusBadGateway {
			err = errors.New(a.String())
		}
		return err
	})
	s.kubectl(t, "", "delete", "pod", "sqlflow-mysql-foreign", "--grace-period=0", "--force")
	for _, user := range []string{"ann", "old"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, servers[1].url("/api/delete_db"), strings.NewReader(`{"user_id": "`+user+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := do(servers[1].clients, request); err != nil || a.status != http.StatusOK {
			t.Errorf("delete_db was answered %s: %v", a, err)
		}
	}
	s.nothingLeft(t)
	record(t, "3", "the server as the account of scripts/rbac.yaml, outside of the cluster: creates, adopts, heals, releases, brings back, deletes", "all", "all")

	used, granted := asked(), s.granted(t)
	if refused := used["refused"]; len(refused) > 0 {
		t.Errorf("the API server refused %v", refused)
	}
	for what := range used {
		if what != "refused" && !slices.Contains(granted, what) {
			t.Errorf("%s was used and is not granted", what)
		}
	}
	exercised := 0
	for _, what := range granted {
		if len(used[what]) > 0 {
			exercised++
		} else if what != "delete services" { // Kubernetes' garbage collector may be first to delete one with its record
			t.Errorf("%s is granted and was never used", what)
		}
	}
	record(t, "3", "what `kubectl auth can-i --list` says of the account, beyond what every account may, and what the server asked of the API server",
		fmt.Sprintf("%d verbs, %d used", len(granted), exercised), "equal")

	no := 0
	for _, each := range [][]string{
		{"get", "secrets"}, {"create", "pods", "--namespace=default"}, {"list", "pods", "--all-namespaces"}, {"create", "pods", "--subresource=exec"}, {"get", "pods", "--subresource=log"},
		{"patch", "services"}, {"update", "pods"}, {"update", "leases.coordination.k8s.io"}, {"deletecollection", "pods"}, {"get", "nodes"},
		{"create", "serviceaccounts", "--subresource=token"}, {"create", "rolebindings.rbac.authorization.k8s.io"}, {"get", "configmaps"}, {"impersonate", "users"},
	} {
		out, _ := s.tryKubectl(t.Context(), "", slices.Concat([]string{"auth", "can-i"}, each, []string{"--as=system:serviceaccount:" + s.namespace + ":" + account})...)
		if strings.TrimSpace(out) != "no" {
			t.Errorf("may the account %s? %q, want no", strings.Join(each, " "), out)
		}
		no++
	}
	record(t, "3", "other things that the account is refused (secrets, exec, other namespaces, …)", fmt.Sprintf("%d of %d", no, no), "all")
}

// watchRequests puts a proxy between the site's servers and the API server. The
// function returned gives what was asked for so far, as "verb resource", and
// under "refused" what was forbidden.
func (s *site) watchRequests(t *testing.T) func() map[string][]string {
	t.Helper()
	target, err := url.Parse(s.Server())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(filepath.Dir(s.Kubeconfig()), "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(ca)
	var mu sync.Mutex
	seen := map[string][]string{}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 100},
		FlushInterval: -1, // a watch is told at once
		ModifyResponse: func(r *http.Response) error {
			what := asked(r.Request)
			mu.Lock()
			defer mu.Unlock()
			if what != "" {
				seen[what] = append(seen[what], r.Request.URL.Path)
			}
			if r.StatusCode == http.StatusForbidden {
				seen["refused"] = append(seen["refused"], what+" "+r.Request.URL.Path)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	front := httptest.NewTLSServer(proxy)
	t.Cleanup(front.Close)
	certificate := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "", "config", "set-cluster", "playground", "--kubeconfig="+s.kubeconfig, "--server="+front.URL,
		"--certificate-authority="+certificate, "--embed-certs")
	return func() map[string][]string {
		mu.Lock()
		defer mu.Unlock()
		all := map[string][]string{}
		for what, paths := range seen {
			all[what] = slices.Clone(paths)
		}
		return all
	}
}

// asked says in RBAC's words what a request is for; "" for what every account may
// (https://kubernetes.io/docs/reference/access-authn-authz/authorization/).
func asked(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var group string
	switch {
	case len(parts) > 4 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 5 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return ""
	}
	if parts[0] != "namespaces" || len(parts) < 3 {
		return ""
	}
	resource := strings.Join(append([]string{parts[2]}, parts[min(4, len(parts)):]...), "/")
	if group != "" {
		resource += "." + group
	}
	verb := map[string]string{"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}[r.Method]
	if len(parts) == 3 {
		switch {
		case r.URL.Query().Get("watch") != "":
			verb = "watch"
		case verb == "get":
			verb = "list"
		case verb == "delete":
			verb = "deletecollection"
		}
	}
	return verb + " " + resource
}

// granted lists what the account may beyond what every account may.
func (s *site) granted(t *testing.T) []string {
	t.Helper()
	list := func(account string) map[string][]string {
		out := s.kubectl(t, "", "auth", "can-i", "--list", "--no-headers", "--as=system:serviceaccount:"+s.namespace+":"+account,
			"--as-group=system:serviceaccounts", "--as-group=system:authenticated")
		rules := map[string][]string{}
		for line := range strings.Lines(out) {
			resource, _, _ := strings.Cut(line, " ")
			open, end := strings.LastIndex(line, "["), strings.LastIndex(line, "]")
			if open < 0 || end < open {
				continue
			}
			rules[resource] = append(rules[resource], strings.Fields(line[open+1:end])...)
		}
		return rules
	}
	everybody := list("default")
	var all []string
	for resource, verbs := range list(account) {
		for _, verb := range verbs {
			if resource != "" && !slices.Contains(everybody[resource], verb) {
				all = append(all, verb+" "+resource)
			}
		}
	}
	slices.Sort(all)
	return all
}
