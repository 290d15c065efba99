package docker_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// image is what the steps of the tests run in: a small system with bash, made
// here and loaded into the daemon, which reaches no registry.
const image = "sqlflow/sqlflow:step"

// daemon is a Docker Engine of the tests' own, with its own socket and folders.
var daemon *client.Client

// missing says why there is no daemon.
var missing string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	stop, err := startDaemon()
	if err != nil {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 {
			fmt.Fprintln(os.Stderr, "CI needs a Docker Engine:", err)
			return 1
		}
		missing = err.Error()
	} else {
		defer stop()
	}
	return m.Run()
}

// needsDaemon skips a test where there is no Docker Engine: dockerd (Debian's
// docker.io) must be installed, and only root can start it.
func needsDaemon(t *testing.T) {
	t.Helper()
	if daemon == nil {
		t.Skip("no Docker Engine: " + missing)
	}
}

// startDaemon starts dockerd and gives what stops it.
func startDaemon() (stop func(), err error) {
	if os.Getuid() != 0 {
		return nil, errors.New("dockerd needs root")
	}
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		return nil, errors.New("dockerd is not installed")
	}
	for _, file := range []string{staticBusybox, staticBash} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("%s, of which the steps' image is made, is not installed", file)
		}
	}
	// Not t.TempDir: a socket's path is at most 108 bytes.
	folder, err := os.MkdirTemp("", "dockerd")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	socket := "unix://" + filepath.Join(folder, "socket")
	cmd := exec.Command(dockerd, "--host", socket, "--data-root", filepath.Join(folder, "data"), "--exec-root", filepath.Join(folder, "exec"),
		"--pidfile", filepath.Join(folder, "pid"), "--storage-driver", "vfs", "--iptables=false", "--bridge=none", "--shutdown-timeout", "5")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-died:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-died
		}
		// dockerd leaves the host's network namespace mounted.
		mounted, _ := filepath.Glob(filepath.Join(folder, "exec", "netns", "*"))
		for _, file := range mounted {
			_ = exec.Command("umount", "-l", file).Run()
		}
		if err := os.RemoveAll(folder); err != nil {
			fmt.Fprintln(os.Stderr, "dockerd's folder remains:", err)
		}
	}
	c, err := client.New(client.WithHost(socket))
	if err == nil {
		err = ready(c, died)
	}
	if err == nil {
		err = loadImage(c)
	}
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		stop()
		return nil, fmt.Errorf("dockerd: %w\n%s", err, text)
	}
	daemon = c
	return stop, nil
}

// ready waits until the daemon answers.
func ready(c *client.Client, died chan error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		if _, err := c.Ping(context.Background(), client.PingOptions{}); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case err := <-died:
			died <- err
			return fmt.Errorf("it ended: %v", err)
		case <-late:
			return errors.New("it is not ready after a minute")
		}
	}
}

const (
	staticBusybox = "/bin/busybox"     // Debian's busybox-static
	staticBash    = "/bin/bash-static" // Debian's bash-static
)

// stepScript is the program "step" of the image: it prints what it was given,
// so that a test can compare, and does as DO says.
const stepScript = `#!/bin/bash
[[ $# == 2 && $1 == -e ]] || exit 99
printf '%s' "$2" | base64 | tr -d '\n'
echo
eval "$DO"
`

// loadImage builds the image as a tar of docker save, and loads it.
func loadImage(c *client.Client) error {
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	add := func(header tar.Header, content []byte) {
		header.Size = int64(len(content))
		_ = files.WriteHeader(&header)
		_, _ = files.Write(content)
	}
	for _, folder := range []string{"bin/", "tmp/", "etc/"} {
		add(tar.Header{Name: folder, Mode: 0o1777, Typeflag: tar.TypeDir}, nil)
	}
	for name, source := range map[string]string{"bin/busybox": staticBusybox, "bin/bash": staticBash} {
		content, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		add(tar.Header{Name: name, Mode: 0o755, Typeflag: tar.TypeReg}, content)
	}
	for _, name := range []string{"sh", "base64", "tr", "cat", "tee", "mkdir", "sleep", "printf", "env", "wget", "touch", "ls", "true", "false", "test"} {
		add(tar.Header{Name: "bin/" + name, Linkname: "busybox", Typeflag: tar.TypeSymlink}, nil)
	}
	add(tar.Header{Name: "bin/step", Mode: 0o755, Typeflag: tar.TypeReg}, []byte(stepScript))
	if err := files.Close(); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin:/usr/bin"}, "Entrypoint": []string{"/bin/false"}, "Cmd": []string{"unwanted"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{image}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	files = tar.NewWriter(&archive)
	add(tar.Header{Name: "layer.tar", Mode: 0o644}, layer.Bytes())
	add(tar.Header{Name: "config.json", Mode: 0o644}, config)
	add(tar.Header{Name: "manifest.json", Mode: 0o644}, manifest)
	if err := files.Close(); err != nil {
		return err
	}
	loaded, err := c.ImageLoad(context.Background(), &archive)
	if err != nil {
		return err
	}
	defer loaded.Close()
	said, err := io.ReadAll(loaded)
	if err != nil || !bytes.Contains(said, []byte("Loaded image")) {
		return fmt.Errorf("the image was not loaded: %s, %v", said, err)
	}
	return nil
}
