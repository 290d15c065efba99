// Package kube keeps databases in a Kubernetes cluster, and reaches that cluster
// through the kubectl program alone.
//
// [Runner] starts kubectl: argv only, manifests on stdin, every run bounded in time,
// output and number, every failure an [Error] with Kubernetes' own reason.
// [Cluster] implements playground.Cluster on top of it.
//
// One user's database is three objects of one name (playground.User.Name):
//
//   - a Lease (coordination.k8s.io/v1): the record. Creating it is the lock between
//     replicas. It holds the raw user id, the last use (spec.renewTime), a reaper's
//     mark, and a release.
//   - a Service: the address, which outlives pods.
//   - a Pod: MySQL.
//
// One list and one watch per kind (kubectl get --raw, a JSON event a line) feed a
// view of what is there; nothing is ever polled. What arrives together is sent
// together: see group in group.go.
package kube
