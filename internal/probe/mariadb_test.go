package probe_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/internal/probe"
)

// mariadb is a real server on a port of its own. go-mysql-server would not do: it
// keeps its status counters for the whole process and does not tell its age.
type mariadb struct {
	address string
	program string
	args    []string
	running *exec.Cmd
}

// startMariaDB starts a fresh server with the account root/root and stops it when t
// ends. It skips t where Debian's mariadb-server-core is not installed.
func startMariaDB(t *testing.T) *mariadb {
	t.Helper()
	program := find("mariadbd", "mysqld")
	install := find("mariadb-install-db", "mysql_install_db")
	if program == "" || install == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("CI must install mariadb-server-core: these tests need a real server")
		}
		t.Skip("needs a real MySQL server: install Debian's mariadb-server-core")
	}
	// Not t.TempDir: a socket's path may have 107 bytes only.
	dir, err := os.MkdirTemp("", "probe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	data := filepath.Join(dir, "data")
	owner := fmt.Sprintf("--user=%s", me(t))
	if out, err := exec.Command(install, "--no-defaults", "--datadir="+data, owner,
		"--auth-root-authentication-method=normal", "--skip-test-db").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", install, err, out)
	}
	init := filepath.Join(dir, "init.sql")
	if err := os.WriteFile(init, []byte(
		"CREATE OR REPLACE USER root@'%' IDENTIFIED BY 'root';\n"+
			"GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n"+
			"DROP USER IF EXISTS root@localhost, root@'127.0.0.1', root@'::1';\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mariadb{address: l.Addr().String(), program: program}
	_, port, _ := net.SplitHostPort(m.address)
	l.Close()
	m.args = []string{
		"--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(dir, "s"), "--bind-address=127.0.0.1",
		"--port=" + port, "--pid-file=" + filepath.Join(dir, "pid"), owner, "--init-file=" + init, "--skip-name-resolve",
		"--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--performance-schema=OFF",
	}
	m.start(t)
	t.Cleanup(func() { m.stop() })
	return m
}

// start runs the server and waits until it answers. The question is asked by a
// Prober of its own; the connections that this took are other people's to all others.
func (m *mariadb) start(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(m.program, m.args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.running = cmd
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var p probe.MySQL
	for {
		err := p.Ping(ctx, m.address)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			m.stop()
			t.Fatalf("MariaDB did not start: %v\n%s", err, log.Bytes()[:min(log.Len(), 4000)])
		}
	}
}

func (m *mariadb) stop() {
	if m.running == nil {
		return
	}
	m.running.Process.Signal(syscall.SIGTERM)
	m.running.Wait()
	m.running = nil
}

func find(names ...string) string {
	for _, name := range names {
		for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil || errors.Is(err, exec.ErrDot) {
				return path
			}
		}
	}
	return ""
}

func me(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(out))
}
