package bed_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"sqlflow.org/sqlflow_playground/test/bed"
)

// options gives a cluster of its own kind, away from one that someone works
// with as far as a machine allows: there is one real cluster on a machine, and
// these tests take it down.
func options(t *testing.T, nodes bed.Nodes) bed.Options {
	t.Helper()
	if testing.Short() && os.Getenv("CI") == "" {
		t.Skip("boots a cluster, which a short run does not")
	}
	o := bed.Options{Nodes: nodes, FakeNodes: 5, Logf: t.Logf}
	down := func(ctx context.Context) error {
		if err := bed.Down(ctx, o); !errors.Is(err, bed.ErrNotUp) {
			return err
		}
		return nil
	}
	if err := down(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// up boots a cluster.
func up(t *testing.T, o bed.Options) *bed.Bed {
	t.Helper()
	b, err := bed.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// kubectl runs kubectl on a cluster and stops the test when it fails.
func kubectl(t *testing.T, b *bed.Bed, stdin string, args ...string) string {
	t.Helper()
	out, err := tryKubectl(t, b, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryKubectl(t *testing.T, b *bed.Bed, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Minute)
	defer cancel()
	out, err := b.Kubectl(ctx, strings.NewReader(stdin), args...)
	return string(out), err
}

// patience is how long a busy machine may take for what takes seconds on a quiet one.
const patience = 3 * time.Minute

// eventually asks until check agrees.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

type object = map[string]any

// create makes objects of one kubectl.
func create(t *testing.T, b *bed.Bed, objects ...object) {
	t.Helper()
	var docs bytes.Buffer
	for _, o := range objects {
		if err := json.NewEncoder(&docs).Encode(o); err != nil {
			t.Fatal(err)
		}
		docs.WriteString("---\n")
	}
	kubectl(t, b, docs.String(), "create", "--filename=-")
}

func pod(name string, container object, spec object) object {
	container["name"] = "main"
	whole := object{"containers": []object{container}, "terminationGracePeriodSeconds": 5}
	for key, value := range spec {
		whole[key] = value
	}
	return object{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": object{"name": name, "labels": object{"app": name}}, "spec": whole,
	}
}

// database is a pod as the server makes them, with what is said of its
// container on top.
func database(name string, container, spec object) object {
	whole := object{
		"image": "sqlflow/sqlflow:mysql",
		"env":   []object{{"name": "MYSQL_HOST", "value": "0.0.0.0"}, {"name": "MYSQL_PORT", "value": "3306"}},
		"startupProbe": object{
			"exec": object{"command": []string{"cat", "/work/mysql-inited"}}, "periodSeconds": 1, "failureThreshold": 900,
		},
	}
	for key, value := range container {
		whole[key] = value
	}
	return pod(name, whole, spec)
}

func service(name string) object {
	return object{
		"apiVersion": "v1", "kind": "Service", "metadata": object{"name": name},
		"spec": object{"selector": object{"app": name}, "ports": []object{{"port": 3306}}},
	}
}

// ready waits until a pod is and gives its address.
func ready(t *testing.T, b *bed.Bed, name string) (ip string) {
	t.Helper()
	if _, err := tryKubectl(t, b, "", "wait", "--for=condition=Ready", "pod/"+name, "--timeout="+patience.String()); err != nil {
		log, _ := tryKubectl(t, b, "", "logs", name, "--tail=20")
		about, _ := tryKubectl(t, b, "", "describe", "pod", name)
		t.Fatalf("%v\n%s\n%s", err, about, log)
	}
	return kubectl(t, b, "", "get", "pod", name, "--output=jsonpath={.status.podIP}")
}

func clusterIP(t *testing.T, b *bed.Bed, name string) string {
	t.Helper()
	return kubectl(t, b, "", "get", "service", name, "--output=jsonpath={.spec.clusterIP}")
}

// query asks a database on this address for one number. The rules of a new
// service take a moment to be in place.
func query(t *testing.T, address, statement string) (n int) {
	t.Helper()
	db, err := sql.Open("mysql", fmt.Sprintf("root:root@tcp(%s)/?timeout=5s&readTimeout=30s", address))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	eventually(t, statement+" on "+address, func() error {
		return db.QueryRowContext(t.Context(), statement).Scan(&n)
	})
	return n
}

// step runs the step program in a pod and gives what it printed.
func step(t *testing.T, b *bed.Bed, name, address, statement string) string {
	t.Helper()
	create(t, b, pod(name, object{
		"image": "sqlflow/sqlflow:step", "command": []string{"step", "-e", statement},
		"env": []object{{
			"name": "SQLFLOW_DATASOURCE", "value": "mysql://root:root@tcp(" + address + ":3306)/?maxAllowedPacket=0",
		}},
	}, object{"restartPolicy": "Never"}))
	if _, err := tryKubectl(t, b, "", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/"+name, "--timeout="+patience.String()); err != nil {
		log, _ := tryKubectl(t, b, "", "logs", name)
		t.Fatalf("%v\n%s", err, log)
	}
	return kubectl(t, b, "", "logs", name)
}
