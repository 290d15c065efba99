package keytool_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sqlflow.org/sqlflow_playground/keytool"
)

// nasty are user ids that something on the way could bend.
var nasty = []string{
	"alice", "Alice", "a.b", "a-b", "A-B", ".", "..", "../x", "/", "//", "a/b", "a//b", "/a", "a/", `\`, `a\`, `\"`, "%", "%2F", "%00", "%zz",
	"?", "a?b", "#", "a#b", "&", "a=b", "+", "a+b@x.org", " ", " a", "a ", "a b", ":", "a:b", "@", "u:p@h", "~", "~root", "*", "!", "-rf", "--",
	"'", `"`, "`id`", "$(reboot)", "$HOME", "${HOME}", "it's", `it's "$5"`, "'; reboot; '", "a\nb", "\n", "\r\n", "\t", "\x00", "a\x00b", "\x7f", "\x1b[31m",
	"ä", "a\u0308", "用户", "ключ", "👩‍💻", "\u202eevil", "\u2028", "\ufeff", "\U0010ffff", "user", "gateway", "sqlflow-playground://gateway",
	strings.Repeat("x", 1024), strings.Repeat("€", 341), strings.Repeat("%", 1024),
}

func TestMarksSurvive(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	seen := make(map[string]string)
	for i, user := range nasty {
		name := fmt.Sprintf("n%d", i)
		newClient(t, s, name, keytool.ClientOptions{User: user})
		cert := clientCert(t, s, name)
		id := keytool.Identify(cert)
		if id.Kind != keytool.OneUser || id.User != user || id.Name != name || id.Serial != cert.SerialNumber.Text(16) {
			t.Errorf("user %q became %+v", user, id)
		}
		mark := cert.URIs[0].String()
		if other, twice := seen[mark]; twice {
			t.Errorf("%q and %q have the same mark", user, other)
		}
		seen[mark] = user
		if strings.Trim(mark[len("sqlflow-playground://user/"):], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_%") != "" {
			t.Errorf("mark %q of %q has a character with a meaning", mark, user)
		}
	}
	entries, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for _, e := range entries {
		listed[e.User] = true
	}
	for _, user := range nasty {
		if !listed[user] {
			t.Errorf("user %q did not survive the index", user)
		}
	}
}

func FuzzMarks(f *testing.F) {
	s := &keytool.Store{Dir: f.TempDir()}
	if _, err := s.Init(keytool.InitOptions{}); err != nil {
		f.Fatal(err)
	}
	for _, user := range nasty {
		f.Add(user)
	}
	f.Fuzz(func(t *testing.T, user string) {
		possible := user != "" && len(user) <= keytool.MaxUserBytes && utf8.ValidString(user)
		_, err := s.Client("fuzz", keytool.ClientOptions{User: user, Force: true})
		if user == "" {
			return // then the name is the user
		}
		if possible != (err == nil) {
			t.Fatalf("user %q: %v", user, err)
		}
		if err == nil {
			if id := keytool.Identify(clientCert(t, s, "fuzz")); id.Kind != keytool.OneUser || id.User != user {
				t.Fatalf("user %q became %+v", user, id)
			}
		}
	})
}

// Whatever a URI says, nobody becomes a gateway or an unmarked client by a mark
// of ours that is written in another way.
func FuzzIdentify(f *testing.F) {
	for _, uri := range []string{
		"sqlflow-playground://gateway", "sqlflow-playground://gateway/", "sqlflow-playground://user/a", "sqlflow-playground:gateway",
		"sqlflow-playground://user/%FF", "spiffe://example.org/a",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		mark, err := url.Parse(uri)
		if err != nil {
			return
		}
		id := keytool.Identify(&x509.Certificate{URIs: []*url.URL{mark}})
		ours := mark.Scheme == "sqlflow-playground"
		if (id.Kind == keytool.Unmarked) == ours {
			t.Errorf("%q is %v", uri, id.Kind)
		}
		if id.Kind == keytool.Gateway && mark.String() != "sqlflow-playground://gateway" {
			t.Errorf("%q is a gateway", uri)
		}
		if id.User != "" && (id.Kind != keytool.OneUser || !utf8.ValidString(id.User) || len(id.User) > keytool.MaxUserBytes) {
			t.Errorf("%q is %+v", uri, id)
		}
	})
}

func TestMarksAreReadNarrowly(t *testing.T) {
	t.Parallel()
	nobody := keytool.Identity{Kind: keytool.OneUser, Name: "x", Serial: "2a"}
	as := func(kind keytool.Kind, user string) keytool.Identity {
		id := nobody
		id.Kind, id.User = kind, user
		return id
	}
	for _, tt := range []struct {
		uris []string
		want keytool.Identity
	}{
		{nil, as(keytool.Unmarked, "")},
		{[]string{"https://example.com/user/a", "spiffe://x/user/a"}, as(keytool.Unmarked, "")},
		{[]string{"sqlflow-playground://gateway"}, as(keytool.Gateway, "")},
		{[]string{"sqlflow-playground://user/a%2Fb"}, as(keytool.OneUser, "a/b")},
		{[]string{"spiffe://x/y", "sqlflow-playground://user/a"}, as(keytool.OneUser, "a")},
		{[]string{"sqlflow-playground://ca"}, nobody},
		{[]string{"sqlflow-playground://gateway/"}, nobody},
		{[]string{"sqlflow-playground://gateway/x"}, nobody},
		{[]string{"sqlflow-playground://gateway?x"}, nobody},
		{[]string{"sqlflow-playground://me@gateway"}, nobody},
		{[]string{"sqlflow-playground:gateway"}, nobody},
		{[]string{"sqlflow-playground://user"}, nobody},
		{[]string{"sqlflow-playground://user/"}, nobody},
		{[]string{"sqlflow-playground://user/a?b"}, nobody},
		{[]string{"sqlflow-playground://user/a#b"}, nobody},
		{[]string{"sqlflow-playground://user/%FF"}, nobody},
		{[]string{"sqlflow-playground://user/" + strings.Repeat("a", 1025)}, nobody},
		{[]string{"sqlflow-playground://user/a", "sqlflow-playground://user/b"}, nobody},
		{[]string{"sqlflow-playground://user/a", "sqlflow-playground://gateway"}, nobody},
		{[]string{"sqlflow-playground://?", "sqlflow-playground://gateway"}, nobody},
	} {
		cert := selfSigned(t, "x", tt.uris...)
		if got := keytool.Identify(cert); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.uris, got, tt.want)
		}
	}
	if got := keytool.Identify(nil); got != (keytool.Identity{}) || got.Kind != keytool.OneUser {
		t.Errorf("no certificate is %+v, want nobody", got)
	}
}

func TestMadeCA(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	newClient(t, s, "alice", keytool.ClientOptions{})
	for path, want := range map[string]bool{
		s.Paths().CACert: true, s.Paths().ServerCert: false, s.ClientDir("alice") + "/client.crt": false,
	} {
		if got := keytool.MadeCA(readCert(t, path)); got != want {
			t.Errorf("MadeCA(%s) = %v", path, got)
		}
	}
	if keytool.MadeCA(nil) || keytool.MadeCA(selfSigned(t, "company CA", "https://ca.example.com")) {
		t.Error("MadeCA of nothing, or of another authority, is true")
	}
}

// selfSigned makes a certificate with any URIs, as somebody else could.
func selfSigned(t *testing.T, name string, uris ...string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(42), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	template.Subject.CommonName = name
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
