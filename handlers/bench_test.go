package handlers_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

// BenchmarkBare is what the others are compared with: a handler that reads the body
// and gives the same answer without a thought, behind the same listener, server and
// mutual TLS.
func BenchmarkBare(b *testing.B) {
	g := newGateway(b)
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"data_source":"mysql://root:root@tcp(10.0.0.1:3306)/?maxAllowedPacket=0"}`+"\n")
			return
		}
		_, _ = io.WriteString(w, "hello ann")
	})
	g.serve(b, bare, nil)
	b.Run("GET", func(b *testing.B) { g.load(b, "GET", "/", "") })
	b.Run("POST", func(b *testing.B) { g.load(b, "POST", "/", `{"user_id": "ann"}`) })
}

func BenchmarkHeartBeat(b *testing.B) {
	g := newGateway(b, realLog)
	g.load(b, "GET", "/api/heart_beat?user_id=ann", "")
}

func BenchmarkCreateReady(b *testing.B) {
	g := newGateway(b, realLog)
	if _, err := g.Create(context.Background(), identify(g.ca.Issue(b, tlstest.Leaf{Name: "ann"}).Cert), "ann"); err != nil {
		b.Fatal(err)
	}
	g.load(b, "POST", "/api/create_db", `{"user_id": "ann"}`)
}

// realLog makes the lines that a server makes by default.
func realLog(o *handlers.Options) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	o.Log = log
}

// load asks from several goroutines, each on a connection of its own that it keeps,
// HTTP/1.1 as the notebook plugin speaks it.
func (g *gateway) load(b *testing.B, method, path, body string) {
	config := g.ca.Issue(b, tlstest.Leaf{Name: "ann"}).Client(b)
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu(b)
	// Client and server share this process; of what else the machine does, this
	// figure knows little.
	defer func() { b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(b.N), "cpu-µs/op") }()
	b.RunParallel(func(pb *testing.PB) {
		transport := &http.Transport{TLSClientConfig: config}
		defer transport.CloseIdleConnections()
		for pb.Next() {
			request, err := http.NewRequest(method, g.url+path, bytes.NewReader([]byte(body)))
			if err != nil {
				b.Error(err)
				return
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				b.Errorf("got %s", response.Status)
				return
			}
		}
	})
}

// cpu is the time that this process has run on processors.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
