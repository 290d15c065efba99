package images_test

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sqlflow.org/sqlflow_playground/test/images"
)

// untar gives every entry of a tar: its header and content.
func untar(t *testing.T, r io.Reader) (headers map[string]*tar.Header, bodies map[string][]byte) {
	t.Helper()
	headers, bodies = map[string]*tar.Header{}, map[string][]byte{}
	in := tar.NewReader(r)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return headers, bodies
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		headers[header.Name], bodies[header.Name] = header, body
	}
}

func TestASavedImageIsOneThatCanBeLoaded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "image.tar")
	img := images.Image{
		Name: "example/thing:1",
		Layers: []images.Layer{
			{Files: []images.File{{Path: "/etc/thing", Mode: 0o644, Content: []byte("setting")}}},
			{Files: []images.File{
				{Path: "/bin/thing", Mode: 0o755, From: program},
				{Path: "/bin/other", Link: "thing"},
				{Path: "/work", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
			}},
		},
		Entrypoint: []string{"/bin/thing"}, Cmd: []string{"--now"}, Env: []string{"A=b"}, WorkDir: "/work", User: "7",
	}
	if err := img.Save(name); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, entries := untar(t, file)

	var manifests []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(entries["manifest.json"], &manifests); err != nil {
		t.Fatal(err)
	}
	if len(manifests) != 1 || !slices.Equal(manifests[0].RepoTags, []string{img.Name}) || len(manifests[0].Layers) != 2 {
		t.Fatalf("manifest: %+v", manifests)
	}
	var config struct {
		OS     string
		Config struct {
			Entrypoint, Cmd, Env []string
			WorkingDir, User     string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(entries[manifests[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	if c := config.Config; config.OS != "linux" || c.User != "7" || c.WorkingDir != "/work" ||
		!slices.Equal(append(c.Entrypoint, c.Cmd...), []string{"/bin/thing", "--now"}) || !slices.Equal(c.Env, img.Env) {
		t.Errorf("config: %+v", config)
	}
	for i, layer := range manifests[0].Layers {
		sum := sha256.Sum256(entries[layer])
		if got := "sha256:" + hex.EncodeToString(sum[:]); config.RootFS.DiffIDs[i] != got {
			t.Errorf("layer %d is %s, the config says %s", i, got, config.RootFS.DiffIDs[i])
		}
	}
	layer, err := os.CreateTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	if _, err := layer.Write(entries[manifests[0].Layers[1]]); err != nil {
		t.Fatal(err)
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	headers, bodies := untar(t, layer)
	if string(bodies["bin/thing"]) != "a program" || headers["bin/thing"].Mode != 0o755 {
		t.Errorf("the program: %q, mode %o", bodies["bin/thing"], headers["bin/thing"].Mode)
	}
	if headers["bin/other"].Linkname != "thing" || headers["work/"].Mode != 0o1777 {
		t.Errorf("link to %q, folder of mode %o", headers["bin/other"].Linkname, headers["work/"].Mode)
	}
}

func TestAnImageThatCannotBeMadeLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := images.Image{Name: "a/b:c", Layers: []images.Layer{{Tar: filepath.Join(dir, "missing.tar")}}}
	if err := img.Save(filepath.Join(dir, "image.tar")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the layer is missing", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
