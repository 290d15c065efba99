package couler_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// compiler is a Python that compiles one program after another; starting one
// for each would make the fuzzer crawl.
type compiler struct {
	in  io.Writer
	out *bufio.Reader
}

const compileLoop = `
import sys
for line in sys.stdin.buffer:
    source = sys.stdin.buffer.read(int(line))
    try:
        compile(source.decode("utf-8"), "program", "exec")
        print("ok", flush=True)
    except Exception as error:
        print(ascii(error), flush=True)
`

func newCompiler(t testing.TB) *compiler {
	cmd := exec.Command("python3", "-c", compileLoop)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return &compiler{in, bufio.NewReader(out)}
}

func (c *compiler) check(t *testing.T, source []byte) {
	t.Helper()
	fmt.Fprintf(c.in, "%d\n%s", len(source), source)
	line, err := c.out.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "ok" {
		t.Fatalf("python says %s, %v of\n%s", line, err, source)
	}
}
