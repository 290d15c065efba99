package keytool

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// archiveSuffix follows a client's name in its archive's.
const archiveSuffix = ".tar.gz"

// clientFiles are the files of a client's folder in the order of the archive.
var clientFiles = [...]string{clientCA, clientCert, clientKey, clientEnv}

// writeClient writes a client's folder and then its archive, and returns their
// paths. A new folder is filled under another name first, so that it appears
// whole; in one that is there, the files are replaced one by one, the key first.
func (s *Store) writeClient(name string, files []file, when time.Time) ([]string, error) {
	archive, err := packFolder(name, files, when)
	if err != nil {
		return nil, err
	}
	dir := s.ClientDir(name)
	if exists(dir) {
		for _, f := range files {
			if err := replaceFile(file{s.path(clientsDir, name, f.path), f.data, f.mode}); err != nil {
				return nil, err
			}
		}
	} else if err := s.createFolder(dir, files); err != nil {
		return nil, err
	}
	tarball := dir + archiveSuffix
	if err := replaceFile(file{tarball, archive, keyMode}); err != nil {
		return nil, err
	}
	var paths []string
	for _, f := range clientFiles {
		paths = append(paths, s.path(clientsDir, name, f))
	}
	return append(paths, tarball), nil
}

func (s *Store) createFolder(dir string, files []file) error {
	if err := mkdirs(s.path(clientsDir)); err != nil {
		return err
	}
	temp, err := tempName(dir)
	if err != nil {
		return err
	}
	if err := os.Mkdir(temp, dirMode); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	for i := range files {
		f := files[i]
		f.path = temp + "/" + f.path
		if err := createFile(f); err != nil {
			return errors.Join(err, os.RemoveAll(temp))
		}
	}
	if err := errors.Join(syncDir(temp), os.Rename(temp, dir)); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return syncDir(s.path(clientsDir))
}

// packFolder makes the archive: a folder called like the client, and the four
// files in it. The same content gives the same bytes.
func packFolder(name string, files []file, when time.Time) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	err := t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: int64(dirMode), ModTime: when, Format: tar.FormatUSTAR,
	})
	for _, member := range clientFiles {
		i := slices.IndexFunc(files, func(f file) bool { return f.path == member })
		if i < 0 {
			return nil, fmt.Errorf("pack %s: no %s", name, member)
		}
		f := files[i]
		err = errors.Join(err, t.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: name + "/" + f.path, Mode: int64(f.mode),
			Size: int64(len(f.data)), ModTime: when, Format: tar.FormatUSTAR,
		}))
		_, werr := t.Write(f.data)
		err = errors.Join(err, werr)
	}
	if err := errors.Join(err, t.Close(), z.Close()); err != nil {
		return nil, fmt.Errorf("pack %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// unpackFile takes one file out of a client's archive.
func unpackFile(archive []byte, member string) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	t := tar.NewReader(io.LimitReader(z, maxFile))
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("no %s in it", member)
		}
		if err != nil {
			return nil, err
		}
		if h.Name == member {
			return io.ReadAll(t)
		}
	}
}
