package e2e_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// volumes makes hostPath volumes of a storage class of their own, for as long as the test.
func (s *site) volumes(t *testing.T, n int) (class string) {
	t.Helper()
	class = s.namespace
	dir, err := os.MkdirTemp("", "playground-volumes")
	if err != nil {
		t.Fatal(err)
	}
	var manifests strings.Builder
	var names []string
	for i := range n {
		name := fmt.Sprintf("%s-%d", class, i)
		names = append(names, "persistentvolume/"+name)
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o777); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&manifests, `---
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: %s
  hostPath: {path: %q, type: Directory}
`, name, class, path)
	}
	s.kubectl(t, manifests.String(), "create", "--filename=-")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := s.Kubectl(ctx, nil, append([]string{"delete", "--wait=false"}, names...)...)
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return class
}

// ask runs one statement and gives the first value of its first row, if it has one.
func ask(ctx context.Context, source, statement string) (value string, err error) {
	db, err := sql.Open("mysql", dsn(source))
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, statement).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return value, err
}

// What a user made is there again after the database was released, deleted, or moved,
// until it is purged; with a pool too, as the account of scripts/ may.
func TestStorage(t *testing.T) {
	beside(t, time.Minute)
	s := newSite(t)
	s.grant(t, "rbac.yaml", "rbac-pool.yaml", "rbac-storage.yaml")
	s.useStorage(t, "ann")
}

func TestStorageOfThePool(t *testing.T) {
	beside(t, 50*time.Second)
	s := newSite(t)
	s.grant(t, "rbac.yaml", "rbac-pool.yaml", "rbac-storage.yaml")
	s.useStorage(t, "Ann Smith", "--pool=1")
}

func (s *site) useStorage(t *testing.T, user string, flags ...string) {
	class := s.volumes(t, 5)
	servers := s.replicas(t, append(flags, "--storage=1Gi", "--storage_class="+class, "--idle_timeout=20s")...)
	fromPool := len(flags) > 0
	if fromPool {
		servers[0].full(t)
	}
	source := servers[0].database(t, user)
	if _, err := ask(t.Context(), source, "CREATE DATABASE mine"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE TABLE mine.notes (text VARCHAR(20))", "INSERT INTO mine.notes VALUES ('kept')"} {
		if _, err := ask(t.Context(), source, statement); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(source string) error {
		note, err := ask(t.Context(), source, "SELECT text FROM mine.notes")
		if err == nil && note != "kept" {
			err = fmt.Errorf("the note says %q", note)
		}
		return err
	}
	if fromPool {
		eventually(t, "the volume is handed over", patience, func() error { return s.handedOver(t.Context(), user) })
	}

	pod := s.podAt(t, source)
	eventually(t, "the idle database is released", patience, func() error {
		_, err := s.tryKubectl(t.Context(), "", "get", "pod", pod)
		if err != nil && strings.Contains(err.Error(), "NotFound") {
			return nil
		}
		return errors.Join(err, errors.New("its pod is there"))
	})
	begun := time.Now()
	if _, err := servers[1].beat(t.Context(), servers[1].clients, user); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a beat brings it back with its data", patience, func() error { return kept(source) })
	how := "a database"
	if fromPool {
		how = "a database from the pool"
	}
	measured(t, "storage", how+" was idle and is brought back: at its address, with its data, after", time.Since(begun), 10*time.Second)

	servers[0].delete(t, user, false)
	again := servers[1].database(t, user)
	if err := kept(again); err != nil {
		t.Errorf("after delete_db and create_db: %v", err)
	}
	record(t, "storage", how+" was deleted and made again: its data", "kept", "kept")

	servers[0].delete(t, user, true)
	eventually(t, "the volume claim is gone", patience, func() error {
		if err := s.handedOver(t.Context(), user); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
	last := servers[1].database(t, user)
	if err := kept(last); err == nil {
		t.Error("after a purge the data is still there")
	}
	record(t, "storage", how+" was deleted with purge and made again: its data", "gone", "gone")
}

// handedOver finds the user's volume claim.
func (s *site) handedOver(ctx context.Context, user string) error {
	all, err := s.list(ctx, "/api/v1", "persistentvolumeclaims", "")
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.Metadata.Annotations["sqlflow.org/user"] == user {
			return nil
		}
	}
	return fmt.Errorf("%q has no volume claim", user)
}

// delete releases a user's database now, with its data or without.
func (s *server) delete(t *testing.T, user string, purge bool) {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"user_id": %q, "purge": %v}`, user, purge))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("/api/delete_db"), body)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := do(s.clients, request); err != nil || a.status != http.StatusOK {
		t.Fatalf("delete_db was answered %s: %v", a, err)
	}
}
