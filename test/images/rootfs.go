package images

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	debianSuite    = "bookworm"
	bootstrapLimit = 20 * time.Minute
)

// A debian is a root file system made by debootstrap: the packages that every
// Debian needs, those named, and what setup does inside, less what a container
// does not need.
type debian struct {
	include []string
	setup   func(ctx context.Context, dir string) error
	prune   []string // patterns relative to the root, removed with what is below
}

// alwaysPruned is documentation, package caches and translations.
func alwaysPruned() []string {
	return []string{
		"usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "usr/share/info/*", "usr/share/lintian",
		"usr/lib/*/gconv", "usr/share/zoneinfo", "usr/share/bash-completion", "usr/share/i18n/*",
		"var/cache/apt/*", "var/cache/debconf/*", "var/lib/apt/lists/*", "var/log/*", "tmp/*", "run/*", "boot/*",
	}
}

// tar makes the root file system in a new folder below scratch and writes it
// as a tar to name, which appears only when it is complete.
func (d debian) tar(ctx context.Context, scratch, name string) error {
	ctx, cancel := context.WithTimeout(ctx, bootstrapLimit)
	defer cancel()
	dir, err := os.MkdirTemp(scratch, "half-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	args := []string{"--variant=minbase", "--include=" + strings.Join(d.include, ","), debianSuite, dir}
	cmd := exec.CommandContext(ctx, "/usr/sbin/debootstrap", args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	// What debootstrap mounts disappears with it, however it ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := runLogged(cmd); err != nil {
		return err
	}
	if d.setup != nil {
		if err := d.setup(ctx, dir); err != nil {
			return err
		}
	}
	for _, pattern := range append(alwaysPruned(), d.prune...) {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	half := filepath.Join(scratch, "half-"+filepath.Base(name))
	defer os.Remove(half)
	if err := tarFolder(half, dir); err != nil {
		return err
	}
	return os.Rename(half, name)
}

// inside runs a program with dir as its root.
func inside(ctx context.Context, dir string, stdin io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Path, cmd.Err = args[0], nil // looked up inside, not here
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdin = stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	return runLogged(cmd)
}

// runLogged runs a command and tells the last of what it said when it fails.
func runLogged(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		said := out.Bytes()
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said[max(0, len(said)-4096):])
	}
	return nil
}

// tarFolder writes everything below dir to a tar, owners, modes and hard links
// kept. Devices are left out, since the runtime makes its own.
func tarFolder(name, dir string) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := tar.NewWriter(file)
	type inode struct{ dev, ino uint64 }
	seen := map[inode]string{}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
			return nil
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		header.Name = strings.TrimPrefix(path, dir+"/")
		if info.IsDir() {
			header.Name += "/"
		}
		header.Uname, header.Gname = "", ""
		header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 && info.Mode().IsRegular() {
			key := inode{stat.Dev, stat.Ino}
			if first, ok := seen[key]; ok {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
				return out.WriteHeader(header)
			}
			seen[key] = header.Name
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		content, err := os.Open(path)
		if err != nil {
			return err
		}
		defer content.Close()
		_, err = io.Copy(out, content)
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}
