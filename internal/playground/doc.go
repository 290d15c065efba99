// Package playground is the domain of the gateway: users, their databases, the
// leases that keep them, and the Manager that creates, joins, heals and reaps.
//
// It knows neither HTTP nor kubectl. A [Cluster] is where databases live (package
// kube runs them as Kubernetes pods, package embedded inside this process), a
// [Prober] asks a database whether it answers and whether it is used. The Manager
// holds the only copy of what the cluster said last, fed by [Cluster.Watch]; every
// question is answered from that copy, so no request and no heart beat ever waits
// for the cluster to be read.
//
// Start reading at [Database] and [Cluster], then [Manager.Create]; place.go says how
// limits hold when several replicas count.
package playground
