package command_test

import (
	"bufio"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/internal/command"
	"sqlflow.org/sqlflow_playground/keytool"
)

// runDemo starts the demo, ends it when it has told all, and returns the env file it told.
func runDemo(t *testing.T, keyStore, port string) map[string]string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	var errs strings.Builder
	ended := make(chan int, 1)
	go func() {
		code := command.Run(ctx, command.World{Args: []string{"demo", "--key_store", keyStore, "--port", port}, Out: in, Err: &errs})
		_ = in.Close()
		ended <- code
	}()
	told := map[string]string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if ok && strings.HasPrefix(name, "SQLFLOW_") {
			told[name] = value
		}
		if name == client.EnvUserID { // the last line
			stop()
		}
	}
	if code := <-ended; code != 0 {
		t.Fatalf("the demo ended with %d: %s", code, errs.String())
	}
	return told
}

func readEnv(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	env, err := client.ReadEnv(file, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	delete(env, "SQLFLOW_SERVER") // which the demo does not tell
	return env
}

func TestTheDemoTellsItsEnvFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := &keytool.Store{Dir: filepath.Join(dir, "key_store")}
	one, other := unusedPort(t), unusedPort(t)
	serial := func() string {
		t.Helper()
		all, err := store.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Name == "demo" && e.Current {
				return e.Serial
			}
		}
		t.Fatal("the demo has no client")
		return ""
	}
	var last string
	for _, step := range []struct {
		name, port string
		move       string
		stays      bool
	}{
		{name: "the first time", port: one},
		{name: "again", port: one, stays: true},
		{name: "on another port", port: other},
		{name: "after the folder moved", port: other, move: filepath.Join(dir, "moved")},
		{name: "on any port", port: "0"},
	} {
		if step.move != "" {
			if err := os.Rename(store.Dir, step.move); err != nil {
				t.Fatal(err)
			}
			store.Dir = step.move
		}
		told := runDemo(t, store.Dir, step.port)
		if env := readEnv(t, store.EnvFile("demo")); !maps.Equal(env, told) {
			t.Errorf("%s: the file has\n%v, told is\n%v", step.name, env, told)
		}
		if want := "https://localhost:" + step.port; told[client.EnvServer] != want && step.port != "0" {
			t.Errorf("%s: the server is %s, want %s", step.name, told[client.EnvServer], want)
		}
		if want := filepath.Join(store.Dir, "clients/demo/client.key"); told[client.EnvClientKey] != want {
			t.Errorf("%s: the key is %s, want %s", step.name, told[client.EnvClientKey], want)
		}
		if now := serial(); (now == last) != step.stays {
			t.Errorf("%s: the certificate was %s and is %s", step.name, last, now)
		} else {
			last = now
		}
	}
	if problems, err := store.Check(); err != nil || len(problems) > 0 {
		t.Errorf("the key store has the problems %v, %v", problems, err)
	}

	// A client of that name for a server elsewhere is not the demo's.
	const elsewhere = "https://playground.example.com:50052"
	if _, err := store.Client("demo", keytool.ClientOptions{ServerURL: elsewhere, Force: true}); err != nil {
		t.Fatal(err)
	}
	runDemo(t, store.Dir, one)
	if env := readEnv(t, store.EnvFile("demo")); env[client.EnvServer] != elsewhere {
		t.Errorf("another's file is now %v", env)
	}
	// Nor is one that acts for others, wherever its server is.
	if _, err := store.Client("demo", keytool.ClientOptions{ServerURL: "https://localhost:" + other, Gateway: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	last = serial()
	runDemo(t, store.Dir, one)
	if now := serial(); now != last {
		t.Error("another's client has a new certificate")
	}
	// One that is revoked is not let in again.
	if _, err := store.Revoke("demo"); err != nil {
		t.Fatal(err)
	}
	last = serial()
	runDemo(t, store.Dir, one)
	if now := serial(); now != last {
		t.Error("the revoked client has a new certificate")
	}
}
