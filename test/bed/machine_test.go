package bed

import "testing"

func TestProgramsOfAdministratorsAreFound(t *testing.T) {
	t.Setenv("PATH", "/nowhere") // as of a root that su made
	for _, name := range []string{"ldconfig", "ls", "/bin/ls"} {
		if path, err := lookPath(name); err != nil || path[0] != '/' {
			t.Errorf("%s: %q, %v", name, path, err)
		}
	}
	if path, err := lookPath("no-such-program"); err == nil {
		t.Errorf("found %s", path)
	}
}
