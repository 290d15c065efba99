package bed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// searchPath is where programs are looked up besides the PATH: Debian keeps
// those for administrators outside of a user's.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds a program on the PATH or where administrators have theirs.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range filepath.SplitList(searchPath) {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

// run runs a program to its end and gives what it printed. The error carries
// the command and the last of what it complained about.
func (b *Bed) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	program, err := lookPath(args[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "KUBECONFIG="+b.Kubeconfig())
	cmd.Stdin = stdin
	cmd.WaitDelay = 5 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := bytes.TrimSpace(errs.Bytes())
		return out.Bytes(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, said[max(0, len(said)-2048):])
	}
	return out.Bytes(), nil
}

// Kubectl runs the cluster's own kubectl as the administrator and gives its
// standard output. Stdin may be nil. The error carries the standard error.
func (b *Bed) Kubectl(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return b.run(ctx, stdin, append([]string{b.KubectlPath()}, args...)...)
}

// ServiceAccountKubeconfig writes a kubeconfig that acts as a service account,
// with a token good for an hour, and gives its path. The account must exist;
// the namespace is also the kubeconfig's own.
func (b *Bed) ServiceAccountKubeconfig(ctx context.Context, namespace, account string) (path string, err error) {
	token, err := b.Kubectl(ctx, nil, "create", "token", account, "--namespace="+namespace, "--duration=1h")
	if err != nil {
		return "", err
	}
	ca, err := os.ReadFile(b.pki("ca.crt"))
	if err != nil {
		return "", err
	}
	path = b.path("account-" + namespace + "-" + account + ".kubeconfig")
	user := credential{Token: string(bytes.TrimSpace(token))}
	return path, writeKubeconfig(path, b.state.Server, ca, namespace, user)
}
