package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds are the upper ends of a histogram's buckets. They reach from one write on
// an idle machine to what nobody should ever see.
var bounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// Histogram counts durations. Its methods may be called from any goroutine.
type Histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64 // the last: longer than all bounds
	sum     atomic.Uint64                  // ns
}

// Observe counts a duration; one below 0 counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(bounds) && d > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(max(d, 0)))
}

// reading is a histogram, or several added up, at one moment.
type reading struct {
	buckets [len(bounds) + 1]uint64
	sum     uint64
}

func (r *reading) add(h *Histogram) {
	for i := range h.buckets {
		r.buckets[i] += h.buckets[i].Load()
	}
	r.sum += h.sum.Load()
}

// metric is the reading in Prometheus' form: seconds, and buckets that hold those
// before them.
func (r *reading) metric(d *prometheus.Desc, labels ...string) prometheus.Metric {
	buckets, count := make(map[float64]uint64, len(bounds)), uint64(0)
	for i, n := range r.buckets {
		count += n
		if i < len(bounds) {
			buckets[bounds[i].Seconds()] = count
		}
	}
	return prometheus.MustNewConstHistogram(d, count, time.Duration(r.sum).Seconds(), buckets, labels...)
}
