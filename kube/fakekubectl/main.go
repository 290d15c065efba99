// Package fakekubectl is a kubectl for tests: a program that keeps objects in a folder
// instead of a cluster, and does what it is told to do wrong.
//
// The test binary itself becomes the program, as with testscript: its TestMain calls
// [Main] when [Called] says so, and [New] makes a folder with a link named kubectl. The
// folder is found by KUBECONFIG, which names the file config in it. It speaks the few
// verbs that package kube uses, with the words of kubectl 1.32 to 1.36; a conformance
// test in package kube holds it against a real kubectl and API server.
//
// Pods become ready at once, or when a test says so ([Folder.Ready]). Faults are files
// ([Folder.Plant]), so that scripts can plant them too. Nothing is polled: watches follow
// the folder's log of events by inotify.
package fakekubectl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Called reports whether this process was started as kubectl.
func Called() bool { return filepath.Base(os.Args[0]) == "kubectl" }

// Main is the program; it returns the exit code.
func Main() int { return leave(run()) }

func run() int {
	c, err := parse(os.Args[1:])
	if err == nil {
		err = c.do()
	}
	var said *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &said):
		for _, line := range said.lines {
			fmt.Fprintln(os.Stderr, line)
		}
	default:
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	return 1
}

// failure is what goes to standard error, line by line.
type failure struct{ lines []string }

func (f *failure) Error() string { return strings.Join(f.lines, "\n") }

func failf(format string, args ...any) error {
	return &failure{[]string{fmt.Sprintf(format, args...)}}
}

// serverError is in the form that kubectl gives to what the API server says.
func serverError(reason, format string, args ...any) error {
	return failf("Error from server (%s): %s", reason, fmt.Sprintf(format, args...))
}

// call is one command line.
type call struct {
	line   []string // all arguments, for faults
	verb   string
	words  []string // what is no flag
	flags  map[string]string
	stdin  []byte
	stdout io.Writer
	store  *store
}

func parse(args []string) (*call, error) {
	c := &call{line: args, flags: make(map[string]string), stdout: os.Stdout}
	short := map[string]string{"-n": "namespace", "-o": "output", "-f": "filename", "-p": "patch", "-l": "selector"}
	switches := []string{"client", "minify", "ignore-not-found", "all", "server-side", "force-conflicts"}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		name, isShort := short[arg]
		switch {
		case arg == "-":
			c.words = append(c.words, arg)
			continue
		case isShort:
		case strings.HasPrefix(arg, "--"):
			var value string
			var given bool
			name, value, given = strings.Cut(arg[2:], "=")
			if !given && slices.Contains(switches, name) {
				value, given = "true", true
			}
			if given {
				c.flags[name] = value
				continue
			}
		case strings.HasPrefix(arg, "-"):
			return nil, fmt.Errorf("unknown shorthand flag: %q in %s", arg[1:], arg)
		default:
			c.words = append(c.words, arg)
			continue
		}
		if i++; i == len(args) {
			return nil, fmt.Errorf("flag needs an argument: %s", arg)
		}
		c.flags[name] = args[i]
	}
	if len(c.words) == 0 {
		return nil, errors.New("no command")
	}
	c.verb, c.words = c.words[0], c.words[1:]
	return c, nil
}

// read reads standard input, if it is to.
func (c *call) read() (err error) {
	if c.flags["filename"] == "-" {
		c.stdin, err = io.ReadAll(os.Stdin)
	}
	return err
}

func (c *call) do() error {
	config := c.flags["kubeconfig"]
	if config == "" {
		config = os.Getenv("KUBECONFIG")
	}
	clientOnly := c.verb == "version" && c.flags["client"] == "true"
	if _, err := os.Stat(config); err != nil {
		if clientOnly {
			return c.version()
		}
		if c.verb == "config" {
			return failf("error: current-context must exist in order to minify")
		}
		return failf("The connection to the server localhost:8080 was refused - did you specify the right host or port?")
	}
	c.store = &store{dir: filepath.Dir(config)}
	if c.verb == "config" {
		_, err := fmt.Fprint(c.stdout, c.store.settings().Namespace)
		return err
	}
	if c.verb == "fake" {
		return c.fake()
	}
	f, err := c.store.fault(strings.Join(c.line, " "))
	if err == nil && f != nil && f.Late {
		err = c.store.hold()
	}
	if err == nil && (f == nil || f.Do != "fail unread") {
		err = c.read()
	}
	if err != nil {
		return err
	}
	switch {
	case f != nil:
		return f.strike(c)
	case clientOnly:
		return c.version()
	}
	return c.honest()
}

// honest does what kubectl would.
func (c *call) honest() error {
	if c.store.isDown() {
		return failf("The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?")
	}
	switch c.verb {
	case "get":
		return c.get()
	case "create":
		return c.create()
	case "patch":
		return c.patch()
	case "apply":
		return c.apply()
	case "delete":
		return c.delete()
	}
	return fmt.Errorf("unknown command %q for the fake kubectl", c.verb)
}

func (c *call) version() error {
	_, err := fmt.Fprintln(c.stdout, `{"clientVersion": {"major": "1", "minor": "36", "gitVersion": "v1.36.3-fake"}, "kustomizeVersion": "v5.7.1"}`)
	return err
}

// namespace is that of an object without one of its own.
func (c *call) namespace() string {
	if name := c.flags["namespace"]; name != "" {
		return name
	}
	return c.store.settings().Namespace
}

// fake is a verb of its own, for scripts: "kubectl fake ready NAME", "fake gone NAME".
func (c *call) fake() error {
	if len(c.words) != 2 {
		return errors.New("usage: kubectl fake ready|gone POD")
	}
	key := key{"pods", c.namespace(), c.words[1]}
	switch c.words[0] {
	case "ready":
		return c.store.locked(func() error { return c.store.ready(key) })
	case "gone":
		return c.store.locked(func() error { return c.store.remove(key) })
	}
	return fmt.Errorf("unknown command fake %q", c.words[0])
}
