package e2e_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// copyKeys makes the Deployment's Secret of the key store, or makes it again, by the
// command that the README has for both.
func (s *site) copyKeys(t *testing.T) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^\$ kubectl (create secret .*) \| kubectl apply -f -$`).FindSubmatch(readme)
	if command == nil {
		t.Fatal("the README does not say how the Secret is made")
	}
	args := strings.Fields(strings.ReplaceAll(string(command[1]), "=key_store/", "="+s.keys+"/"))
	s.kubectl(t, s.kubectl(t, "", args...), "apply", "--filename=-")
}

// caller makes requests as a client of the key store to a server of that name, each over
// a new connection, which a Service gives to any of its pods.
func (s *site) caller(t *testing.T, name, host string) *http.Client {
	t.Helper()
	config := s.tlsConfig(t, name)
	config.ServerName = host
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

// beatAt sends a heart beat to an address in the cluster, and returns the certificate that
// the server there shows.
func beatAt(ctx context.Context, address string, client *http.Client, user string) (*x509.Certificate, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+net.JoinHostPort(address, "50052")+"/api/heart_beat?user_id="+user, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("a heart beat was answered %s", response.Status)
	}
	return response.TLS.PeerCertificates[0], err
}

// hasKeys returns an error unless the server at the address refuses the client that was
// revoked, and shows another the certificate that lies in the key store.
func (s *site) hasKeys(ctx context.Context, address string, revoked, other *http.Client) error {
	_, err := beatAt(ctx, address, revoked, "bob")
	if alert, ok := errors.AsType[*net.OpError](err); !ok || alert.Op != "remote error" {
		return fmt.Errorf("the revoked client is not refused, but: %v", err)
	}
	shown, err := beatAt(ctx, address, other, "ann")
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.keys, "server/server.crt"))
	if err != nil {
		return err
	}
	if block, _ := pem.Decode(text); block == nil || !bytes.Equal(block.Bytes, shown.Raw) {
		return errors.New("the server does not show its renewed certificate")
	}
	return nil
}
