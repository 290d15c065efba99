package playground_test

import (
	"regexp"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

var label = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

// nasty are ids that broke somebody's service before.
var nasty = []string{
	"a.b", "a-b", "A-B", "a_b", "a b", "a+b", " a", "a ", "'; DROP TABLE t; --", `"quoted"`, "`id`", "$(reboot)", "${HOME}",
	"line\nbreak", "nul\x00byte", "../../etc/passwd", "..", ".", "-", "--", "-rf", "🦀", "张三", "\u202egnirts", "a\u0301", "á",
	"user@example.org", "User@example.org", "x--aaaaaaaaaaaaaaaa", "{{.User}}", "!!python/object", "*alias", "&anchor", "null", "true", "0",
	strings.Repeat("a", 49), strings.Repeat("a", 50), strings.Repeat("a", 1024), strings.Repeat("é", 512),
}

func TestNamesAreLabelsAndNoTwoIdsShareOne(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, id := range nasty {
		u, err := playground.ParseUser(id)
		if err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		name := u.Name()
		if !label.MatchString(name) {
			t.Errorf("%q got the name %q, which is no DNS label", id, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q share the name %s", id, other, name)
		}
		seen[name] = id
		if other := playground.User(strings.TrimPrefix(name, playground.NamePrefix)); other != u && other.Name() == name {
			t.Errorf("the user %q would get the name of %q", other, u)
		}
	}
}

func TestPlainIdsKeepTheNameTheyAlwaysHad(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"ann":                   "sqlflow-mysql-ann",
		"42":                    "sqlflow-mysql-42",
		"a--b":                  "sqlflow-mysql-a--b",
		strings.Repeat("z", 49): "sqlflow-mysql-" + strings.Repeat("z", 49),
	} {
		if got := playground.User(id).Name(); got != want {
			t.Errorf("%q got %q, want %q", id, got, want)
		}
	}
}

func TestParseUserRefuses(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"":                        "missing or empty",
		strings.Repeat("a", 1025): "1025 bytes long; the limit is 1024",
		"\xff\xfe":                "not valid UTF-8",
	} {
		_, err := playground.ParseUser(id)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %q", err, want)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, id := range nasty {
		f.Add(id, "ann")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		u, err := playground.ParseUser(a)
		if err != nil {
			return
		}
		if !label.MatchString(u.Name()) {
			t.Errorf("%q got the name %q", a, u.Name())
		}
		if v, err := playground.ParseUser(b); err == nil && a != b && u.Name() == v.Name() {
			t.Errorf("%q and %q share the name %q", a, b, u.Name())
		}
		if s := u.String(); len(s) > 700 || strings.ContainsAny(s, "\n\x00") {
			t.Errorf("%q is %q in a log", a, s)
		}
	})
}
