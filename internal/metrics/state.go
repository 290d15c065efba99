package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sqlflow.org/sqlflow_playground/internal/playground"
)

// Databases shows how many databases there are in each state. counts is asked at
// each scrape and must be quick.
func (r *Recorder) Databases(counts func() map[playground.State]int) {
	r.register.MustRegister(&gauges{
		desc: prometheus.NewDesc(namespace+"_databases", "Users' databases by state.", []string{"state"}, nil),
		values: func() map[string]float64 {
			now, values := counts(), map[string]float64{}
			for _, state := range playground.States() {
				values[string(state)] = float64(now[state])
			}
			return values
		},
	})
}

// Pool shows the databases made ahead. status is asked at each scrape and must be quick.
func (r *Recorder) Pool(status func() playground.PoolStatus) {
	r.register.MustRegister(&gauges{
		desc: prometheus.NewDesc(namespace+"_pool", "Databases made ahead by state, and how many are wanted.", []string{"state"}, nil),
		values: func() map[string]float64 {
			now := status()
			return map[string]float64{"wanted": float64(now.Want), "ready": float64(now.Ready), "coming": float64(now.Coming), "bad": float64(now.Bad)}
		},
	})
}

// WatchAge shows how long ago the cluster was heard of. age is asked at each scrape.
func (r *Recorder) WatchAge(age func() time.Duration) {
	r.register.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace,
		Name:      "watch_age_seconds",
		Help:      "How long ago the watch on the cluster said something, bookmarks included.",
	}, func() float64 { return age().Seconds() }))
}

// CertificateExpiry shows how long each certificate is still valid, negative after
// that. left is asked at each scrape and tells by role, such as "ca" and "server".
func (r *Recorder) CertificateExpiry(left func() map[string]time.Duration) {
	r.register.MustRegister(&gauges{
		desc: prometheus.NewDesc(namespace+"_certificate_expiry_seconds", "How long the certificate is still valid.", []string{"certificate"}, nil),
		values: func() map[string]float64 {
			values := map[string]float64{}
			for role, d := range left() {
				values[role] = d.Seconds()
			}
			return values
		},
	})
}

// gauges is a family of gauges with one label, read at each scrape.
type gauges struct {
	desc   *prometheus.Desc
	values func() map[string]float64 // by label value
}

func (g *gauges) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	for label, value := range g.values() {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, label)
	}
}
