// Package engines runs the workflow engines Argo and Tekton on a cluster of
// package bed: the controllers that their projects release, built from their
// modules (package programs), with their own resource definitions and default
// configuration.
//
//	argo, err := engines.InstallArgo(ctx, b, t.Logf)
//	...
//	defer argo.Stop(context.WithoutCancel(ctx))
//	err = engines.AllowSteps(ctx, b, "my-namespace", "default")
//
// A controller is a process of this machine, a child of the process that
// installed it, and ends with it, even if that is killed. What the engine
// keeps in the cluster stays. One machine runs one controller of an engine: who
// installs it a second time shares the one that is there.
package engines

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sqlflow.org/sqlflow_playground/test/bed"
	"sqlflow.org/sqlflow_playground/test/images"
	"sqlflow.org/sqlflow_playground/test/programs"
)

const readyLimit = 4 * time.Minute

// An Engine is a workflow engine that runs on a cluster.
type Engine struct {
	name    string
	log     string
	claim   *os.File
	process *process // nil when another process runs the controller
}

// Name is argo or tekton.
func (e *Engine) Name() string { return e.name }

// LogFile gives the path of what the controller wrote. It is removed with the
// cluster.
func (e *Engine) LogFile() string { return e.log }

// Shared says whether another process runs the controller, and ends it.
func (e *Engine) Shared() bool { return e.process == nil }

// Stop ends the controller, politely at first, and returns when it is gone. A
// controller that ended before by itself is an error, which carries the end of
// its log. A shared one is left alone.
func (e *Engine) Stop(ctx context.Context) error {
	if e.process == nil {
		return nil
	}
	defer e.claim.Close()
	if err := e.process.stop(ctx); err != nil {
		return fmt.Errorf("stop %s: %w\n%s", e.name, err, e.tail())
	}
	return nil
}

// A recipe is what differs between the engines.
type recipe struct {
	name    string
	family  programs.Family
	images  []program                            // that the controller puts into pods
	apply   func(dir string) ([][]string, error) // arguments of each kubectl apply; dir is the built family
	command func(dir string) (command, error)    // of the controller
}

// A command starts a controller; the URL ready answers 200 when it works.
type command struct {
	path      string
	args, env []string
	ready     string
}

// A program that becomes an image with nothing else in it.
type program struct{ Name, Image, Path string }

func install(ctx context.Context, b *bed.Bed, r recipe, logf func(string, ...any)) (*Engine, error) {
	if err := os.MkdirAll(b.Extra(), 0o755); err != nil {
		return nil, fmt.Errorf("install %s: %w", r.name, err)
	}
	e := &Engine{name: r.name, log: b.Extra(r.name + ".log")}
	var err error
	if e.claim, err = claim(b.Extra(r.name + ".lock")); err != nil {
		return nil, fmt.Errorf("install %s: %w", r.name, err)
	}
	if e.claim == nil {
		logf("%s runs already", r.name)
		return e, nil
	}
	start := time.Now()
	if err := e.run(ctx, b, r, logf); err != nil {
		return nil, errors.Join(fmt.Errorf("install %s: %w", r.name, err), e.claim.Close())
	}
	logf("%s runs after %s", r.name, time.Since(start).Round(100*time.Millisecond))
	return e, nil
}

// claim gives the file that the one who runs the controller holds locked, or
// nil when another process holds it.
func claim(name string) (*os.File, error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closed := file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, closed
		}
		return nil, err
	}
	return file, nil
}

func (e *Engine) run(ctx context.Context, b *bed.Bed, r recipe, logf func(string, ...any)) error {
	source, err := programs.Source()
	if err != nil {
		return err
	}
	builder := programs.Builder{Source: source, Cache: b.ProgramCache(), Logf: logf}
	dir, err := builder.Build(ctx, r.family)
	if err != nil {
		return err
	}
	for _, p := range r.images {
		tar, err := image(b.ImageCache(), dir, p)
		if err != nil {
			return err
		}
		if err := b.LoadImage(ctx, tar); err != nil {
			return err
		}
	}
	applied, err := r.apply(dir)
	if err != nil {
		return err
	}
	for _, args := range applied {
		args = append([]string{"apply", "--server-side", "--force-conflicts"}, args...)
		if _, err := b.Kubectl(ctx, nil, args...); err != nil {
			return err
		}
	}
	if _, err := b.Kubectl(ctx, nil, "wait", "--for=condition=Established", "--timeout="+readyLimit.String(),
		"customresourcedefinitions", "--all"); err != nil {
		return err
	}
	controller, err := r.command(dir)
	if err != nil {
		return err
	}
	if e.process, err = start(controller, e.log); err != nil {
		return err
	}
	if err := e.await(ctx, controller.ready); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		_ = e.process.stop(undo) // why it does not work is told below
		return fmt.Errorf("%w\n%s", err, e.tail())
	}
	return nil
}

// image gives the tar of an image with one static program, kept under a name
// that changes with the program.
func image(cache, dir string, p program) (tar string, err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	tar = filepath.Join(cache, p.Name+"-"+filepath.Base(dir)+".tar")
	if _, err := os.Stat(tar); err == nil {
		return tar, nil
	}
	return tar, images.Image{
		Name: p.Image,
		Layers: []images.Layer{{Files: []images.File{
			{Path: "/tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
			{Path: p.Path, Mode: 0o755, From: filepath.Join(dir, p.Name)},
		}}},
		Entrypoint: []string{p.Path},
		Env:        []string{"PATH=" + filepath.Dir(p.Path)},
	}.Save(tar)
}

// await waits until the controller answers that it is well.
func (e *Engine) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := bed.ExpectOK(ctx, client, url)
		if err == nil {
			return nil
		}
		select {
		case <-e.process.ended:
			return fmt.Errorf("the controller ended: %w", e.process.err)
		case <-ctx.Done():
			return fmt.Errorf("the controller does not work within %s: %w", readyLimit, err)
		case <-ticker.C:
		}
	}
}

func (e *Engine) tail() string {
	const lines = 25
	body, err := os.ReadFile(e.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(body)), "\n")
	return fmt.Sprintf("--- the end of %s:\n%s", e.log, strings.Join(all[max(0, len(all)-lines):], "\n"))
}
