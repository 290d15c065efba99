package docker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"sqlflow.org/sqlflow_playground/couler/docker"
)

// engine stands for a Docker Engine whose containers end at once, with what a
// real one does not do when a test wants it. It is in memory, so that its time
// is a bubble's (package synctest).
type engine struct {
	present bool                                    // the images are there
	pull    http.HandlerFunc                        // pulls an image
	prints  func(stdout io.Writer, until io.Reader) // a container's output; until ends when nobody reads it any more
	wait    int                                     // the status of what waits for a container

	conns   chan net.Conn
	closed  chan struct{}
	removed int
}

// start gives a client of the engine.
func (e *engine) start(t *testing.T) *client.Client {
	e.conns, e.closed = make(chan net.Conn), make(chan struct{})
	c, err := client.New(client.WithDialContext(e.dial), client.WithAPIVersion("1.50"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	answer := func(pattern string, status int, body string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	answer("GET /v1.50/info", http.StatusOK, `{"NCPU": 2}`)
	if e.present {
		answer("GET /v1.50/images/", http.StatusOK, `{}`)
	}
	if e.pull != nil {
		mux.HandleFunc("POST /v1.50/images/create", e.pull)
	}
	answer("POST /v1.50/containers/create", http.StatusCreated, `{"Id": "0123"}`)
	mux.HandleFunc("POST /v1.50/containers/0123/attach", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		e.prints(frames{conn}, conn)
	})
	answer("POST /v1.50/containers/0123/wait", e.wait, `{"StatusCode": 0}`)
	answer("POST /v1.50/containers/0123/start", http.StatusNoContent, "")
	mux.HandleFunc("DELETE /v1.50/containers/0123", func(http.ResponseWriter, *http.Request) { e.removed++ })
	server := &http.Server{Handler: mux}
	served := make(chan error)
	go func() { served <- server.Serve(e) }()
	t.Cleanup(func() {
		c.Close()
		server.Close()
		<-served
	})
	return c
}

func (e *engine) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case e.conns <- far:
		return near, nil
	case <-e.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept, Close and Addr make it a [net.Listener].
func (e *engine) Accept() (net.Conn, error) {
	select {
	case conn := <-e.conns:
		return conn, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

func (e *engine) Close() error {
	close(e.closed)
	return nil
}

func (e *engine) Addr() net.Addr { return &net.UnixAddr{Name: "engine", Net: "unix"} }

// frames writes a container's standard output as the Docker Engine sends it.
type frames struct{ to io.Writer }

func (f frames) Write(b []byte) (int, error) {
	header := [8]byte{byte(stdcopy.Stdout)}
	binary.BigEndian.PutUint32(header[4:], uint32(len(b)))
	_, err := f.to.Write(append(header[:], b...))
	return len(b), err
}

func TestTheEndOfTheContextIsTheError(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupted")
	for _, when := range []string{"before", "asking", "pulling"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				if when == "before" {
					cancel(interrupted)
				}
				e := &engine{pull: func(w http.ResponseWriter, r *http.Request) {
					if when == "pulling" {
						fmt.Fprintln(w, `{"id": "layer", "status": "Downloading"}`)
						_ = http.NewResponseController(w).Flush()
					}
					cancel(interrupted)
					<-r.Context().Done()
				}}
				if err := docker.Run(ctx, workflow(t, do("one", "")), docker.Options{Client: e.start(t)}); err != interrupted {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}
