package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The server in the cluster: its image by the Dockerfile and Debian's dockerd, and
// what scripts/ holds, applied as it is. Most of the time it waits for the kubelet, which
// looks at the Secrets of a pod every minute or so.
func TestInTheCluster(t *testing.T) {
	beside(t, 110*time.Second)
	s := newSite(t)
	const name = account + "." // of the Service
	host := name + s.namespace + ".svc"
	s.keytool(t, "init")
	s.keytool(t, "server", "--host", host)
	s.keytool(t, "client", gateway, "--gateway")
	s.keytool(t, "client", "bob")
	s.loadServerImage(t)

	s.kubectl(t, s.shipped(t, "rbac.yaml"), "apply", "--filename=-")
	s.copyKeys(t)
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
	s.kubectl(t, "", "rollout", "status", "deployment/"+account, "--timeout="+patience.String())
	record(t, "3", "the image of the Dockerfile, run by the Deployment of scripts/: ready after", brief(time.Since(begun)), "ready")

	ip := strings.TrimSpace(s.kubectl(t, "", "get", "service", account, "--output=jsonpath={.spec.clusterIP}"))
	dsw, bob := s.caller(t, gateway, host), s.caller(t, "bob", host)
	create := func() (answer, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+ip+":50052/api/create_db", strings.NewReader(`{"user_id": "ann"}`))
		if err != nil {
			return answer{}, err
		}
		a, err := do(dsw, request)
		if err == nil && a.status != http.StatusOK {
			err = errors.New(a.String())
		}
		return a, err
	}
	begun = time.Now()
	var source string
	eventually(t, "create_db over the Service", patience, func() error {
		a, err := create()
		source = a.source()
		return err
	})
	if err := works(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	record(t, "3", "create_db of a new user over the Service of scripts/", brief(time.Since(begun)), "≤ "+brief(pluginPatience))

	if _, err := beatAt(t.Context(), ip, bob, "bob"); err != nil {
		t.Fatal(err)
	}
	s.keytool(t, "revoke", "bob")
	s.keytool(t, "renew", "server")
	s.copyKeys(t)
	changed := time.Now()

	s.servers = 2
	s.kubectl(t, "", "scale", "deployment/"+account, "--replicas=2")
	s.kubectl(t, "", "rollout", "status", "deployment/"+account, "--timeout="+patience.String())
	for range 10 {
		eventually(t, "create_db over the Service, of two replicas", patience, func() error {
			a, err := create()
			if err == nil && a.source() != source {
				t.Fatalf("a replica gives %s, want %s", a.source(), source)
			}
			return err
		})
	}
	record(t, "3", "the Deployment scaled to two replicas: ten create_db over the Service give the same data source", "same", "same")

	pods := strings.Fields(s.kubectl(t, "", "get", "pods", "--selector=app.kubernetes.io/name="+account, "--output=jsonpath={.items[*].status.podIP}"))
	if len(pods) != s.servers {
		t.Fatalf("the server's pods are at %q, want %d", pods, s.servers)
	}
	for _, pod := range pods {
		eventually(t, "what the key tool did is in force at "+pod, patience, func() error { return s.hasKeys(t.Context(), pod, bob, dsw) })
	}
	record(t, "3", "a client revoked, the server's certificate renewed, and the Secret made again as the README says: in force at both replicas after",
		brief(time.Since(changed)), "≤ 2 min")
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
		"Dockerfile": "../../Dockerfile", "sqlflow_playground": imageProgram(t), "bin/kubectl": s.KubectlPath(),
	} {
		if err := copyFile(path("context/"+name), from); err != nil {
			t.Fatal(err)
		}
	}
	docker := func(args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
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
		case <-time.After(time.Minute):
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
	eventually(t, "dockerd answers", patience, func() error {
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
