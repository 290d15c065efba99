package bed

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Get asks the API server for a path as the administrator and decodes the answer,
// which starts no process. The error wraps ErrNotFound where nothing is there.
func (b *Bed) Get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.state.Server+path, nil)
	if err != nil {
		return err
	}
	answer, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return json.NewDecoder(answer.Body).Decode(into)
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w", path, ErrNotFound)
	}
	return fmt.Errorf("%s: %s", path, answer.Status)
}

// Watch asks the API server for a path that watches, such as
// /api/v1/pods?watch=1, and passes each event on, until ctx ends, the API server
// ends it, or each gives an error.
func (b *Bed) Watch(ctx context.Context, path string, each func(event []byte) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.state.Server+path, nil)
	if err != nil {
		return err
	}
	endless := *b.client
	endless.Timeout = 0
	answer, err := endless.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		if err := each(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// nodesReady says what is missing until so many nodes are Ready.
func (b *Bed) nodesReady(ctx context.Context, want int) error {
	nodes, err := b.nodes(ctx)
	if err != nil {
		return err
	}
	ready, why := 0, "none registered"
	for _, n := range nodes {
		if missing := n.notReady(); missing == "" {
			ready++
		} else {
			why = missing
		}
	}
	if ready < want {
		return fmt.Errorf("%d of %d nodes are ready: %s", ready, want, why)
	}
	return nil
}

type node struct {
	Metadata struct{ Name string }
	Spec     struct {
		Unschedulable bool
		Taints        []struct{ Key, Effect string }
	}
	Status struct {
		Conditions []struct{ Type, Status, Message string }
	}
}

func (b *Bed) nodes(ctx context.Context) ([]node, error) {
	var list struct{ Items []node }
	err := b.Get(ctx, "/api/v1/nodes", &list)
	return list.Items, err
}

// notReady says why a node is not Ready; "" when it is.
func (n node) notReady() string {
	for _, condition := range n.Status.Conditions {
		if condition.Type == "Ready" {
			if condition.Status == "True" {
				return ""
			}
			return n.Metadata.Name + ": " + condition.Message
		}
	}
	return n.Metadata.Name + " has not said so yet"
}

// closed says why pods may not come to a node that is Ready; "" when they may.
func (n node) closed() string {
	for _, taint := range n.Spec.Taints {
		if taint.Effect != "PreferNoSchedule" {
			return n.Metadata.Name + " is tainted " + taint.Key + ":" + taint.Effect
		}
	}
	if n.Spec.Unschedulable {
		return n.Metadata.Name + " is cordoned"
	}
	return ""
}

// ExpectOK gets url and returns an error unless the answer is 200.
func ExpectOK(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	return nil
}
