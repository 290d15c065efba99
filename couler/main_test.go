package couler_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMain has python3 be the interpreter itself. Where it is a program that chooses one,
// as pyenv's is, each of the hundreds of starts takes many times as long.
func TestMain(m *testing.M) {
	if chosen, err := exec.Command("python3", "-c", "import sys; print(sys.executable, end='')").Output(); err == nil {
		os.Setenv("PATH", filepath.Dir(string(chosen))+":"+os.Getenv("PATH"))
	}
	os.Exit(m.Run())
}
