// Package kube keeps databases in a Kubernetes cluster, and reaches that cluster
// through the kubectl program alone.
//
// [Runner] starts kubectl: argv only, manifests on stdin, every run bounded in time,
// output and number, every failure an [Error] with Kubernetes' own reason.
// [Cluster] implements playground.Cluster on top of it.
//
// One user's database is
//
//   - a Lease (coordination.k8s.io/v1) of the user's name (playground.User.Name): the
//     record. Creating it is the lock between replicas. It holds the raw user id, the
//     gateway certificate that asked, the place, the last use (spec.renewTime), a reaper's mark, and a release.
//   - at the place, which is a name too: a Service, the address, which outlives pods; a
//     Pod, MySQL; and with storage a PersistentVolumeClaim, which outlives them all.
//
// The place has the user's own name unless the database was made ahead: see spare.go.
// What is written under a lock is written by server-side apply, because one kubectl then
// carries many objects, each with its own resourceVersion: see apply.go.
//
// One list and one watch per kind (kubectl get --raw, a JSON event a line) feed a
// view of what is there; nothing is ever polled. What arrives together is sent
// together (see group in group.go): the first starts a kubectl at once, and what comes
// until that reads its standard input goes along.
package kube
