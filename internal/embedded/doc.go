// Package embedded is a playground without a cluster: it runs one in-process MySQL
// server ([github.com/dolthub/go-mysql-server], in memory) for each user, on a
// loopback port of its own, under the same lease rules as Kubernetes' pods.
//
// A [Cluster] implements both playground.Cluster, with records that live as long as
// this process, and playground.Prober, which asks without connecting. Each server
// holds the iris tutorial and an empty database for models. The account is
// root/root; a user may do there what an own MySQL allows, except what would reach
// other users or the host (see fence.go).
//
// The engine keeps tables in memory and copies a table for every statement that
// touches it: right for tutorials, not for large data. All databases share this
// process's memory and processors, and nothing limits how much of them a statement
// takes: it is a playground for people who trust each other that far.
//
// It is the only package that imports the engine, which makes most of the
// program's size.
package embedded
