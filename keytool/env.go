package keytool

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// The variables of the notebook plugin, spelt as it reads them: pysqlflow,
// sqlflow/magic.py (get_ssl_ctx, create_db_on_demaond) and sqlflow/client.py;
// SERVRE is its own spelling. The file's place comes to it in
// SQLFLOW_JUPYTER_ENV_PATH, and playground_server_design.md of
// sql-machine-learning/playground shows a file like ours.
const (
	envSQLFlowServer = "SQLFLOW_SERVER"
	envServer        = "SQLFLOW_PLAYGROUND_SERVRE"
	envServerCA      = "SQLFLOW_PLAYGROUND_SERVER_CA"
	envClientKey     = "SQLFLOW_PLAYGROUND_CLIENT_KEY"
	envClientCert    = "SQLFLOW_PLAYGROUND_CLIENT_CERT"
	envUserIDEnv     = "SQLFLOW_PLAYGROUND_USER_ID_ENV"
	envUserID        = "SQLFLOW_USER_ID"
)

// envFile writes the environment of one client. The plugin loads the file with
// python-dotenv and hands the three paths to Python's ssl module, which takes a
// relative one from the notebook's folder and knows no "~". So they start with
// ${HOME}, which dotenv and a shell both fill in, and one folder is agreed on;
// o.Folder replaces it by an absolute path.
func envFile(name string, id Identity, o ClientOptions) (content []byte, notes []string, err error) {
	server, err := checkServerURL(o.ServerURL)
	if err != nil {
		return nil, nil, err
	}
	folder := "~/.sqlflow_playground/" + name
	path := func(file string) (string, error) {
		return `"${HOME}/.sqlflow_playground/` + name + "/" + file + `"`, nil
	}
	if o.Folder != "" {
		if !filepath.IsAbs(o.Folder) {
			return nil, nil, optionError(fmt.Sprintf("folder %q is not an absolute path", o.Folder),
				"the plugin takes paths from the notebook's folder: give the whole path")
		}
		folder = filepath.Clean(o.Folder)
		path = func(file string) (string, error) { return quoteEnv(filepath.Join(folder, file)) }
	}

	var b bytes.Buffer
	comment := func(format string, args ...any) { fmt.Fprintf(&b, "# "+format+"\n", args...) }
	comment("Client %s of the SQLFlow playground, for the notebook plugin (pysqlflow).", name)
	if o.Folder == "" {
		comment("Unpack it here, and tell Jupyter before it starts:")
		comment("  mkdir -p -m 700 ~/.sqlflow_playground")
		comment("  tar xzf %s -C ~/.sqlflow_playground", name+archiveSuffix)
		comment("  export SQLFLOW_JUPYTER_ENV_PATH=%s/%s", folder, clientEnv)
		comment("Kept elsewhere, the three paths below must say where: the plugin takes them")
		comment("from the folder of the notebook and does not know the sign ~ in them.")
	} else {
		comment("Tell Jupyter of this file by SQLFLOW_JUPYTER_ENV_PATH before it starts.")
		comment("The three paths below say where the files are kept.")
	}
	comment("SQLFLOW_DATASOURCE must not be set: the plugin asks for a database only then.")

	for _, v := range []struct {
		name  string
		file  string
		value string
	}{
		{name: envSQLFlowServer, value: o.SQLFlowServer},
		{name: envServer, value: server},
		{name: envServerCA, file: clientCA},
		{name: envClientKey, file: clientKey},
		{name: envClientCert, file: clientCert},
		{name: envUserIDEnv, value: envUserID},
		// Last, because dotenv takes a backslash before a closing quote for an
		// escape if another quote follows anywhere in the file.
		{name: envUserID, value: id.User},
	} {
		var quoted string
		if v.file != "" {
			quoted, err = path(v.file)
		} else {
			quoted, err = quoteEnv(v.value)
		}
		switch {
		case v.name == envSQLFlowServer && v.value == "":
			comment("Ask the maintainer for HOST:PORT of the SQLFlow server, and fill it in:")
			comment("%s=", v.name)
			notes = append(notes, "No address of a SQLFlow server was given: the user fills SQLFLOW_SERVER in.")
		case v.name == envUserID && id.Kind == Gateway:
			comment("A gateway acts for many users and sets %s for each of them itself.", v.name)
		case err != nil && v.name == envUserID:
			comment("The user id cannot be written so that all readers agree: set %s by hand.", v.name)
			notes = append(notes, "The user id cannot be written in an environment file: the user sets SQLFLOW_USER_ID.")
		case err != nil:
			return nil, nil, err
		default:
			fmt.Fprintf(&b, "%s=%s\n", v.name, quoted)
		}
	}
	return b.Bytes(), notes, nil
}

// plainEnv needs no quotes anywhere, not even for "docker run --env-file",
// which keeps quotes as part of the value.
var plainEnv = regexp.MustCompile(`^[][A-Za-z0-9_@%+=:,./-]+$`)

// quoteEnv writes a value so that python-dotenv and a POSIX shell read the same
// bytes, and no shell ever finds a command in it.
//
// In single quotes a shell takes all as it is, and dotenv all but a backslash
// and ${ (which it fills in whatever the quotes: src/dotenv/variables.py). In
// double quotes both undo \" and \\, but dotenv does not know \$ and \`. What
// fits neither way is refused, and so are control characters, for the sake of
// readers that go line by line.
func quoteEnv(value string) (string, error) {
	control := strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
	switch {
	case control:
	case plainEnv.MatchString(value):
		return value, nil
	case !strings.ContainsAny(value, `'\`) && !strings.Contains(value, "${"):
		return "'" + value + "'", nil
	case !strings.ContainsAny(value, "$`"):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`, nil
	}
	return "", optionError(fmt.Sprintf("%q cannot be written in an environment file", value),
		"use a value without control characters, and without quotes or backslashes beside a $")
}

// checkServerURL completes and checks the playground server's address. The
// plugin puts "/api/..." behind it, so nothing may follow the port.
func checkServerURL(address string) (string, error) {
	refuse := func(why string) error {
		return optionError(fmt.Sprintf("server URL %q: %s", address, why),
			"give it like https://playground.example.com:"+defaultPort)
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	switch {
	case err != nil:
		return "", refuse("not a URL")
	case u.Scheme != "https":
		return "", refuse("the server speaks https only")
	case u.Hostname() == "":
		return "", refuse("no host")
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil:
		return "", refuse("more than host and port")
	case net.ParseIP(u.Hostname()) == nil && !validHost(strings.ToLower(u.Hostname())):
		return "", refuse("not a host name")
	}
	return u.String(), nil
}
