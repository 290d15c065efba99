// Bare is what the server is measured against: net/http behind mutual TLS with the
// settings of the server's own listener, and answers that take no thought.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	ca := flag.String("ca", "", "certificate of the clients' authority")
	cert := flag.String("cert", "", "the server's certificate")
	key := flag.String("key", "", "its key")
	flag.Parse()
	clients, err := os.ReadFile(*ca)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(clients)
	server := &http.Server{
		Addr: *address, Handler: http.HandlerFunc(answer),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
	}
	log.Fatal(server.ListenAndServeTLS(*cert, *key))
}

// answer says what the server would say to a user who has a database.
func answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.Method == http.MethodPost {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data_source":"mysql://root:root@tcp(10.0.0.1:3306)/?maxAllowedPacket=0"}`+"\n")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "hello "+r.FormValue("user_id"))
}
