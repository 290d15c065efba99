// Package metrics counts for Prometheus what the gateway does. All label sets are
// there from the start, so that an alert works before the first failure.
//
// The names are part of the interface with operators: sqlflow_playground_ and then
// create_seconds, heart_beats_total, reaped_total, kubectl_seconds, and the gauges
// of state.go, which are read when Prometheus asks.
package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

const namespace = "sqlflow_playground"

// KubectlVerbs are the values of kubectl_seconds' verb. Others count as "other".
func KubectlVerbs() []string {
	return []string{"apply", "auth", "config", "create", "delete", "get", "logs", "patch", "version", "watch", other}
}

// KubectlResults are the values of kubectl_seconds' result, few, because each comes
// with every verb and bucket; the exact reason of a failure is in the log.
func KubectlResults() []string {
	return []string{"ok", refused, unreachable, timeout, canceled, failed}
}

const (
	other = "other"

	refused     = "refused"     // Kubernetes answered with a reason, often an expected one
	unreachable = "unreachable" // Kubernetes did not answer, or not now
	timeout     = "timeout"     // we gave up
	canceled    = "canceled"    // nobody waited for it any more
	failed      = "error"       // anything else
)

// kubectlResult finds the result of a run that ended for a reason, in package kube's
// words, most of which are Kubernetes' (metav1.StatusReason).
func kubectlResult(reason string) string {
	switch reason {
	case "ok":
		return reason
	case "AlreadyExists", "NotFound", "Conflict", "Forbidden", "Unauthorized", "Invalid", "BadRequest", "Gone":
		return refused
	case "Busy", "Unreachable":
		return unreachable
	case "Timeout":
		return timeout
	case "Canceled":
		return canceled
	}
	return failed
}

// Recorder has the counters. It is a playground.Recorder, and safe for concurrent use.
type Recorder struct {
	register prometheus.Registerer
	created  *prometheus.HistogramVec
	beats    prometheus.Counter
	reaped   *prometheus.CounterVec
	kubectl  *prometheus.HistogramVec
}

var _ playground.Recorder = (*Recorder)(nil)

// New registers the counters with register. It panics, as prometheus.MustRegister
// does, if they are there already: one process has one gateway.
func New(register prometheus.Registerer) *Recorder {
	r := &Recorder{
		register: register,
		created: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace,
			Name:      "create_seconds",
			Help:      "How long databases took to come up, by how it ended.",
			// The old server took 3 s; the notebook gives up after 20.
			Buckets: []float64{0.05, 0.2, 0.5, 1, 2, 3, 5, 8, 12, 17, 30, 60, 180, 600},
		}, []string{"result"}),
		beats: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "heart_beats_total",
			Help:      "Heart beats that were answered with hello.",
		}),
		reaped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace,
			Name:      "reaped_total",
			Help:      "Databases, or for reason address their addresses, that were released, by reason.",
		}, []string{"reason"}),
		kubectl: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace,
			Name:      "kubectl_seconds",
			Help:      "How long kubectl ran, by verb and result.",
			Buckets:   []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30},
		}, []string{"verb", "result"}),
	}
	register.MustRegister(r.created, r.beats, r.reaped, r.kubectl)
	for _, result := range playground.CreateResults() {
		r.created.WithLabelValues(result)
	}
	for _, reason := range playground.ReapReasons() {
		r.reaped.WithLabelValues(reason)
	}
	for _, verb := range KubectlVerbs() {
		for _, result := range KubectlResults() {
			r.kubectl.WithLabelValues(verb, result)
		}
	}
	return r
}

// Created counts a creation that ended after seconds with result, one of
// playground.CreateResults.
func (r *Recorder) Created(result string, seconds float64) {
	r.created.WithLabelValues(known(result, playground.CreateResults(), string(playground.Internal))).Observe(seconds)
}

// Beat counts a heart beat.
func (r *Recorder) Beat() { r.beats.Inc() }

// Reaped counts a release for reason, one of playground.ReapReasons.
func (r *Recorder) Reaped(reason string) { r.reaped.WithLabelValues(reason).Inc() }

// Kubectl counts one run of kubectl by its verb and by "ok" or the reason of its
// failure (kube.Verbs and kube.Results).
func (r *Recorder) Kubectl(verb, reason string, seconds float64) {
	r.kubectl.WithLabelValues(known(verb, KubectlVerbs(), other), kubectlResult(reason)).Observe(seconds)
}

// known keeps a label within its values.
func known(value string, all []string, otherwise string) string {
	if slices.Contains(all, value) {
		return value
	}
	return otherwise
}
