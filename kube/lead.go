package kube

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// leadName is the Lease that says which replica reaps and fills the pool. It does not carry the labels of
// a user's record.
const leadName = "sqlflow-playground-reaper"

// leadership is what this replica knows of that Lease.
type leadership struct {
	mu      sync.Mutex
	version playground.Version
	since   time.Time // when, by our own clock, that version was first seen
}

// Lead takes or keeps the Lease of the reaper. As in client-go's leader election, only
// the time since a version was first seen counts, so clocks need not agree: a replica
// that finds another's lease waits ttl before it takes it over.
func (c *Cluster) Lead(ctx context.Context, ttl time.Duration) (bool, error) {
	c.lead.mu.Lock()
	defer c.lead.mu.Unlock()
	lease, err := c.readLead(ctx)
	if err != nil {
		return false, outOfReach(err)
	}
	if lease == nil {
		return c.beginLead(ctx)
	}
	now := c.o.Now()
	if lease.version() != c.lead.version {
		c.lead.version, c.lead.since = lease.version(), now
	}
	holder := lease.Spec.HolderIdentity
	if holder != "" && holder != c.o.Identity && now.Sub(c.lead.since) < ttl {
		return false, nil
	}
	version, err := c.patch(ctx, document{kind: "Lease", name: leadName}, fields{
		"metadata": fields{"resourceVersion": lease.Metadata.ResourceVersion},
		"spec":     fields{"holderIdentity": c.o.Identity, "renewTime": microTime(now), "leaseDurationSeconds": max(int(ttl/time.Second), 1)},
	})
	switch ReasonOf(err) {
	case Conflict, NotFound:
		return false, nil
	}
	if err != nil {
		return false, outOfReach(err)
	}
	c.lead.version, c.lead.since = version, now
	return true, nil
}

// Resign writes nobody into the Lease, if it still names this replica.
func (c *Cluster) Resign(ctx context.Context) error {
	c.lead.mu.Lock()
	defer c.lead.mu.Unlock()
	lease, err := c.readLead(ctx)
	if err != nil || lease == nil || lease.Spec.HolderIdentity != c.o.Identity {
		return outOfReach(err)
	}
	_, err = c.patch(ctx, document{kind: "Lease", name: leadName}, fields{
		"metadata": fields{"resourceVersion": lease.Metadata.ResourceVersion},
		"spec":     fields{"holderIdentity": ""},
	})
	if ReasonOf(err) == Conflict {
		return nil
	}
	return outOfReach(err)
}

func (c *Cluster) readLead(ctx context.Context) (*object, error) {
	text, err := c.o.Runner.Run(ctx, nil, "get", "--raw", c.leases().path+"/"+leadName)
	switch {
	case ReasonOf(err) == NotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the lease %s: %w", leadName, err)
	}
	all, err := decodeObjects(bytes.NewReader(text))
	if err != nil || len(all) != 1 {
		return nil, fmt.Errorf("read the lease %s: %d objects: %w", leadName, len(all), err)
	}
	return all[0], nil
}

func (c *Cluster) beginLead(ctx context.Context) (bool, error) {
	err := c.create(ctx, []document{{"Lease", leadName, manifest(fields{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": fields{"name": leadName, "namespace": c.o.Namespace, "labels": fields{appLabel: "sqlflow-playground"}},
		"spec":     fields{"holderIdentity": c.o.Identity, "renewTime": microTime(c.o.Now())},
	})}})[0].err
	if ReasonOf(err) == AlreadyExists {
		return false, nil
	}
	return err == nil, outOfReach(err)
}
