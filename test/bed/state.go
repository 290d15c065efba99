package bed

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// The state of a cluster is a file in its run folder, written before whatever
// it tells about is made, so that a boot that was broken off can be undone.
type state struct {
	Nodes     Nodes
	FakeNodes int
	Complete  bool // the boot got to its end

	Address      string // that the API server and the kubelet listen on
	Server       string // URL of the API server
	APIPort      int
	EtcdPort     int
	EtcdPeerPort int
	ProxyPort    int // where kube-proxy tells its health
	MetricsPort  int // and its metrics

	Kubernetes, Etcd, Kwok, Own string // folders of built programs

	Processes map[Component]*process
	Settings  map[string]string // of the kernel, as they were before

	mu sync.Mutex
}

const stateFile = "state.json"

func load(dir string) (*state, error) {
	body, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	s := new(state)
	return s, json.Unmarshal(body, s)
}

func (s *state) process(c Component) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Processes[c]
}

// save writes the state in one piece.
func (b *Bed) save() error {
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	body, err := json.MarshalIndent(b.state, "", "  ")
	if err != nil {
		return err
	}
	half := b.path(stateFile + ".half")
	if err := os.WriteFile(half, body, 0o600); err != nil {
		return err
	}
	return os.Rename(half, b.path(stateFile))
}

// tail gives the end of a component's log, for an error.
func (b *Bed) tail(c Component) string {
	const lines, longest = 25, 16 << 10
	body, err := os.ReadFile(b.LogFile(c))
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(body[max(0, len(body)-longest):]))
	all := strings.Split(text, "\n")
	return fmt.Sprintf("--- the end of %s:\n%s", b.LogFile(c), strings.Join(all[max(0, len(all)-lines):], "\n"))
}
