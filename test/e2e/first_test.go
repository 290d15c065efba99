package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/images"
)

// What the notebook plugin waits for an answer to create_db.
const pluginPatience = 20 * time.Second

// The command line of the manual, and nothing else but kubectl and its kubeconfig
// in the usual places. This test runs alone, because it measures.
func TestFourFlags(t *testing.T) {
	s := newSite(t)
	server := &server{site: s, port: freePorts(t, 1)[0], log: filepath.Join(t.TempDir(), "log"), admin: "127.0.0.1:9998"}
	eventually(t, "nobody else has the admin address", patience, func() error {
		listener, err := net.Listen("tcp", server.admin)
		if err != nil {
			return err
		}
		return listener.Close()
	})
	s.makeKeys(t)
	s.keytool(t, "client", "ann", "--server_url", server.url(""))
	server.start(t, server.fourFlags()...)
	second := s.serve(t)

	begun := time.Now()
	source := strings.TrimSpace(s.run(t, "client", "create_db", "--env_file", filepath.Join(s.keys, "clients/ann/sqlflow_playground.env")))
	measured(t, "1", "create_db of a new user by the four-flag command line, `client create_db` of the env file included", time.Since(begun), 3*time.Second)

	if err := works(t.Context(), source); err != nil {
		t.Fatal(err)
	}
	record(t, "1", "go-sql-driver on the host counts iris.train over the data source", "110 rows", "110 rows")
	host, port := hostPort(t, source)
	sql := []string{"mariadb", "--host=" + host, "--port=" + port, "--user=root", "--password=root", "--batch", "--skip-column-names",
		"--execute=SELECT COUNT(*) FROM iris.train"}
	out, err := exec.CommandContext(t.Context(), sql[0], sql[1:]...).CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "110" {
		t.Fatalf("the mariadb client on the host: %v: %s", err, got)
	}
	record(t, "1", "the mariadb client on the host counts iris.train", "110 rows", "110 rows")
	s.kubectl(t, "", append([]string{"run", "client", "--image=" + images.StepName, "--image-pull-policy=Never", "--restart=Never", "--command", "--"}, sql...)...)
	s.kubectl(t, "", "wait", "pod/client", "--for=jsonpath={.status.phase}=Succeeded", "--timeout="+patience.String())
	if got := strings.TrimSpace(s.kubectl(t, "", "logs", "client")); got != "110" {
		t.Fatalf("the mariadb client in a pod said %q", got)
	}
	record(t, "1", "the mariadb client in a pod counts iris.train", "110 rows", "110 rows")

	var again, beats []time.Duration
	for range 20 {
		client := s.client(t, gateway) // as the plugin, a handshake each
		a, err := server.create(t.Context(), client, "ann")
		if err != nil || a.source() != source {
			t.Fatalf("the second create_db gave %s, want the first's %s: %v", a, source, err)
		}
		again = append(again, a.took)
		if a, err = server.beat(t.Context(), s.client(t, "ann"), "ann"); err != nil {
			t.Fatal(err)
		}
		beats = append(beats, a.took)
	}
	measured(t, "1", "create_db again, with a new connection each (median of 20)", share(again, 0.5), 50*time.Millisecond)
	measured(t, "1", "heart beat, with a new connection each (median of 20)", share(beats, 0.5), 50*time.Millisecond)
	if a, err := second.create(t.Context(), second.clients, "ann"); err != nil || a.source() != source {
		t.Fatalf("the other replica gave %s, want %s: %v", a, source, err)
	}
	record(t, "1", "the other replica gives the same data source", "same", "same")

	tenAtOnce(t, server)
}

func tenAtOnce(t *testing.T, server *server) {
	t.Helper()
	const users = 10
	beating := server.pulse(t, "ann", 20*time.Millisecond)
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	sources := map[string]bool{}
	for i := range users {
		all.Go(func() {
			begun := time.Now()
			source, err := server.createPatiently(t.Context(), student(i))
			waited := time.Since(begun)
			if err == nil {
				err = works(t.Context(), source)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("student %d: %v", i, err)
			}
			took = append(took, waited)
			sources[source] = true
		})
	}
	all.Wait()
	slowest, beats := beating.stop(t)
	if len(sources) != users {
		t.Errorf("%d users have %d data sources", users, len(sources))
	}
	measured(t, "1", "ten new users at once, all served: the slowest", share(took, 1), pluginPatience)
	measured(t, "1", fmt.Sprintf("the slowest of %d heart beats meanwhile", beats), slowest, 200*time.Millisecond)
}

// hostPort takes the address out of a data source.
func hostPort(t *testing.T, source string) (host, port string) {
	t.Helper()
	_, address, _ := strings.Cut(source, "tcp(")
	address, _, ok := strings.Cut(address, ")")
	host, port, found := strings.Cut(address, ":")
	if !ok || !found {
		t.Fatalf("%q is no data source", source)
	}
	return host, port
}

// The calls of the notebook plugin, made by tornado under Debian's own Python. It has
// no patience beyond tornado's own, so this test runs alone.
func TestPlugin(t *testing.T) {
	const python = "/usr/bin/python3"
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import tornado").CombinedOutput(); err != nil {
		t.Fatalf("this takes tornado of Debian: apt-get install --yes python3-tornado: %v\n%s", err, out)
	}
	script, err := os.ReadFile("testdata/plugin.py")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	servers := s.replicas(t)
	var user string // of the last attempt
	for i, c := range []struct{ checks, shown string }{
		{"default", "create_db of a new user and a heart beat by tornado's HTTPClient, Python's own x509 checks"},
		{"strict", "the same for the user who has a database, with VERIFY_X509_STRICT, at the other replica"},
	} {
		figure := inTime(t, c.shown, pluginPatience, func(attempt int) (time.Duration, error) {
			if i == 0 {
				user = fmt.Sprintf("eve%d@example.com", attempt)
				s.keytool(t, "client", fmt.Sprintf("eve%d", attempt), "--user", user)
			}
			name, _, _ := strings.Cut(user, "@")
			folder := filepath.Join(s.keys, "clients", name)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			call := exec.CommandContext(ctx, python, "-", servers[i].url(""), filepath.Join(folder, "ca.crt"),
				filepath.Join(folder, "client.crt"), filepath.Join(folder, "client.key"), user, c.checks)
			call.Stdin = strings.NewReader(string(script))
			begun := time.Now()
			out, err := call.CombinedOutput()
			took := time.Since(begun)
			if err != nil {
				return took, fmt.Errorf("%w\n%s", err, out)
			}
			source, said, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			if said != "hello "+user {
				return took, fmt.Errorf("the plugin's calls gave\n%s", out)
			}
			return took, works(ctx, source)
		})
		record(t, "2", c.shown, figure, "≤ "+brief(pluginPatience))
	}
}
