package docker_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	wait    http.HandlerFunc                        // what waits for a container; nil for its end

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
	const wait = "POST /v1.50/containers/0123/wait"
	if e.wait != nil {
		mux.HandleFunc(wait, e.wait)
	} else {
		answer(wait, http.StatusOK, `{"StatusCode": 0}`)
	}
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

// paused is a terminal on which nobody reads on until somebody does. A run that
// does not wait for it hangs on its lock, where a bubble's time stands still.
type paused struct {
	begun, until chan struct{}
	text         bytes.Buffer
}

func (p *paused) Write(b []byte) (int, error) {
	if p.text.Len() == 0 {
		close(p.begun)
	}
	<-p.until
	return p.text.Write(b)
}

// pause begins a pause.
func pause(d time.Duration) *paused {
	p := &paused{begun: make(chan struct{}), until: make(chan struct{})}
	time.AfterFunc(d, func() { close(p.until) })
	return p
}

func TestWhoReadsSlowlyReadsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const printed = 300 << 10
		e := &engine{present: true, prints: func(stdout io.Writer, _ io.Reader) {
			for range printed / 1024 {
				fmt.Fprintf(stdout, "%1023d\n", 1)
			}
		}}
		out := pause(10 * time.Minute)
		var errs bytes.Buffer
		err := docker.Run(t.Context(), workflow(t, do("one", "")), docker.Options{Client: e.start(t), Out: out, Err: &errs})
		if want := strings.Repeat(fmt.Sprintf("one | %1023d\n", 1), printed/1024); err != nil || out.text.String() != want {
			t.Errorf("%d bytes came of %d: %v\n%s", out.text.Len(), len(want), err, errs.String())
		}
	})
}

func TestWhoHoldsTheOutputOfAStepIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &engine{present: true, prints: func(stdout io.Writer, until io.Reader) {
			fmt.Fprintln(stdout, "a line")
			_, _ = io.Copy(io.Discard, until)
		}}
		began := time.Now()
		var out, errs bytes.Buffer
		err := docker.Run(t.Context(), workflow(t, do("one", "")), docker.Options{Client: e.start(t), Out: &out, Err: &errs})
		if took := time.Since(began); err != nil || took != time.Minute || out.String() != "one | a line\n" || e.removed != 1 {
			t.Errorf("after %v: %v, %q, %d removed", took, err, out.String(), e.removed)
		}
		if want := "one: nothing of its output came for 1m0s, the rest is not waited for\n"; !strings.Contains(errs.String(), want) {
			t.Errorf("it is not told:\n%s", errs.String())
		}
	})
}

func TestNothingIsWrittenAfterTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := pause(time.Hour)
		e := &engine{present: true, prints: func(stdout io.Writer, until io.Reader) {
			fmt.Fprintln(stdout, "a line")
			_, _ = io.Copy(io.Discard, until)
		}, wait: func(w http.ResponseWriter, _ *http.Request) {
			<-out.begun
			http.Error(w, "no luck", http.StatusInternalServerError)
		}}
		err := docker.Run(t.Context(), workflow(t, do("one", "")), docker.Options{Client: e.start(t), Out: out})
		if _, ok := errors.AsType[*docker.StepError](err); !ok || e.removed != 1 {
			t.Errorf("got %v, %d removed", err, e.removed)
		}
		select {
		case <-out.until:
		default:
			t.Error("the run has ended and still writes")
		}
	})
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
