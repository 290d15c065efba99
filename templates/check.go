package templates

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// yamlNode is a place in a rendering, with the manifest that faults are told of.
type yamlNode struct {
	*yaml.Node
	m *manifest
}

// at follows keys and gives the node there; ok is false if there is none.
func (n yamlNode) at(keys ...string) (found yamlNode, ok bool) {
	found = n
	for _, key := range keys {
		next, ok := found.child(key)
		if !ok {
			return found, false
		}
		found = next
	}
	return found, true
}

func (n yamlNode) child(key string) (yamlNode, bool) {
	if n.Kind != yaml.MappingNode {
		return n, false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return yamlNode{n.Content[i+1], n.m}, true
		}
	}
	return n, false
}

// is demands the text want at the place that keys lead to.
func (n yamlNode) is(want string, keys ...string) error {
	found, ok := n.at(keys...)
	switch {
	case !ok:
		return n.m.fault(found.Node, "%s is missing; it must be %q", dotted(keys), cut(want))
	case found.Kind != yaml.ScalarNode || found.ShortTag() != "!!str" || found.Value != want:
		return n.m.fault(found.Node, "%s is %q and must be %q", dotted(keys), cut(found.Value), cut(want))
	}
	return nil
}

func dotted(keys []string) string {
	s := ""
	for i, k := range keys {
		if i > 0 {
			s += "."
		}
		s += k
	}
	return s
}

// checkObject demands what every object of ours has.
func checkObject(n yamlNode, kind string, d Database) error {
	for _, each := range []struct {
		want string
		keys []string
	}{
		{"v1", []string{"apiVersion"}},
		{kind, []string{"kind"}},
		{d.Name, []string{"metadata", "name"}},
		{d.Namespace, []string{"metadata", "namespace"}},
	} {
		if err := n.is(each.want, each.keys...); err != nil {
			return err
		}
	}
	for key, want := range d.Labels {
		if err := n.is(want, "metadata", "labels", key); err != nil {
			return err
		}
	}
	for key, want := range d.Annotations {
		if err := n.is(want, "metadata", "annotations", key); err != nil {
			return err
		}
	}
	return nil
}

func checkPod(n yamlNode, d Database) error {
	if err := checkObject(n, "Pod", d); err != nil {
		return err
	}
	containers, ok := n.at("spec", "containers")
	if !ok || containers.Kind != yaml.SequenceNode || len(containers.Content) == 0 {
		return n.m.fault(containers.Node, "spec.containers is missing")
	}
	runs := func(c *yaml.Node) bool {
		image, ok := (yamlNode{c, n.m}).at("image")
		return ok && image.Value == d.Image
	}
	if !slices.ContainsFunc(containers.Content, runs) {
		return n.m.fault(containers.Node, "no container has the image that was asked for; write image: {{ quote .Image }}")
	}
	return checkMount(n, d)
}

// checkMount demands that the pod uses the volume that it is given.
func checkMount(n yamlNode, d Database) error {
	if d.VolumeClaim == "" {
		return nil
	}
	volumes, ok := n.at("spec", "volumes")
	uses := func(v *yaml.Node) bool {
		claim, ok := (yamlNode{v, n.m}).at("persistentVolumeClaim", "claimName")
		return ok && claim.Value == d.VolumeClaim
	}
	if !ok || volumes.Kind != yaml.SequenceNode || !slices.ContainsFunc(volumes.Content, uses) {
		return n.m.fault(volumes.Node, "no volume of the pod is the one of --storage; write persistentVolumeClaim: {claimName: {{ quote .VolumeClaim }}}")
	}
	return nil
}

func checkVolume(n yamlNode, d Database) error {
	if err := checkObject(n, "PersistentVolumeClaim", d); err != nil {
		return err
	}
	if d.StorageClass != "" {
		if err := n.is(d.StorageClass, "spec", "storageClassName"); err != nil {
			return err
		}
	}
	return n.is(d.Storage, "spec", "resources", "requests", "storage")
}

func checkService(n yamlNode, d Database) error {
	if err := checkObject(n, "Service", d); err != nil {
		return err
	}
	for key, want := range d.Selector {
		if err := n.is(want, "spec", "selector", key); err != nil {
			return err
		}
	}
	ports, ok := n.at("spec", "ports")
	if !ok || ports.Kind != yaml.SequenceNode {
		return n.m.fault(ports.Node, "spec.ports is missing")
	}
	for _, p := range ports.Content {
		if port, ok := (yamlNode{p, n.m}).at("port"); ok && port.Value == "3306" {
			return nil
		}
	}
	return n.m.fault(ports.Node, "no port is 3306, where the data source leads")
}
