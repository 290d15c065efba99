package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// nasties are two hundred ids that somebody may send, most of them to find
// out what a shell, a YAML parser, a URL or a name in Kubernetes does with them.
func nasties() []string {
	ids := []string{
		"a", "a.b", "a-b", "A-B", "a_b", "a b", "a  b", "a+b", "a%2Bb", "a%20b", "ab ", " ab", "\ta", "a\n", "\r\n", "a\x00b", "\x7f", "\u2028", "\ufeff", "\u200b",
		"$(reboot)", "`reboot`", "${HOME}", "$PATH", "; reboot", "&& reboot", "| reboot", "> /etc/passwd", "'", "\"", "'\"'", "\\", "\\\\", "\\n", "$'\\n'", "!!", "*", "?", "~", "~root",
		"../../etc/passwd", "/etc/passwd", "..", ".", "./a", "a/b", "a//b", "C:\\a", "file:///a", "%2e%2e%2f", "#", "a#b", "&", "a&b", "=", "a=b", "?user_id=b", "a?b", "@", "a@b.org",
		"{{.}}", "{{ .User }}", "{{=1}}", "{%a%}", "<%a%>", "<script>", "</script>", "<!--", "]]>", "&lt;", "&#0;", "%", "%%", "%s%n", "%00", "%d", "--help", "-f", "--namespace=kube-system", "-o=yaml",
		"null", "~null", "true", "yes", "no", "on", "off", "1", "1e9", "0x10", "0o7", "1_000", ".inf", ".nan", "-", "--", "---", "...", "- a", "a: b", "a:", ": a", "[a]", "{a: b}", "|", ">", "&a", "*a", "!a", "!!binary aGk=", "? a", "%YAML 1.2",
		"user: root\n  admin: true", "a\n---\nkind: Secret", "\"}]}", "\"\n}", "#comment", "a #comment", "'a' 'b'", "\u0085a", "2001-01-01", "12:30:45",
		"default", "kube-system", "kubernetes", "sqlflow-mysql-a", "sqlflow-playground-reaper", "metadata", "spec", "status", "root", "admin", "system:masters", "localhost", "127.0.0.1", "::1", "example.com",
		"张三", "張三", "김", "あ", "Ж", "é", "e\u0301", "ß", "ss", "İ", "i", "ı", "ﬀ", "ff", "Ω", "\u2126", "а", "аdmin", "admin\u200d", "😀", "👩‍👩‍👧", "🏳️‍🌈", "مرحبا", "\u202eabc", "\u202dabc", "שלום", "a\u0300\u0301\u0302",
		"SELECT 1", "'; DROP TABLE iris.train; --", "\" OR \"\"=\"", "root'@'%", "a--sqlflow", "xn--a", "a--b", "0", "00", "-1", "a-", "-a", "A", "AA", "aA", "a.", ".a", "a..b", "a,b", "a;b", "a'b", "a\"b", "a`b",
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for n := 1; len(ids) < 196; n++ {
		ids = append(ids, strings.Repeat("x", 44+n)) // around the longest name that is kept as it is
	}
	return append(ids[:196], strings.Repeat("é", 512), strings.Repeat("a", 1024), strings.Repeat("a", 1025), "")
}

// Two hundred ids on a real API server: each gets a database that is its own, or 400.
func nastyIDs(t *testing.T, s *site, flags []string) {
	servers := s.replicas(t, flags...)
	before := elsewhere(t, s)
	ids := nasties()
	var all sync.WaitGroup
	var mu sync.Mutex
	served, refused := map[string]bool{}, 0
	turns := make(chan struct{}, 20)
	for i, id := range ids {
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			server := servers[i%2]
			a, err := server.create(t.Context(), server.clients, id)
			for err == nil && a.status == http.StatusServiceUnavailable && a.retryAfter != "" {
				a, err = server.create(t.Context(), server.clients, id) // the machine is slow, not the id wrong
			}
			mu.Lock()
			defer mu.Unlock()
			wrong := id == "" || len(id) > 1024 || !utf8.ValidString(id)
			switch {
			case err != nil:
				t.Errorf("create_db of %.40q: %v", id, err)
			case wrong && a.status == http.StatusBadRequest:
				refused++
			case !wrong && a.status == http.StatusOK:
				served[id] = true
			default:
				t.Errorf("create_db of %.40q was answered %s", id, a)
			}
		})
	}
	all.Wait()
	if len(served)+refused != len(ids) {
		t.Errorf("%d ids: %d served, %d refused", len(ids), len(served), refused)
	}
	for kind, objects := range s.databases(t) {
		owners := map[string]string{}
		for _, o := range objects {
			id := o.Metadata.Annotations["sqlflow.org/user"]
			if other, twice := owners[id]; twice {
				t.Errorf("%q has the %ss %s and %s", id, kind, other, o.Metadata.Name)
			}
			if !served[id] {
				t.Errorf("the %s %s belongs to %.60q, who asked for nothing", kind, o.Metadata.Name, id)
			}
			owners[id] = o.Metadata.Name
		}
		if len(owners) != len(served) {
			t.Errorf("%d users have %d %ss", len(served), len(owners), kind)
		}
	}
	// As the plugin sends them, and as they should be sent.
	for id := range served {
		a, err := servers[0].beat(t.Context(), servers[0].clients, id)
		if err != nil {
			t.Errorf("the heart beat of %.40q, escaped (%.60s): %s %v", id, url.QueryEscape(id), a, err)
		}
	}
	for _, name := range elsewhere(t, s) {
		if !slices.Contains(before, name) {
			t.Errorf("outside of the namespace there is now %s", name)
		}
	}
	record(t, "8", fmt.Sprintf("%d nasty user ids at two replicas on a real API server: a database of one's own, or 400", len(ids)),
		fmt.Sprintf("%d served, %d times 400, 0 shared, 0 elsewhere", len(served), refused), "no other error")
}

// elsewhere lists what is in other namespaces, but for what Kubernetes itself makes
// there when it has time.
func elsewhere(t *testing.T, s *site) []string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), nil, "get", "pods,services,leases,secrets,configmaps", "--all-namespaces",
		"--field-selector=metadata.namespace!="+s.namespace+",metadata.namespace!=kube-node-lease", "--output=name")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool {
		return strings.HasPrefix(name, "lease.coordination.k8s.io/apiserver-") || strings.HasPrefix(name, "configmap/kube-") ||
			strings.HasPrefix(name, "configmap/extension-apiserver-") || strings.HasPrefix(name, "configmap/cluster-")
	})
}
