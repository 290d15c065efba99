package client

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// The variables of the notebook plugin, in its own spelling (pysqlflow's
// sqlflow/magic.py).
const (
	EnvServer     = "SQLFLOW_PLAYGROUND_SERVRE"
	EnvServerCA   = "SQLFLOW_PLAYGROUND_SERVER_CA"
	EnvClientKey  = "SQLFLOW_PLAYGROUND_CLIENT_KEY"
	EnvClientCert = "SQLFLOW_PLAYGROUND_CLIENT_CERT"
	// EnvUserIDEnv holds the name of the variable that holds the user id; if it is
	// not set, that is EnvUserID.
	EnvUserIDEnv = "SQLFLOW_PLAYGROUND_USER_ID_ENV"
	EnvUserID    = "SQLFLOW_USER_ID"
)

// FromEnv reads the plugin's variables. The error names the one that is missing;
// the user id is "" if there is none.
func FromEnv(getenv func(string) string) (o Options, user string, err error) {
	for _, v := range []struct {
		name string
		to   *string
	}{
		{EnvServer, &o.URL},
		{EnvServerCA, &o.CAFile},
		{EnvClientKey, &o.KeyFile},
		{EnvClientCert, &o.CertFile},
	} {
		if *v.to = getenv(v.name); *v.to == "" {
			return Options{}, "", fmt.Errorf("%s is not set: it is in the file sqlflow_playground.env that came with the client certificate", v.name)
		}
	}
	name := getenv(EnvUserIDEnv)
	if name == "" {
		name = EnvUserID
	}
	return o, getenv(name), nil
}

const maxEnvLine = 64 << 10

// ReadEnv reads the plugin's file, as python-dotenv does for it (src/dotenv/parser.py
// and variables.py): lines KEY=VALUE, perhaps with "export" before and blanks around;
// a "#" starts a comment, in an unquoted value only after a blank. Double quotes know
// the escapes of C, single quotes \\ and \'. ${NAME} is replaced, whatever the quotes, by
// an earlier line's value or getenv's, and ${NAME:-other} by other if both are missing.
// A value of several lines is not understood. The error names the line.
func ReadEnv(r io.Reader, getenv func(string) string) (map[string]string, error) {
	env := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEnvLine)
	number := 0
	for lines.Scan() {
		number++
		line := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "\ufeff")
		if line == "" || line[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "export"); ok && rest != strings.TrimLeft(rest, " \t") {
			line = strings.TrimLeft(rest, " \t")
		}
		key, raw, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		if !ok || !isEnvName(key) {
			return nil, fmt.Errorf("line %d is not like NAME=value", number)
		}
		value, err := envValue(strings.TrimSpace(raw))
		if err != nil {
			return nil, fmt.Errorf("line %d, %s: %w", number, key, err)
		}
		env[key] = expand(value, func(name string) string {
			if earlier, ok := env[name]; ok {
				return earlier
			}
			return getenv(name)
		})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	return env, nil
}

func isEnvName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func envValue(raw string) (string, error) {
	if raw == "" || raw[0] != '"' && raw[0] != '\'' {
		for i := 1; i < len(raw); i++ {
			if raw[i] == '#' && (raw[i-1] == ' ' || raw[i-1] == '\t') {
				return strings.TrimSpace(raw[:i]), nil
			}
		}
		return raw, nil
	}
	quote := raw[0]
	var b strings.Builder
	for i := 1; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == quote:
			rest := strings.TrimSpace(raw[i+1:])
			if rest != "" && rest[0] != '#' {
				return "", fmt.Errorf("something follows the closing quote")
			}
			return b.String(), nil
		case c == '\\' && i+1 < len(raw):
			i++
			b.WriteString(unescape(quote, raw[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("the closing quote is missing")
}

// unescape is what a backslash and c mean between two of quote.
func unescape(quote, c byte) string {
	from, to := `\'`, `\'`
	if quote == '"' {
		from, to = `\'"abfnrtv`, "\\'\"\a\b\f\n\r\t\v"
	}
	if i := strings.IndexByte(from, c); i >= 0 {
		return to[i : i+1]
	}
	return string([]byte{'\\', c})
}

// expand replaces ${NAME} and ${NAME:-other}, once.
func expand(value string, lookup func(string) string) string {
	return regexp.MustCompile(`\$\{([^}:]*)(?::-([^}]*))?\}`).ReplaceAllStringFunc(value, func(s string) string {
		name, other, _ := strings.Cut(s[2:len(s)-1], ":-")
		if found := lookup(name); found != "" {
			return found
		}
		return other
	})
}
