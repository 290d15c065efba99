package command_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sqlflow.org/sqlflow_playground/internal/command"
	"sqlflow.org/sqlflow_playground/internal/tlsserver/tlstest"
)

// terminal opens a pseudo-terminal: what is written to tty can be read from screen.
func terminal(t *testing.T, width uint16) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width})
	}
	if err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// slowServer tells events of a database, and gives it when ready is closed.
func slowServer(t *testing.T, ready <-chan struct{}, events ...string) (envFile string) {
	t.Helper()
	ca := tlstest.NewAuthority(t, "ca")
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/create_db", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-ready:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, `{"data_source":"mysql://it"}`)
	})
	mux.HandleFunc("GET /api/db_events", func(w http.ResponseWriter, r *http.Request) {
		for _, e := range events {
			name, data, _ := strings.Cut(e, " ")
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
	pair := ca.Issue(t, tlstest.Leaf{Name: "server", Server: true})
	own, err := tls.X509KeyPair(pair.PEM, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(ca.Cert)
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	s.StartTLS()
	t.Cleanup(s.Close)

	dir := t.TempDir()
	ann := ca.Issue(t, tlstest.Leaf{Name: "ann"})
	env := "SQLFLOW_PLAYGROUND_SERVRE=" + s.URL + "\nSQLFLOW_PLAYGROUND_SERVER_CA=ca.crt\nSQLFLOW_PLAYGROUND_CLIENT_KEY=client.key\n" +
		"SQLFLOW_PLAYGROUND_CLIENT_CERT=client.crt\nSQLFLOW_USER_ID=ann\n"
	for name, text := range map[string][]byte{"ca.crt": ca.PEM, "client.crt": ann.PEM, "client.key": ann.Key, "env": []byte(env)} {
		tlstest.Replace(t, filepath.Join(dir, name), text)
	}
	return filepath.Join(dir, "env")
}

func TestCreateDBShowsOneLiveLine(t *testing.T) {
	t.Parallel()
	ready := make(chan struct{})
	env := slowServer(t, ready, `none {"state":"none"}`, `queued {"state":"creating","ahead":3}`, `scheduled {"state":"creating"}`,
		`pulling {"state":"creating","reason":"a very long reason that fits on no line of it"}`, `started {"state":"creating","reason":"\u001b[2J"}`)
	screen, tty := terminal(t, 40)
	defer screen.Close()
	read := make(chan string, 1)
	go func() {
		var all strings.Builder
		some := make([]byte, 1024)
		for told := false; ; {
			n, err := screen.Read(some)
			all.Write(some[:n])
			if !told && strings.Contains(all.String(), "started") {
				told = true
				close(ready)
			}
			if err != nil { // of the terminal's end
				read <- all.String()
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	code := command.Run(ctx, command.World{
		Args: []string{"client", "create_db", "--env_file", env}, In: strings.NewReader(""), Out: &out, Err: tty,
	})
	_ = tty.Close()
	const line = "\r\x1b[K"
	want := line + "queued (3 ahead)" + line + "scheduled" + line + "pulling (a very long reason that fits …" + line + "started (\ufffd[2J)" + line
	if got := <-read; code != 0 || out.String() != "mysql://it\n" || got != want {
		t.Errorf("exit code %d, printed %q, showed\n%q\nwant\n%q", code, out.String(), got, want)
	}
}
