package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept in microseconds with three digits, from 1 µs to 10 minutes;
// what is outside counts as the nearest of these.
const (
	unit          = int64(time.Microsecond)
	shortest      = 1
	longest       = int64(10 * time.Minute / time.Microsecond)
	latencyDigits = 3
)

// latency is a histogram of times. It belongs to one goroutine.
type latency struct{ h *hdrhistogram.Histogram }

func newLatency() *latency {
	return &latency{hdrhistogram.New(shortest, longest, latencyDigits)}
}

// record adds a time in nanoseconds.
func (l *latency) record(ns int64) {
	_ = l.h.RecordValue(min(max(ns/unit, shortest), longest)) // fails outside the bounds only
}

// percentiles sums up.
func (l *latency) percentiles() Percentiles {
	ms := func(v int64) float64 { return float64(v) / 1000 }
	at := func(p float64) float64 { return ms(l.h.ValueAtPercentile(p)) }
	return Percentiles{
		Count: l.h.TotalCount(), Min: ms(l.h.Min()), Mean: l.h.Mean() / 1000,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: ms(l.h.Max()),
	}
}

// sharedLatency is a latency for many goroutines.
type sharedLatency struct {
	mu sync.Mutex
	l  *latency // guarded by mu
}

func newSharedLatency() *sharedLatency { return &sharedLatency{l: newLatency()} }

func (s *sharedLatency) record(ns int64) {
	s.mu.Lock()
	s.l.record(ns)
	s.mu.Unlock()
}

// latencies are histograms by what was timed.
type latencies map[string]*latency

// What is timed.
const (
	timeConnect  = "connect"         // from the first packet to the last answer to a subscribe
	timeJoin     = "join"            // from pusher:subscribe to its answer
	timeRequest  = "request"         // of the HTTP API
	timeDelivery = "delivery"        // from the publish to each subscriber
	timeLast     = "last_delivery"   // from the publish to its last subscriber
	timeClient   = "client_delivery" // from a client event to each other member
	timeMember   = "member_added"    // from a join to each other member
)

// of returns the histogram of a name, and makes it at the first time.
func (l latencies) of(name string) *latency {
	if l[name] == nil {
		l[name] = newLatency()
	}
	return l[name]
}
