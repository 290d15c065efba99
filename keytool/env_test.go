package keytool_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/keytool"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestEnvFile(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for name, o := range map[string]keytool.ClientOptions{
		"alice": {User: "alice@example.com", ServerURL: "https://playground.example.com:50052", SQLFlowServer: "sqlflow.example.com:50051"},
		"bare":  {ServerURL: "10.0.0.1:50052/"},
		"dsw":   {Gateway: true, ServerURL: "https://[2001:db8::1]:50052"},
		"odd":   {User: "it's ${HOME}\n`reboot`", Folder: "/home/jo van/keys's"},
	} {
		newClient(t, s, name, o)
		got, err := os.ReadFile(s.EnvFile(name))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".env")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestServerURLFollowsTheServersCertificate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		hosts []string
		want  string
	}{
		{[]string{"localhost", "127.0.0.1", "p.example.com"}, "https://p.example.com:50052"},
		{[]string{"127.0.0.1", "::1", "10.1.2.3"}, "https://10.1.2.3:50052"},
		{[]string{"localhost", "2001:db8::1"}, "https://[2001:db8::1]:50052"},
		{[]string{"*.example.com", "localhost"}, "https://localhost:50052"},
	} {
		s := newStore(t)
		must(t)(s.Server(keytool.ServerOptions{Hosts: tt.hosts, Force: true}))
		newClient(t, s, "alice", keytool.ClientOptions{})
		if env, _ := os.ReadFile(s.EnvFile("alice")); !strings.Contains(string(env), "\nSQLFLOW_PLAYGROUND_SERVRE="+tt.want+"\n") {
			t.Errorf("hosts %v: no %s in\n%s", tt.hosts, tt.want, env)
		}
	}
}

// The file is read by programs that differ in quotes. Both must find the same
// id, or none: another one would be another user's database.
func TestEnvFileReadersAgree(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var files []string
	var want []map[string]string
	withheld := 0
	for i, user := range nasty {
		name := fmt.Sprintf("n%d", i)
		issued := newClient(t, s, name, keytool.ClientOptions{User: user, SQLFlowServer: "s:1", ServerURL: "https://h:2"})
		home := "/home/some one/.sqlflow_playground/" + name
		vars := map[string]string{
			"SQLFLOW_SERVER":                 "s:1",
			"SQLFLOW_PLAYGROUND_SERVRE":      "https://h:2",
			"SQLFLOW_PLAYGROUND_SERVER_CA":   home + "/ca.crt",
			"SQLFLOW_PLAYGROUND_CLIENT_KEY":  home + "/client.key",
			"SQLFLOW_PLAYGROUND_CLIENT_CERT": home + "/client.crt",
			"SQLFLOW_PLAYGROUND_USER_ID_ENV": "SQLFLOW_USER_ID",
			"SQLFLOW_USER_ID":                user,
		}
		if len(issued.Notes) > 0 {
			withheld++
			delete(vars, "SQLFLOW_USER_ID")
		}
		files, want = append(files, s.EnvFile(name)), append(want, vars)
	}
	if withheld > len(nasty)/4 {
		t.Errorf("%d of %d ids were not written", withheld, len(nasty))
	}
	check := func(reader string, got []map[string]string) {
		for i, user := range nasty {
			if !maps.Equal(got[i], want[i]) {
				t.Errorf("%s, user %q: read\n%q, want\n%q", reader, user, got[i], want[i])
			}
		}
	}
	check("sh", read(t, files, "sh", shellReader))
	if _, err := run(t, "", "python3", "-c", "import dotenv"); err != nil {
		t.Log("python-dotenv, by which the plugin reads, is not installed: only sh reads the files")
		return
	}
	check("python-dotenv", read(t, files, "python3", dotenvReader))
}

// Programs that load each file into an environment of its own and print what is
// in it: NAME=VALUE and a NUL for each variable, and a NUL after each file. The
// shell does what "set -a; . FILE" does, and dotenv what the plugin does.
const (
	shellReader = `set -eu
for file in "$@"; do
	( set -a; . "$file"; exec env -0 )
	printf '\0'
done
`
	dotenvReader = `import dotenv, os, sys
before = dict(os.environ)
for file in sys.argv[1:]:
    os.environ.clear()
    os.environ.update(before)
    dotenv.load_dotenv(file)
    for name, value in os.environ.items():
        sys.stdout.write(name + "=" + value + "\0")
    sys.stdout.write("\0")
`
)

func read(t *testing.T, files []string, program, text string) []map[string]string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "read")
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"HOME=/home/some one", "PATH=" + os.Getenv("PATH"), "PYTHONUTF8=1"}
	out, err := runEnv(t, "/", env, program, append([]string{script}, files...)...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	vars := make([]map[string]string, 0, len(files))
	for file := range strings.SplitSeq(out, "\x00\x00") {
		vars = append(vars, parseEnv(file))
	}
	if len(vars) != len(files)+1 {
		t.Fatalf("%s: read %d files, want %d", program, len(vars)-1, len(files))
	}
	return vars
}

func parseEnv(out string) map[string]string {
	vars := make(map[string]string)
	for _, line := range strings.Split(out, "\x00") {
		if name, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(name, "SQLFLOW_") {
			vars[name] = value
		}
	}
	return vars
}
