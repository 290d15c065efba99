package bed

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// describeKwok writes kwok's stages, which its module ships, and fixes its
// command line: every node of the cluster is played by it.
func (b *Bed) describeKwok() error {
	var stages [][]byte
	err := filepath.WalkDir(filepath.Join(b.state.Kwok, "kustomize"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "testdata" {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".yaml" || entry.Name() == "kustomization.yaml" {
			return nil
		}
		stage, err := os.ReadFile(path)
		stages = append(stages, stage)
		return err
	})
	if err != nil {
		return fmt.Errorf("read kwok's stages: %w", err)
	}
	config := b.path("stages.yaml")
	if err := os.WriteFile(config, bytes.Join(stages, []byte("\n---\n")), 0o644); err != nil {
		return err
	}
	b.record(Kwok, filepath.Join(b.state.Kwok, "kwok"),
		flag("config", config), flag("kubeconfig", b.clientConfig(Kwok)), "--manage-all-nodes",
		flag("cidr", b.PodCIDR()), flag("node-ip", nodeIP), "--node-lease-duration-seconds=40")
	return nil
}

// createFakeNodes registers the nodes that kwok then plays. Together they hold
// any number of pods.
func (b *Bed) createFakeNodes(ctx context.Context) error {
	var nodes strings.Builder
	for i := range b.state.FakeNodes {
		fmt.Fprintf(&nodes, `{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake-%d", "labels": {
  "kubernetes.io/hostname": "fake-%d", "kubernetes.io/os": "linux", "type": "kwok"}}}`+"\n---\n", i, i)
	}
	_, err := b.Kubectl(ctx, strings.NewReader(nodes.String()), "apply", "--filename=-")
	return err
}
