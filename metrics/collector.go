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
	gauge("channels", "Channels with a subscription on this node.",
		func(l *Loop) int64 { return l.Channels.Load() }),
	gauge("subscriptions", "Subscriptions of open connections to channels.",
		func(l *Loop) int64 { return l.Subscriptions.Load() }),
	counter("connections_accepted_total", "Connections accepted, whatever they turned out to be.",
		func(l *Loop) int64 { return total(&l.Accepted) }),
	counter("received_bytes_total", "Bytes read from WebSocket connections, framing included.",
		func(l *Loop) int64 { return total(&l.BytesIn) }),
	counter("sent_bytes_total", "Bytes written to WebSocket connections, framing included.",
		func(l *Loop) int64 { return total(&l.BytesOut) }),
	counter("writes_total", "Write calls that sending took.",
		func(l *Loop) int64 { return total(&l.Writes) }),
	counter("turns_total", "Turns of the event loops.",
		func(l *Loop) int64 { return total(&l.Turns) }),
}

func labelled(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("dunlin_"+name, help, labels, nil)
}

var (
	dropsDesc = labelled("drops_total", "Connections ended and work refused by the server, by reason.", "reason")
	authDesc  = labelled("auth_failures_total",
		"Authentications that failed: of API requests, of subscriptions, of users who sign in and of operators, by cause.", "where", "cause")
	receivedDesc      = labelled("messages_received_total", "Messages received from clients, by kind.", "kind")
	receivedBytesDesc = labelled("messages_received_bytes_total", "Bytes of these messages without framing, by kind.", "kind")
	sentDesc          = labelled("messages_sent_total", "Messages sent to clients, by kind.", "kind")
	sentBytesDesc     = labelled("messages_sent_bytes_total", "Bytes of these messages with framing, by kind.", "kind")
	latencyDesc       = labelled("event_write_seconds",
		"Time from the publishing of an event, or its arrival from another node, until it was written to the last of its subscribers on a loop: one observation for each event and loop.")
)

// Describe makes a Set a prometheus.Collector.
func (s *Set) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range figures {
		ch <- f.desc
	}
	for _, f := range appFigures {
		ch <- f.desc
	}
	for _, d := range []*prometheus.Desc{dropsDesc, authDesc, receivedDesc, receivedBytesDesc, sentDesc, sentBytesDesc, latencyDesc,
		requestsDesc, requestSecondsDesc} {
		ch <- d
	}
}

// Collect reads every figure. Every reason for a drop and every kind is there from
// the start, so that its rate is known from the first one on.
func (s *Set) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(v), labels...)
	}
	for _, f := range figures {
		send(f.desc, f.kind, s.Sum(f.of))
	}
	for d := range dropCount {
		send(dropsDesc, prometheus.CounterValue, int64(s.Drops(d)), d.String())
	}
	for r := Refusal(1); r < refusalCount; r++ {
		send(authDesc, prometheus.CounterValue, int64(s.Refusals(r)), refusalNames[r][0], refusalNames[r][1])
	}
	for i, name := range receivedNames {
		s.volume(func(l *Loop) *Volume { return &l.Received[i] }, func(d *prometheus.Desc, n int64) { send(d, prometheus.CounterValue, n, name) },
			receivedDesc, receivedBytesDesc)
	}
	for i, name := range sentNames {
		s.volume(func(l *Loop) *Volume { return &l.Sent[i] }, func(d *prometheus.Desc, n int64) { send(d, prometheus.CounterValue, n, name) },
			sentDesc, sentBytesDesc)
	}
	s.eachApp(appFigures, ch)
	var latency reading
	for i := range s.blocks {
		latency.add(&s.blocks[i].latency)
	}
	ch <- latency.metric(latencyDesc)
	s.routes.collect(ch)
}

// volume sends the messages and the bytes of a kind.
func (s *Set) volume(of func(*Loop) *Volume, send func(*prometheus.Desc, int64), messages, bytes *prometheus.Desc) {
	send(messages, s.Sum(func(l *Loop) int64 { return total(&of(l).Messages) }))
	send(bytes, s.Sum(func(l *Loop) int64 { return total(&of(l).Bytes) }))
}
