package bed_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
)

const countTrain = "SELECT COUNT(*) FROM iris.train"

// One cluster for all of it, since booting is what takes long; the parts run in
// order and build on one another. The simulated cluster is tested meanwhile.
func TestARealCluster(t *testing.T) {
	o := options(t, bed.Real)
	before := traces(t)
	b := up(t, o)
	t.Parallel() // from here on: booting may build programs, which is done once

	t.Run("a second Up finds it", func(t *testing.T) {
		again := up(t, o)
		if again.Kubeconfig() != b.Kubeconfig() || !again.Running(bed.Kubelet) {
			t.Errorf("got another cluster: %s", again.Kubeconfig())
		}
	})
	t.Run("a database is ready in seconds and answers", func(t *testing.T) {
		start := time.Now()
		create(t, b, database("first", nil, nil), service("first"))
		ip := ready(t, b, "first")
		t.Logf("ready %s after kubectl create", time.Since(start).Round(10*time.Millisecond))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("ready after %s, want about two seconds", took)
		}
		if n := query(t, ip+":3306", countTrain); n != 110 {
			t.Errorf("iris.train has %d rows, want 110", n)
		}
		address := clusterIP(t, b, "first") + ":3306"
		if n := query(t, address, "SELECT COUNT(*) FROM iris.test"); n != 10 {
			t.Errorf("iris.test over the service has %d rows, want 10", n)
		}
		if n := query(t, address, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'sqlflow_models'"); n != 1 {
			t.Error("there is no sqlflow_models")
		}
	})
	t.Run("logs and exec", func(t *testing.T) {
		if log := kubectl(t, b, "", "logs", "first"); !strings.Contains(log, "ready for connections") {
			t.Errorf("the log of the database:\n%s", log)
		}
		got := kubectl(t, b, "in and out", "exec", "--stdin", "first", "--", "cat")
		if got != "in and out" {
			t.Errorf("exec gave %q", got)
		}
	})
	t.Run("a killed MariaDB comes back", func(t *testing.T) {
		kubectl(t, b, "", "exec", "first", "--", "bash", "-c", "kill -9 $(pidof mariadbd)")
		eventually(t, "restart", func() error {
			return expect(t, b, "first", "{.status.containerStatuses[0].restartCount}", "1")
		})
		ip := ready(t, b, "first")
		if n := query(t, ip+":3306", countTrain); n != 110 {
			t.Errorf("iris.train has %d rows, want 110", n)
		}
	})
	t.Run("beside one another", func(t *testing.T) {
		for _, part := range []struct {
			name string
			test func(*testing.T, *bed.Bed)
		}{
			{"a step reaches a database by its service", stepReaches},
			{"a step keeps its text byte for byte", stepKeepsText},
			{"a database with a volume keeps its tables", keepsTables},
			{"a database without privileges", hardened},
			{"service accounts may do what their role says", accounts},
		} {
			t.Run(part.name, func(t *testing.T) {
				t.Parallel()
				part.test(t, b)
			})
		}
	})
	t.Run("the kubelet away and back", func(t *testing.T) {
		stop(t, b, bed.Kubelet)
		query(t, clusterIP(t, b, "first")+":3306", countTrain)
		start(t, b, bed.Kubelet)
		create(t, b, database("after-kubelet", nil, nil))
		ready(t, b, "after-kubelet")
	})
	t.Run("the API server away and back", func(t *testing.T) {
		address := clusterIP(t, b, "first") + ":3306"
		stop(t, b, bed.APIServer)
		if out, err := tryKubectl(t, b, "", "get", "pods", "--request-timeout=5s"); err == nil {
			t.Errorf("kubectl still gets an answer: %s", out)
		}
		query(t, address, countTrain)
		start(t, b, bed.APIServer)
		create(t, b, database("after-apiserver", nil, nil))
		ready(t, b, "after-apiserver")
	})
	t.Run("etcd killed and back", func(t *testing.T) {
		if err := b.Kill(t.Context(), bed.Etcd); err != nil {
			t.Fatal(err)
		}
		start(t, b, bed.Etcd)
		eventually(t, "the cluster is healthy", func() error { return b.Healthy(t.Context()) })
		create(t, b, database("after-etcd", nil, nil))
		ready(t, b, "after-etcd")
		ready(t, b, "first")
	})
	t.Run("it gets over all that", func(t *testing.T) {
		stop(t, b, bed.ControllerManager)
		stop(t, b, bed.APIServer)
		if err := b.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		create(t, b, database("settled", nil, nil))
		ready(t, b, "settled")
	})
	t.Run("another process finds and stops it", func(t *testing.T) {
		other, err := bed.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	compare(t, before) // that it can be booted again at once is what package e2e relies on
}

func stop(t *testing.T, b *bed.Bed, c bed.Component) {
	t.Helper()
	if err := b.Stop(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if b.Running(c) {
		t.Fatalf("%s runs after it was stopped", c)
	}
}

func start(t *testing.T, b *bed.Bed, c bed.Component) {
	t.Helper()
	if err := b.Start(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// expect compares a field of a pod.
func expect(t *testing.T, b *bed.Bed, name, path, want string) error {
	t.Helper()
	got, err := tryKubectl(t, b, "", "get", "pod", name, "--output=jsonpath="+path)
	if err == nil && got != want {
		err = fmt.Errorf("%s of pod %s is %q, want %q", path, name, got, want)
	}
	return err
}

func stepReaches(t *testing.T, b *bed.Bed) {
	got := step(t, b, "step", clusterIP(t, b, "first"), countTrain)
	if got != "COUNT(*)\n110\n" {
		t.Errorf("the step printed %q", got)
	}
}

func stepKeepsText(t *testing.T, b *bed.Bed) {
	const nasty = "$(id) `id` {{=1+1}} {{x}} $$ \" \\G \\\\ %s ; -- # é 数据 \t\r\n."
	// HEX, since a container's log turns CRLF into LF.
	statement := "SELECT HEX('" + strings.ReplaceAll(nasty, `\`, `\\`) + "') AS v;\n-- the end"
	// Kubernetes itself expands $(VAR) and $$ in a command; $$ stands for $.
	got := step(t, b, "nasty", clusterIP(t, b, "first"), strings.ReplaceAll(statement, "$", "$$"))
	if want := fmt.Sprintf("v\n%X\n", nasty); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func keepsTables(t *testing.T, b *bed.Bed) {
	create(t, b, database("volume",
		object{"volumeMounts": []object{{"name": "data", "mountPath": "/var/lib/mysql"}}},
		object{"volumes": []object{{"name": "data", "emptyDir": object{}}}}))
	address := ready(t, b, "volume") + ":3306"
	kubectl(t, b, "", "exec", "volume", "--", "mariadb", "-uroot", "-proot", "-e", "CREATE TABLE iris.mine AS SELECT 7 AS n")
	kubectl(t, b, "", "exec", "volume", "--", "bash", "-c", "kill $(pidof mariadbd)")
	eventually(t, "restart", func() error {
		return expect(t, b, "volume", "{.status.containerStatuses[0].restartCount}", "1")
	})
	ready(t, b, "volume")
	if n := query(t, address, "SELECT n FROM iris.mine"); n != 7 {
		t.Errorf("the table holds %d, want 7", n)
	}
	if n := query(t, address, countTrain); n != 110 {
		t.Errorf("iris.train has %d rows, want 110", n)
	}
}

func hardened(t *testing.T, b *bed.Bed) {
	noCapabilities := object{"drop": []string{"ALL"}}
	for name, context := range map[string]object{
		"root-without-capabilities": {"capabilities": noCapabilities, "allowPrivilegeEscalation": false},
		"somebody": {
			"capabilities": noCapabilities, "allowPrivilegeEscalation": false, "runAsNonRoot": true, "runAsUser": 1234,
			"seccompProfile": object{"type": "RuntimeDefault"},
		},
	} {
		port := object{"name": "MYSQL_PORT", "value": "3307"}
		create(t, b, database(name, object{"securityContext": context, "env": []object{port}}, nil))
		if n := query(t, ready(t, b, name)+":3307", countTrain); n != 110 {
			t.Errorf("%s: iris.train has %d rows, want 110", name, n)
		}
	}
}

func accounts(t *testing.T, b *bed.Bed) {
	kubectl(t, b, "", "create", "serviceaccount", "reader")
	config, err := b.ServiceAccountKubeconfig(t.Context(), "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tryKubectl(t, b, "", "get", "pods", "--kubeconfig="+config)
	if err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("without a role: %v, want Forbidden", err)
	}
	kubectl(t, b, "", "create", "role", "reader", "--verb=list", "--resource=pods")
	kubectl(t, b, "", "create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
	eventually(t, "with a role", func() error {
		_, err := tryKubectl(t, b, "", "get", "pods", "--kubeconfig="+config)
		return err
	})
	if _, err := tryKubectl(t, b, "", "get", "secrets", "--kubeconfig="+config); err == nil {
		t.Error("the role for pods also gives secrets")
	}
	// The same from a pod, over the API server's own service.
	const ask = `
import os, ssl, urllib.request
here = "/var/run/secrets/kubernetes.io/serviceaccount/"
url = "https://%s:%s/api/v1/namespaces/default/pods" % (os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"])
request = urllib.request.Request(url, headers={"Authorization": "Bearer " + open(here + "token").read()})
print(urllib.request.urlopen(request, context=ssl.create_default_context(cafile=here + "ca.crt"), timeout=20).status)
`
	create(t, b, pod("in-cluster", object{
		"image": "sqlflow/sqlflow:step", "command": []string{"python3", "-c", ask},
	}, object{"serviceAccountName": "reader", "restartPolicy": "OnFailure"}))
	eventually(t, "the pod is done", func() error { return expect(t, b, "in-cluster", "{.status.phase}", "Succeeded") })
	if log := kubectl(t, b, "", "logs", "in-cluster"); log != "200\n" {
		t.Errorf("the API server answered the pod %q", log)
	}
}
