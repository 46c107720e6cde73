package metrics

import "github.com/prometheus/client_golang/prometheus"

// figure is one metric that adds up over the blocks.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*Loop) int64
}

func gauge(name, help string, of func(*Loop) int64) figure {
	return figure{prometheus.NewDesc("dunlin_"+name, help, nil, nil), prometheus.GaugeValue, of}
}

func counter(name, help string, of func(*Loop) int64) figure {
	return figure{prometheus.NewDesc("dunlin_"+name, help, nil, nil), prometheus.CounterValue, of}
}

var figures = []figure{
	gauge("connections", "Open WebSocket connections.",
		func(l *Loop) int64 { return l.Connections.Load() }),
	gauge("subscriptions", "Subscriptions of open connections to channels.",
		func(l *Loop) int64 { return l.Subscriptions.Load() }),
	counter("connections_accepted_total", "Connections accepted, whatever they turned out to be.",
		func(l *Loop) int64 { return int64(l.Accepted.Load()) }),
	counter("messages_received_total", "WebSocket messages received from clients.",
		func(l *Loop) int64 { return int64(l.MessagesIn.Load()) }),
	counter("received_bytes_total", "Bytes received on WebSocket connections.",
		func(l *Loop) int64 { return int64(l.BytesIn.Load()) }),
	counter("messages_sent_total", "WebSocket messages sent to clients.",
		func(l *Loop) int64 { return int64(l.FramesOut.Load()) }),
	counter("sent_bytes_total", "Bytes sent on WebSocket connections.",
		func(l *Loop) int64 { return int64(l.BytesOut.Load()) }),
	counter("writes_total", "Write calls that sending took.",
		func(l *Loop) int64 { return int64(l.Writes.Load()) }),
	counter("turns_total", "Turns of the event loops.",
		func(l *Loop) int64 { return int64(l.Turns.Load()) }),
}

var dropsDesc = prometheus.NewDesc("dunlin_drops_total",
	"Connections ended and work refused by the server, by reason.", []string{"reason"}, nil)

// Describe makes a Set a prometheus.Collector.
func (s *Set) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range figures {
		ch <- f.desc
	}
	ch <- dropsDesc
}

// Collect reads every figure. Every reason for a drop is there from the start,
// so that its rate is known from the first one on.
func (s *Set) Collect(ch chan<- prometheus.Metric) {
	for _, f := range figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(s.Sum(f.of)))
	}
	for d := range dropCount {
		ch <- prometheus.MustNewConstMetric(dropsDesc, prometheus.CounterValue, float64(s.Drops(d)), d.String())
	}
}
