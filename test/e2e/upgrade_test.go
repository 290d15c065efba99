package e2e_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/test/images"
)

// oldPod is a database as the Python server made it: a bare pod.
const oldPod = `
apiVersion: v1
kind: Pod
metadata: {name: sqlflow-mysql-%s}
spec:
  containers:
  - name: mysql
    image: "` + images.MySQLName + `"
    imagePullPolicy: IfNotPresent
    env:
    - {name: MYSQL_HOST, value: "0.0.0.0"}
    - {name: MYSQL_PORT, value: "3306"}
    readinessProbe:
      exec: {command: [cat, /work/mysql-inited]}
      initialDelaySeconds: 0
      periodSeconds: 1
`

// The old server's databases are taken over with what users stored in them, both
// those that are there at the start and those that appear later.
func TestUpgrade(t *testing.T) {
	beside(t, 10*time.Second)
	s := newSite(t)
	var servers [2]*server
	start := func() { servers = s.replicas(t) }
	for _, c := range []struct{ user, when string }{{"before", "was there at the start"}, {"after", "appeared beside the running servers"}} {
		s.kubectl(t, fmt.Sprintf(oldPod, c.user), "create", "--filename=-")
		s.kubectl(t, "", "wait", "--for=condition=Ready", "--timeout="+patience.String(), "pod/sqlflow-mysql-"+c.user)
		pod := s.uid(t, c.user)
		ip := s.kubectl(t, "", "get", "pod", "sqlflow-mysql-"+c.user, "--output=jsonpath={.status.podIP}")
		db := connect(t, "root:root@tcp("+ip+":3306)/?multiStatements=true")
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE iris.mine AS SELECT 7 AS n"); err != nil {
			t.Fatal(err)
		}
		if servers[0] == nil {
			start()
		}
		begun := time.Now()
		source := servers[0].database(t, c.user)
		took := time.Since(begun)
		if again := servers[1].database(t, c.user); again != source {
			t.Errorf("the replicas disagree: %s and %s", source, again)
		}
		var n int
		mine, err := sql.Open("mysql", dsn(source))
		if err != nil {
			t.Fatal(err)
		}
		defer mine.Close()
		if err := mine.QueryRowContext(t.Context(), "SELECT n FROM iris.mine").Scan(&n); err != nil || n != 7 {
			t.Errorf("the old table holds %d, want 7: %v", n, err)
		}
		o, err := s.pod(t.Context(), c.user)
		if err != nil {
			t.Fatal(err)
		}
		if o.Metadata.UID != pod || o.Metadata.Labels[databaseLabel] == "" {
			t.Errorf("the pod %s became %s with labels %v", pod, o.Metadata.UID, o.Metadata.Labels)
		}
		record(t, "7", "a bare pod of the old server that "+c.when+": same pod, its table kept, create_db after", brief(took), "kept")
	}
	if found := s.databases(t); len(found["Lease"]) != 2 || len(found["Service"]) != 2 || len(found["Pod"]) != 2 {
		t.Errorf("there are %d leases, %d services, %d pods for two users", len(found["Lease"]), len(found["Service"]), len(found["Pod"]))
	}
}
