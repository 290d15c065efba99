//go:build cgo || gms_pure_go

package embedded

import (
	"context"
	"fmt"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Ping lets the engine behind address answer a query, without a connection.
func (c *Cluster) Ping(ctx context.Context, address string) error {
	s, err := c.at(address)
	if err != nil {
		return err
	}
	if err := s.ping(ctx); err != nil {
		return fmt.Errorf("pinging the database at %s: %w", address, err)
	}
	return nil
}

// Activity tells the connections that clients made to address.
func (c *Cluster) Activity(_ context.Context, address string) (playground.Activity, error) {
	s, err := c.at(address)
	if err != nil {
		return playground.Activity{}, err
	}
	open, accepted := s.activity()
	return playground.Activity{Threads: open, Connections: accepted}, nil
}

func (c *Cluster) at(address string) (*server, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.addresses[address]
	if r == nil || r.server == nil {
		return nil, fmt.Errorf("no database runs at %s", address)
	}
	return r.server, nil
}
