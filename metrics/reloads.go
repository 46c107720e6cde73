package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reloads counts how reading the configuration again went.
type Reloads struct {
	applied, failed prometheus.Counter
	last            prometheus.Gauge // 1: the last was applied
	at              prometheus.Gauge // of the last that was applied
}

// NewReloads returns counters of a server that read its configuration at its start.
func NewReloads(start time.Time) *Reloads {
	counter := func(outcome string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "dunlin_config_reloads_total",
			Help:        "How often the configuration was read again, by outcome.",
			ConstLabels: prometheus.Labels{"outcome": outcome},
		})
	}
	r := &Reloads{
		applied: counter("applied"),
		failed:  counter("failed"),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dunlin_config_last_reload_successful",
			Help: "1 when the configuration in force is the one that was read last, 0 when that one had mistakes.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dunlin_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration in force was read.",
		}),
	}
	r.mark(start)
	return r
}

// Applied notes a configuration that was put in force at now.
func (r *Reloads) Applied(now time.Time) {
	r.applied.Inc()
	r.mark(now)
}

func (r *Reloads) mark(now time.Time) {
	r.last.Set(1)
	r.at.Set(float64(now.Unix()))
}

// Failed notes a configuration with mistakes.
func (r *Reloads) Failed() {
	r.failed.Inc()
	r.last.Set(0)
}

// Describe makes Reloads a prometheus.Collector.
func (r *Reloads) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range r.all() {
		c.Describe(ch)
	}
}

// Collect reads every figure.
func (r *Reloads) Collect(ch chan<- prometheus.Metric) {
	for _, c := range r.all() {
		c.Collect(ch)
	}
}

func (r *Reloads) all() []prometheus.Collector {
	return []prometheus.Collector{r.applied, r.failed, r.last, r.at}
}
