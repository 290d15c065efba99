package client_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sqlflow.org/sqlflow_playground/client"
)

func TestReadEnv(t *testing.T) {
	t.Parallel()
	getenv := func(name string) string { return map[string]string{"HOME": "/home/ann"}[name] }
	for line, want := range map[string]string{
		`A=b`:                 "b",
		`A = b `:              "b",
		`export A=b`:          "b",
		"  export\tA=b\r":     "b",
		`A=`:                  "",
		`A="b c"`:             "b c",
		`A='b c'`:             "b c",
		`A=b c`:               "b c",
		`A=b # c`:             "b",
		`A=b#c`:               "b#c",
		`A=#b`:                "#b",
		`A="b # c" # d`:       "b # c",
		`A="a\"b\\c\nd"`:      "a\"b\\c\nd",
		`A='a\'b\\c\nd'`:      `a'b\c\nd`,
		`A=a\b`:               `a\b`,
		`A="a\$b\xc"`:         `a\$b\xc`,
		`A=x=y=z`:             "x=y=z",
		`A="${HOME}/x"`:       "/home/ann/x",
		`A='${HOME}/x'`:       "/home/ann/x",
		`A=${HOME}`:           "/home/ann",
		`A=$HOME`:             "$HOME",
		`A=${NONE}x`:          "x",
		`A=${NONE:-other}x`:   "otherx",
		`A=${HOME:-other}`:    "/home/ann",
		`A=${B}`:              "earlier",
		`A=${C}`:              "${HOME}", // what was filled in is not filled in again
		"\ufeffA=b":           "b",
		`A="https://h:50052"`: "https://h:50052",
	} {
		env, err := client.ReadEnv(strings.NewReader("B=earlier\nD=$\nC=${D}{HOME}\n\n# comment\n"+line+"\n"), getenv)
		if err != nil || env["A"] != want {
			t.Errorf("%q: %q, %v; want %q", line, env["A"], err, want)
		}
	}
	for _, line := range []string{"A", "=b", "1A=b", "A B=c", `A="b`, `A='b`, `A="b" c`, "A-B=c", "export", strings.Repeat("x", 1<<17)} {
		if env, err := client.ReadEnv(strings.NewReader("B=c\n"+line), getenv); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%.20q: %v, %v", line, env, err)
		}
	}
}

func TestFromEnv(t *testing.T) {
	t.Parallel()
	complete := map[string]string{
		"SQLFLOW_PLAYGROUND_SERVRE": "https://h:50052", "SQLFLOW_PLAYGROUND_SERVER_CA": "ca",
		"SQLFLOW_PLAYGROUND_CLIENT_KEY": "key", "SQLFLOW_PLAYGROUND_CLIENT_CERT": "cert", "SQLFLOW_USER_ID": "ann",
	}
	from := func(env map[string]string) func(string) string { return func(name string) string { return env[name] } }
	o, user, err := client.FromEnv(from(complete))
	if err != nil || user != "ann" || o.URL != "https://h:50052" || o.CAFile != "ca" || o.KeyFile != "key" || o.CertFile != "cert" {
		t.Errorf("got %+v, %q, %v", o, user, err)
	}
	for name := range complete {
		env := maps.Clone(complete)
		delete(env, name)
		_, user, err := client.FromEnv(from(env))
		if name == client.EnvUserID {
			if err != nil || user != "" {
				t.Errorf("without a user: %q, %v", user, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	env := maps.Clone(complete)
	env["SQLFLOW_PLAYGROUND_USER_ID_ENV"], env["JUPYTERHUB_USER"] = "JUPYTERHUB_USER", "bob"
	if _, user, _ := client.FromEnv(from(env)); user != "bob" {
		t.Errorf("the user is %q", user)
	}
}

// What the notebook plugin reads the file with is the judge, where it is installed.
func TestReadEnvAgreesWithPythonDotenv(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil || exec.CommandContext(t.Context(), python, "-c", "import dotenv").Run() != nil {
		t.Skip("there is no python3 with the package dotenv to compare with")
	}
	lines := []string{
		`A=b`, `A = b `, `export A=b`, `A=`, `A="b c"`, `A='b c'`, `A=b # c`, `A=b#c`, `A=#b`, `A="b # c" # d`,
		`A="a\"b\\c\nd"`, `A='a\'b\\c\nd'`, `A=a\b`, `A="a\$b\xc"`, `A=x=y=z`, `A="${HOME}/x"`, `A='${HOME}/x'`, `A=$HOME`,
		`A=${NONE}x`, `A=${NONE:-other}x`,
	}
	// Each line is a variable of its own.
	var file strings.Builder
	for i, line := range lines {
		file.WriteString(strings.Replace(line, "A", fmt.Sprintf("A%d", i), 1) + "\n")
	}
	path := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), python, "-c",
		"import dotenv, json, sys; json.dump(dotenv.dotenv_values(sys.argv[1]), sys.stdout)", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs map[string]string
	if err := json.Unmarshal(output, &theirs); err != nil {
		t.Fatal(err)
	}
	ours, err := client.ReadEnv(strings.NewReader(file.String()), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		if name := fmt.Sprintf("A%d", i); ours[name] != theirs[name] {
			t.Errorf("%s: %q; python-dotenv says %q", line, ours[name], theirs[name])
		}
	}
	if len(ours) != len(theirs) {
		t.Errorf("%d variables; python-dotenv has %d", len(ours), len(theirs))
	}
}
