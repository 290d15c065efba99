package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/images"
)

const databaseNamespace = "e2e-database"

const databaseSpace = `
apiVersion: v1
kind: Namespace
metadata: {name: ` + databaseNamespace + `}
`

// databasePod is a MariaDB as a playground gives it to a user.
const databasePod = `
apiVersion: v1
kind: Pod
metadata: {name: mysql, namespace: ` + databaseNamespace + `}
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
  - name: mysql
    image: "` + images.MySQLName + `"
    startupProbe:
      exec: {command: [mariadb, "-uroot", "-proot", "-e", "SELECT 1"]}
      periodSeconds: 1
      timeoutSeconds: 10
      failureThreshold: 100
`

// A database is a test's own, in a MariaDB that all tests share. Its user and
// password are its own as well.
type database struct {
	*sql.DB
	source   string // as SQLFlow writes it
	password string
}

// sharedDatabase gives the address of the MariaDB that all tests share.
func sharedDatabase(t *testing.T, b *bed.Bed) string {
	t.Helper()
	return once(t, "start a MariaDB", func() (string, func(context.Context) error, error) {
		ctx, cancel := context.WithTimeout(context.Background(), patience+time.Minute)
		defer cancel()
		if _, err := b.Kubectl(ctx, strings.NewReader(databaseSpace), "apply", "--filename=-"); err != nil {
			return "", nil, err
		}
		remove := func(ctx context.Context) error {
			_, err := b.Kubectl(ctx, nil, "delete", "namespace", databaseNamespace, "--wait=false")
			return err
		}
		in := "--namespace=" + databaseNamespace
		if _, err := b.Kubectl(ctx, nil, "wait", in, "--for=create", "--timeout="+patience.String(), "serviceaccount/default"); err != nil {
			return "", remove, err
		}
		if _, err := b.Kubectl(ctx, strings.NewReader(databasePod), "apply", "--filename=-"); err != nil {
			return "", remove, err
		}
		if _, err := b.Kubectl(ctx, nil, "wait", in, "--for=condition=Ready", "--timeout="+patience.String(), "pod/mysql"); err != nil {
			return "", remove, err
		}
		ip, err := b.Kubectl(ctx, nil, "get", in, "pod/mysql", "--output=jsonpath={.status.podIP}")
		return string(ip) + ":3306", remove, err
	})
}

// newDatabase gives an empty database, which goes with the test.
func newDatabase(t *testing.T, b *bed.Bed) database {
	t.Helper()
	address := sharedDatabase(t, b)
	root := connect(t, "root:root@tcp("+address+")/?multiStatements=true")
	name := fmt.Sprintf("e2e_%d", time.Now().UnixNano())
	password := "pa55-" + name
	for _, statement := range []string{
		"CREATE DATABASE " + name,
		"CREATE USER " + name + " IDENTIFIED BY '" + password + "'",
		"GRANT ALL ON " + name + ".* TO " + name,
	} {
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	t.Cleanup(func() {
		if _, err := root.Exec("DROP DATABASE " + name + "; DROP USER " + name); err != nil {
			t.Error(err)
		}
	})
	dsn := name + ":" + password + "@tcp(" + address + ")/" + name
	return database{connect(t, dsn), "mysql://" + dsn + "?maxAllowedPacket=0", password}
}

func connect(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// one gives the only value of a query as text.
func (d database) one(t *testing.T, query string, args ...any) string {
	t.Helper()
	var value sql.NullString
	if err := d.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value.String
}
