package metrics_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sqlflow.org/sqlflow_playground/internal/metrics"
	"sqlflow.org/sqlflow_playground/internal/playground"
	"sqlflow.org/sqlflow_playground/kube"
)

// newRecorder returns a Recorder with every gauge there is.
func newRecorder(t *testing.T) (*metrics.Recorder, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	r := metrics.New(registry)
	r.Databases(func() map[playground.State]int { return map[playground.State]int{playground.StateReady: 3} })
	r.WatchAge(func() time.Duration { return 1500 * time.Millisecond })
	r.CertificateExpiry(func() map[string]time.Duration {
		return map[string]time.Duration{"ca": time.Hour, "server": -time.Minute}
	})
	return r, registry
}

func TestEveryLabelSetIsThereFromTheStart(t *testing.T) {
	t.Parallel()
	_, registry := newRecorder(t)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, family := range families {
		got[family.GetName()] = len(family.GetMetric())
	}
	for name, want := range map[string]int{
		"sqlflow_playground_create_seconds":             len(playground.CreateResults()),
		"sqlflow_playground_databases":                  len(playground.States()),
		"sqlflow_playground_heart_beats_total":          1,
		"sqlflow_playground_reaped_total":               len(playground.ReapReasons()),
		"sqlflow_playground_kubectl_seconds":            len(metrics.KubectlVerbs()) * len(metrics.KubectlResults()),
		"sqlflow_playground_watch_age_seconds":          1,
		"sqlflow_playground_certificate_expiry_seconds": 2,
	} {
		if got[name] != want {
			t.Errorf("%s has %d label sets, want %d", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("unexpected metrics: %v", got)
	}
}

func TestGaugesAreReadWhenAsked(t *testing.T) {
	t.Parallel()
	_, registry := newRecorder(t)
	want := `
# HELP sqlflow_playground_certificate_expiry_seconds How long the certificate is still valid.
# TYPE sqlflow_playground_certificate_expiry_seconds gauge
sqlflow_playground_certificate_expiry_seconds{certificate="ca"} 3600
sqlflow_playground_certificate_expiry_seconds{certificate="server"} -60
# HELP sqlflow_playground_databases Users' databases by state.
# TYPE sqlflow_playground_databases gauge
sqlflow_playground_databases{state="creating"} 0
sqlflow_playground_databases{state="failed"} 0
sqlflow_playground_databases{state="none"} 0
sqlflow_playground_databases{state="ready"} 3
# HELP sqlflow_playground_watch_age_seconds How long ago the watch on the cluster said something, bookmarks included.
# TYPE sqlflow_playground_watch_age_seconds gauge
sqlflow_playground_watch_age_seconds 1.5
`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want), "sqlflow_playground_certificate_expiry_seconds",
		"sqlflow_playground_databases", "sqlflow_playground_watch_age_seconds")
	if err != nil {
		t.Error(err)
	}
}

func TestEventsAreCounted(t *testing.T) {
	t.Parallel()
	r, registry := newRecorder(t)
	r.Beat()
	r.Beat()
	r.Reaped(playground.ReapIdle)
	want := `
# HELP sqlflow_playground_heart_beats_total Heart beats that were answered with hello.
# TYPE sqlflow_playground_heart_beats_total counter
sqlflow_playground_heart_beats_total 2
# HELP sqlflow_playground_reaped_total Databases, or for reason address their addresses, that were released, by reason.
# TYPE sqlflow_playground_reaped_total counter
sqlflow_playground_reaped_total{reason="address"} 0
sqlflow_playground_reaped_total{reason="idle"} 1
sqlflow_playground_reaped_total{reason="unasked"} 0
`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"sqlflow_playground_heart_beats_total", "sqlflow_playground_reaped_total")
	if err != nil {
		t.Error(err)
	}
}

func TestLabelsStayWithinTheirValues(t *testing.T) {
	t.Parallel()
	r, registry := newRecorder(t)
	r.Created("ready", 2)
	r.Created("no such result", 1)
	r.Kubectl("get", "ok", 0.1)
	r.Kubectl("create", "AlreadyExists", 0.1)
	r.Kubectl("`reboot`", "boom", 0.1)
	for series, want := range map[[3]string]uint64{
		{"sqlflow_playground_create_seconds", "ready"}:                  1,
		{"sqlflow_playground_create_seconds", "internal"}:               1,
		{"sqlflow_playground_create_seconds", "cannot_start"}:           0,
		{"sqlflow_playground_kubectl_seconds", "ok", "get"}:             1,
		{"sqlflow_playground_kubectl_seconds", "error", "other"}:        1,
		{"sqlflow_playground_kubectl_seconds", "refused", "create"}:     1,
		{"sqlflow_playground_kubectl_seconds", "unreachable", "create"}: 0,
	} {
		if got := observations(t, registry, series[0], series[1:]); got != want {
			t.Errorf("%q was observed %d times, want %d", series, got, want)
		}
	}
}

// Package kube and this one agree on the words.
func TestKubectlRunsAreCountedAsWhatTheyWere(t *testing.T) {
	t.Parallel()
	if got, want := slices.Sorted(slices.Values(metrics.KubectlVerbs())), slices.Sorted(slices.Values(kube.Verbs())); !slices.Equal(got, want) {
		t.Errorf("verbs are %q, package kube's are %q", got, want)
	}
	for _, reason := range kube.Results() {
		r, registry := newRecorder(t)
		r.Kubectl("get", reason, 0.1)
		unclear := reason == string(kube.Missing) || reason == string(kube.Other)
		if counted := observations(t, registry, "sqlflow_playground_kubectl_seconds", []string{"error", "get"}) == 1; counted != unclear {
			t.Errorf("%s counts as an error: %t", reason, counted)
		}
	}
}

// observations is how often the histogram with exactly these label values, in the
// order of the labels' names, was fed.
func observations(t *testing.T, registry *prometheus.Registry, name string, labels []string) uint64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels = slices.DeleteFunc(slices.Clone(labels), func(s string) bool { return s == "" })
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var values []string
			for _, pair := range metric.GetLabel() {
				values = append(values, pair.GetValue())
			}
			if family.GetName() == name && slices.Equal(values, labels) {
				return metric.GetHistogram().GetSampleCount()
			}
		}
	}
	t.Fatalf("%s%q is not there", name, labels)
	return 0
}
