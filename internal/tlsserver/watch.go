package tlsserver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the files must be quiet before they are read: a key and its
// certificate are written one after the other.
const settle = 200 * time.Millisecond

// Reload reads the files now. The error says why they were not taken; then the set
// that was in force stays so. It also logs what has expired since, or soon will, once.
func (s *Server) Reload() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	defer s.tell()
	f, err := s.read()
	digest := f.digest()
	if err == nil {
		if digest == s.current.Load().digest {
			s.problem.Store(nil)
			s.rejected = [32]byte{}
			return nil
		}
		if err = s.install(f); err == nil {
			s.Log.WithField("server_certificate_expires", day(s.current.Load().leaf.NotAfter)).Info("certificates read again")
			return nil
		}
	} else {
		digest = sha256.Sum256([]byte(err.Error()))
	}
	s.problem.Store(&err)
	if digest != s.rejected {
		s.rejected = digest
		s.Log.WithError(err).Error("the changed certificates are not usable; the earlier ones stay in force")
	}
	return err
}

// install makes a set of f and puts it in force.
func (s *Server) install(f files) error {
	made, err := s.build(f)
	if err != nil {
		return err
	}
	s.current.Store(made)
	s.problem.Store(nil)
	s.rejected = [32]byte{}
	return nil
}

// Watch reloads the files whenever they change, until ctx ends, and returns ctx's
// error. Where the file system cannot be watched, it looks at them every
// Options.Recheck.
func (s *Server) Watch(ctx context.Context) error {
	var events <-chan fsnotify.Event
	var errs <-chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		events, errs = watcher.Events, watcher.Errors
		err = s.watchFolders(watcher)
	}
	if err != nil {
		s.Log.WithError(err).Warnf("changes of the certificates are seen within %v only", s.Recheck)
	}
	// What changed between New and now.
	_ = s.Reload()

	tick := time.NewTicker(s.Recheck)
	defer tick.Stop()
	quiet := time.NewTimer(settle)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-events:
			if s.mayMatter(event) {
				quiet.Reset(settle)
			}
		case <-errs:
			quiet.Reset(settle)
		case <-quiet.C:
			_ = s.Reload() // logged, and in Status
		case <-tick.C:
			if watcher != nil {
				// A folder that was replaced is a new one to watch.
				_ = s.watchFolders(watcher)
			}
			_ = s.Reload()
		}
	}
}

// mayMatter is false for what is written to other files in the folders, a log perhaps
// that is never quiet. About all else a digest tells.
func (s *Server) mayMatter(event fsnotify.Event) bool {
	if event.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
		return true
	}
	return slices.ContainsFunc([]string{s.CAFile, s.CertFile, s.KeyFile, s.CRLFile}, func(file string) bool {
		return filepath.Base(file) == filepath.Base(event.Name)
	})
}

// watchFolders watches the folders, not the files: editors replace a file, and
// Kubernetes moves a symbolic link beside those of a mounted secret.
func (s *Server) watchFolders(watcher *fsnotify.Watcher) error {
	var folders []string
	for _, file := range []string{s.CAFile, s.CertFile, s.KeyFile, s.CRLFile} {
		if file != "" {
			folders = append(folders, filepath.Dir(file))
		}
	}
	slices.Sort(folders)
	for _, folder := range slices.Compact(folders) {
		if err := watcher.Add(folder); err != nil {
			return fmt.Errorf("watch %s: %w", folder, err)
		}
	}
	return nil
}

// Status tells what is in force.
type Status struct {
	Loaded time.Time // when the set in force was read
	List   bool      // whether there is a revocation list
	// Problem is why the files on disk are not in force; nil if they are.
	Problem error
	// Expired is why the set in force is no longer good for clients, and Warnings are what
	// will end soon or should have been replaced. Each says what to do.
	Expired  error
	Warnings []string
	// Certificates are the authorities' ("ca") and the server's ("server").
	Certificates []Certificate
}

// Certificate is one certificate in force.
type Certificate struct {
	Role     string // ca or server
	NotAfter time.Time
}

// Status tells what is in force, for the admin address.
func (s *Server) Status() Status {
	now := s.current.Load()
	status := Status{Loaded: now.loaded, List: now.revocations != nil}
	status.Warnings, status.Expired = s.dates(now, s.Now())
	if problem := s.problem.Load(); problem != nil {
		status.Problem = *problem
	}
	for _, ca := range now.cas {
		status.Certificates = append(status.Certificates, Certificate{Role: "ca", NotAfter: ca.NotAfter})
	}
	status.Certificates = append(status.Certificates, Certificate{Role: "server", NotAfter: now.leaf.NotAfter})
	return status
}
