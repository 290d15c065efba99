package keytool

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	keyMode  os.FileMode = 0o600
	certMode os.FileMode = 0o644
	dirMode  os.FileMode = 0o700

	lockWait = 30 * time.Second      // longer than any RSA key takes to make
	lockPoll = 20 * time.Millisecond // flock has no time-out of its own

	// maxFile bounds what is read: a certificate, a key or a revocation list
	// of a hundred thousand entries is far smaller.
	maxFile = 16 << 20
)

// file is one file to write.
type file struct {
	path string
	data []byte
	mode os.FileMode
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func mkdirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	return nil
}

// createFile writes a file that must not be there yet. The mode holds from the
// first byte on: a key is never readable by others, not even for a moment.
func createFile(f file) (err error) {
	w, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.mode)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return &Error{
				Err:  fmt.Errorf("%s: %w", f.path, ErrExists),
				Hint: "add --force to replace it",
			}
		}
		return fmt.Errorf("create file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.path)
		}
	}()
	if _, err = w.Write(f.data); err == nil {
		err = w.Sync()
	}
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	return nil
}

// replaceFile writes a file so that a reader sees the old or the new content,
// never a part of it.
func replaceFile(f file) error {
	temp, err := tempName(f.path)
	if err != nil {
		return err
	}
	if err := createFile(file{temp, f.data, f.mode}); err != nil {
		return err
	}
	if err := os.Rename(temp, f.path); err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("replace file: %w", err)
	}
	return syncDir(filepath.Dir(f.path))
}

// writeAll writes files in order, a key before its certificate: a server that
// reads in between finds a pair that does not match and keeps the one it has.
// Without force all of them must be new, and that is seen before the first is
// written.
func writeAll(files []file, force bool) error {
	if !force {
		for _, f := range files {
			if exists(f.path) {
				return &Error{
					Err:  fmt.Errorf("%s: %w", f.path, ErrExists),
					Hint: "add --force to replace it",
				}
			}
		}
	}
	for _, f := range files {
		write := createFile
		if force {
			write = replaceFile
		}
		if err := write(f); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(files[0].path))
}

// tempName names a file beside path; the dot keeps it out of the clients.
func tempName(path string) (string, error) {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("random name: %w", err)
	}
	dir, base := filepath.Split(path)
	return dir + tempPrefix + base + "-" + hex.EncodeToString(random), nil
}

const tempPrefix = ".tmp-"

// syncDir makes renames in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		// Some network file systems cannot sync a folder and say EINVAL.
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: larger than %d MiB", path, maxFile>>20)
	}
	return os.ReadFile(path)
}

// lock keeps other processes and goroutines out of the store until unlock. It
// gives up with ErrBusy after half a minute. The kernel frees the lock of a
// process that dies. Only Init makes the folder: a misspelt one stays unmade.
func (s *Store) lock(create bool) (unlock func(), err error) {
	if s.Dir == "" {
		return nil, &Error{
			Err:  fmt.Errorf("%w: the key store has no folder", ErrOption),
			Hint: "name one: --key_store DIR",
		}
	}
	if create {
		if err := mkdirs(s.Dir); err != nil {
			return nil, err
		}
	} else if !exists(s.Dir) {
		return nil, s.noCA(s.Dir)
	}
	f, err := os.OpenFile(s.path(lockFile), os.O_CREATE|os.O_RDWR, keyMode)
	if err != nil {
		return nil, fmt.Errorf("lock key store: %w", err)
	}
	deadline := time.Now().Add(lockWait)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		retry := errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR)
		if !retry || time.Now().After(deadline) {
			_ = f.Close()
			if !retry {
				return nil, fmt.Errorf("lock %s: %w", s.path(lockFile), err)
			}
			return nil, &Error{
				Err:  fmt.Errorf("%s: %w", s.Dir, ErrBusy),
				Hint: "try again when it is done",
			}
		}
		time.Sleep(lockPoll)
	}
}
