package keytool_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script is tried with a program that writes its arguments down, one call a
// line, and does what the script looks at: it makes the authority.
const recorder = `#!/bin/sh
for arg in "$@"; do printf '<%s>' "$arg"; done >>"$CALLS"
echo >>"$CALLS"
if [ "$2" = init ]; then mkdir -p "$4/ca"; : >"$4/ca/ca.crt"; fi
`

func TestGenCert(t *testing.T) {
	t.Parallel()
	const (
		initCall   = "<keytool><init><--key_store><key_store>\n"
		serverCall = "<keytool><server><--key_store><key_store>\n"
	)
	for name, tt := range map[string]struct {
		place string   // of the program, from the script's folder; "" for PATH
		args  []string // of the script
		there []string // files that are there before
		calls string
		fails bool
	}{
		"server":        {place: ".", args: []string{"server"}, calls: initCall + serverCall},
		"on PATH":       {args: []string{"server"}, calls: initCall + serverCall},
		"in a checkout": {place: "..", args: []string{"server"}, calls: initCall + serverCall},
		"nowhere":       {place: "../..", args: []string{"server"}, fails: true},
		"an authority": {
			place: ".", args: []string{"server"}, there: []string{"key_store/ca/ca.crt"}, calls: serverCall,
		},
		"a server already": {
			place: ".", args: []string{"server"}, there: []string{"key_store/ca/ca.crt", "key_store/server/server.crt"},
		},
		"a server by force": {
			place: ".", args: []string{"server", "--force"},
			there: []string{"key_store/ca/ca.crt", "key_store/server/server.crt"},
			calls: "<keytool><server><--force><--key_store><key_store>\n",
		},
		"a client": {
			place: ".", args: []string{"alice"}, calls: initCall + "<keytool><client><--key_store><key_store><--><alice>\n",
		},
		"a client already": {
			place: ".", args: []string{"alice"}, there: []string{"key_store/ca/ca.crt", "key_store/clients/alice/ca.crt"},
		},
		"flags and odd characters": {
			place: ".", args: []string{"a b*", "--user", "$(id) '\"", "--key_store", "my keys"},
			calls: "<keytool><init><--key_store><my keys>\n" +
				"<keytool><client><--user><$(id) '\"><--key_store><my keys><--key_store><my keys><--><a b*>\n",
		},
		"another store": {
			place: ".", args: []string{"server", "--key_store=there"},
			calls: "<keytool><init><--key_store><there>\n<keytool><server><--key_store=there><--key_store><there>\n",
		},
		"no name":     {place: ".", fails: true},
		"empty name":  {place: ".", args: []string{""}, fails: true},
		"asking help": {place: ".", args: []string{"--help"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			bin, work, calls := filepath.Join(root, "top", "a bin", "bin"), filepath.Join(root, "work"), filepath.Join(root, "calls")
			place := bin
			if tt.place != "" {
				place = filepath.Join(bin, tt.place)
			} else {
				place = filepath.Join(root, "path")
			}
			for _, dir := range []string{bin, work, place} {
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			copyFile(t, "../scripts/gen_cert.sh", filepath.Join(bin, "gen_cert.sh"))
			program := filepath.Join(place, "sqlflow_playground")
			if err := os.WriteFile(program, []byte(recorder), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, file := range tt.there {
				path := filepath.Join(work, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env := []string{"PATH=" + filepath.Join(root, "path") + ":/usr/bin:/bin", "CALLS=" + calls}
			out, err := runEnv(t, work, env, "sh", append([]string{filepath.Join(bin, "gen_cert.sh")}, tt.args...)...)
			if (err != nil) != tt.fails {
				t.Errorf("it ended with %v and said %s", err, out)
			}
			if got, _ := os.ReadFile(calls); string(got) != tt.calls {
				t.Errorf("it called\n%s, want\n%s", got, tt.calls)
			}
			if tt.calls == "" && out == "" {
				t.Error("it did nothing and did not say why")
			}
		})
	}
}

func TestGenCertIsCleanShell(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("shellcheck is not installed: the script runs in the other test all the same")
	}
	if out, err := run(t, "../scripts", "shellcheck", "--shell=sh", "gen_cert.sh"); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, strings.TrimSpace(out))
	}
}
