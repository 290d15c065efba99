package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
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
	t.Parallel()
	s := newSite(t)
	s.kubectl(t, s.shipped(t, "rbac.yaml"), "apply", "--filename=-")
	config, err := s.ServiceAccountKubeconfig(t.Context(), s.namespace, account)
	if err != nil {
		t.Fatal(err)
	}
	s.useAccount(t, config)
	asked := s.watchRequests(t)

	s.kubectl(t, fmt.Sprintf(oldPod, "old"), "create", "--filename=-")
	s.kubectl(t, "", "wait", "--for=condition=Ready", "--timeout=90s", "pod/sqlflow-mysql-old")
	servers := s.replicas(t, "--idle_timeout=10s")
	adopted := s.uid(t, "old")
	servers[0].database(t, "old")
	if s.uid(t, "old") != adopted {
		t.Error("the old server's pod was not adopted")
	}
	source := servers[0].database(t, "ann")
	pod := s.uid(t, "ann")
	s.kubectl(t, "", "delete", "pod", "sqlflow-mysql-ann", "--wait=false")
	s.healed(t, "ann", source, pod, time.Now())
	eventually(t, "an idle database is released", time.Minute, func() error {
		if _, err := s.pod(t.Context(), "ann"); err == nil {
			return errors.New("its pod is there")
		}
		return nil
	})
	if again := servers[1].database(t, "ann"); again != source {
		t.Errorf("the data source is %s, was %s", again, source)
	}
	s.kubectl(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: sqlflow-mysql-foreign}\nspec: {schedulerName: nobody, containers: [{name: mine, image: mine}]}\n",
		"create", "--filename=-")
	if a, err := servers[0].create(t.Context(), servers[0].clients, "foreign"); err != nil || a.status != http.StatusBadGateway {
		t.Errorf("a foreign pod in the way was answered %s, want 502: %v", a, err)
	}
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
	for _, what := range granted {
		// Kubernetes' garbage collector may delete a service with its record first.
		if len(used[what]) == 0 && what != "delete services" {
			t.Errorf("%s is granted and was never used", what)
		}
	}
	record(t, "3", "what `kubectl auth can-i --list` says of the account, beyond what every account may, and what the server asked of the API server",
		fmt.Sprintf("%d verbs, %d used", len(granted), len(granted)), "equal")

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

// The server in the cluster: its image by the Dockerfile and Debian's dockerd, and
// what scripts/ holds, applied as it is.
func TestInTheCluster(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const name = account + "." // of the Service
	host := name + s.namespace + ".svc"
	s.keytool(t, "init")
	s.keytool(t, "server", "--host", host)
	s.keytool(t, "client", gateway, "--gateway")
	s.loadServerImage(t)

	s.kubectl(t, s.shipped(t, "rbac.yaml"), "apply", "--filename=-")
	s.kubectl(t, "", "create", "secret", "generic", "sqlflow-playground-keys",
		"--from-file=ca.crt="+filepath.Join(s.keys, "ca/ca.crt"), "--from-file=server.crt="+filepath.Join(s.keys, "server/server.crt"),
		"--from-file=server.key="+filepath.Join(s.keys, "server/server.key"), "--from-file=crl.pem="+filepath.Join(s.keys, "crl.pem"))
	begun := time.Now()
	s.kubectl(t, s.shipped(t, "deployment.yaml"), "apply", "--filename=-")
	t.Cleanup(func() {
		if t.Failed() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			out, err := s.tryKubectl(ctx, "", "logs", "deployment/"+account, "--tail=100")
			t.Logf("the server wrote: %v\n%s", err, out)
		}
	})
	s.kubectl(t, "", "rollout", "status", "deployment/"+account, "--timeout=90s")
	record(t, "3", "the image of the Dockerfile, run by the Deployment of scripts/: ready after", brief(time.Since(begun)), "ready")

	ip := strings.TrimSpace(s.kubectl(t, "", "get", "service", account, "--output=jsonpath={.spec.clusterIP}"))
	config := s.tlsConfig(t, gateway)
	config.ServerName = host
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config}}
	begun = time.Now()
	var source string
	eventually(t, "create_db over the Service", 90*time.Second, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+ip+":50052/api/create_db", strings.NewReader(`{"user_id": "ann"}`))
		if err != nil {
			return err
		}
		a, err := do(client, request)
		if err == nil && a.status != http.StatusOK {
			err = errors.New(a.String())
		}
		source = a.source()
		return err
	})
	if err := works(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	record(t, "3", "create_db of a new user over the Service of scripts/", brief(time.Since(begun)), "≤ "+brief(pluginPatience))
	log := s.kubectl(t, "", "logs", "deployment/"+account)
	if strings.Contains(log, "orbidden") || strings.Contains(log, `"level":"error"`) {
		t.Errorf("the server complains:\n%s", log)
	}
}

// loadServerImage builds the server's image with a Docker Engine of its own folders
// and loads it into the cluster.
func (s *site) loadServerImage(t *testing.T) {
	t.Helper()
	// Not t.TempDir: a socket's path is at most 108 bytes.
	dir, err := os.MkdirTemp("", "docker")
	if err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	stop := startDockerd(t, dir)
	defer stop()
	for name, from := range map[string]string{
		"Dockerfile": "../../Dockerfile", "sqlflow_playground": s.program, "bin/kubectl": s.KubectlPath(),
	} {
		if err := copyFile(path("context/"+name), from); err != nil {
			t.Fatal(err)
		}
	}
	docker := func(args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "docker", append([]string{"--host=unix://" + path("socket")}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	const image = "sqlflow/playground:latest" // the Deployment's
	begun := time.Now()
	docker("build", "--tag="+image, path("context"))
	docker("save", "--output="+path("image.tar"), image)
	if err := s.LoadImage(t.Context(), path("image.tar")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path("image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	record(t, "3", fmt.Sprintf("the Dockerfile, built by dockerd and loaded: an image of %d MB after", info.Size()>>20), brief(time.Since(begun)), "built")
}

// startDockerd runs a Docker Engine that touches nothing outside of dir.
func startDockerd(t *testing.T, dir string) (stop func()) {
	t.Helper()
	path := func(name string) string { return filepath.Join(dir, name) }
	log, err := os.Create(path("log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dockerd", "--host=unix://"+path("socket"), "--data-root="+path("data"), "--exec-root="+path("exec"),
		"--pidfile="+path("pid"), "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--shutdown-timeout=5")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: apt-get install --yes docker.io", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = log.Close()
		// dockerd leaves the host's network namespace mounted.
		mounted, _ := filepath.Glob(path("exec/netns/*"))
		for _, name := range mounted {
			_ = syscall.Unmount(name, syscall.MNT_DETACH)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("what dockerd left cannot be removed: %v", err)
		}
	})
	t.Cleanup(stop)
	eventually(t, "dockerd answers", time.Minute, func() error {
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd ended:\n%s", text)
		default:
		}
		out, err := exec.CommandContext(t.Context(), "docker", "--host=unix://"+path("socket"), "version").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
	return stop
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
