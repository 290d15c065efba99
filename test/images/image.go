// Package images builds container images without a registry, a daemon or a
// Dockerfile: an image is a tar with layers, a config and a manifest, which
// both `ctr images import` and `docker load` read.
//
// Image turns files into such a tar and serves any program. On top of it
// Builder makes the images that a playground needs: the database that a user
// gets, the image that a workflow's steps run in, and the pause image that
// holds a pod's network open.
package images

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// An Image is what Save writes. Name is the reference under which it is
// loaded, such as sqlflow/sqlflow:mysql; layers lie one above the other.
type Image struct {
	Name       string
	Layers     []Layer
	Entrypoint []string
	Cmd        []string
	Env        []string // as NAME=value
	WorkDir    string
	User       string
}

// A Layer is either an uncompressed tar that lies in a file, or files.
type Layer struct {
	Tar   string
	Files []File
}

// A File is one entry of a layer: a folder when Mode says so, a symbolic link
// when Link is set, and otherwise a regular file with Content, or with what
// the file From of this machine holds. Everything belongs to root. Folders
// above it need not be listed.
type File struct {
	Path    string // absolute
	Mode    fs.FileMode
	Content []byte
	From    string
	Link    string
}

// The shape of manifest.json and of the config beside it:
// github.com/moby/docker-image-spec, the "combined image JSON + filesystem
// changeset" format that docker save writes.
type (
	manifest struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	config struct {
		Architecture string     `json:"architecture"`
		OS           string     `json:"os"`
		Created      time.Time  `json:"created"`
		Config       runConfig  `json:"config"`
		RootFS       rootFS     `json:"rootfs"`
		History      []struct{} `json:"history,omitempty"`
	}
	runConfig struct {
		Entrypoint []string `json:",omitempty"`
		Cmd        []string `json:",omitempty"`
		Env        []string `json:",omitempty"`
		WorkingDir string   `json:",omitempty"`
		User       string   `json:",omitempty"`
	}
	rootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
)

// Save writes the image to a file, which appears under its name only when it
// is complete.
func (img Image) Save(name string) error {
	half, err := os.CreateTemp(filepath.Dir(name), "half-"+filepath.Base(name)+"-")
	if err != nil {
		return fmt.Errorf("save image %s: %w", img.Name, err)
	}
	defer os.Remove(half.Name())
	defer half.Close()
	if err := img.write(half); err != nil {
		return fmt.Errorf("save image %s: %w", img.Name, err)
	}
	if err := half.Close(); err != nil {
		return fmt.Errorf("save image %s: %w", img.Name, err)
	}
	if err := os.Rename(half.Name(), name); err != nil {
		return fmt.Errorf("save image %s: %w", img.Name, err)
	}
	return nil
}

func (img Image) write(w io.Writer) error {
	out := tar.NewWriter(w)
	about := manifest{RepoTags: []string{img.Name}}
	conf := config{
		Architecture: runtime.GOARCH, OS: "linux",
		Created: time.Unix(0, 0).UTC(), // the same files give the same image
		Config: runConfig{
			Entrypoint: img.Entrypoint, Cmd: img.Cmd, Env: img.Env, WorkingDir: img.WorkDir, User: img.User,
		},
		RootFS: rootFS{Type: "layers"},
	}
	for i, layer := range img.Layers {
		id, name, err := layer.write(out, i)
		if err != nil {
			return err
		}
		about.Layers = append(about.Layers, name)
		conf.RootFS.DiffIDs = append(conf.RootFS.DiffIDs, id)
	}
	body, err := json.Marshal(conf)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	about.Config = hex.EncodeToString(sum[:]) + ".json"
	if err := writeEntry(out, about.Config, body); err != nil {
		return err
	}
	index, err := json.Marshal([]manifest{about})
	if err != nil {
		return err
	}
	if err := writeEntry(out, "manifest.json", index); err != nil {
		return err
	}
	return out.Close()
}

// write adds one layer to the archive; its id is the digest of the tar.
func (l Layer) write(out *tar.Writer, n int) (id, name string, err error) {
	var from io.Reader
	var size int64
	if l.Tar != "" {
		file, err := os.Open(l.Tar)
		if err != nil {
			return "", "", err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return "", "", err
		}
		from, size = file, info.Size()
	} else {
		var body bytes.Buffer
		if err := writeFiles(&body, l.Files); err != nil {
			return "", "", err
		}
		from, size = &body, int64(body.Len())
	}
	name = fmt.Sprintf("layer%d.tar", n)
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
		return "", "", err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, sum), from); err != nil {
		return "", "", fmt.Errorf("layer %s: %w", l.Tar, err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), name, nil
}

func writeEntry(out *tar.Writer, name string, body []byte) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
		return err
	}
	_, err := out.Write(body)
	return err
}

func writeFiles(w io.Writer, files []File) error {
	out := tar.NewWriter(w)
	for _, f := range files {
		header := &tar.Header{Name: strings.TrimPrefix(f.Path, "/"), Mode: int64(f.Mode.Perm())}
		if f.Mode&fs.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
		content := f.Content
		switch {
		case f.Mode.IsDir():
			header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		case f.Link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, f.Link
		case f.From != "":
			var err error
			if content, err = os.ReadFile(f.From); err != nil {
				return err
			}
			fallthrough
		default:
			header.Typeflag, header.Size = tar.TypeReg, int64(len(content))
		}
		if err := out.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := out.Write(content); err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
		}
	}
	return out.Close()
}
