package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Soketi shows the figures of apps under the names that Soketi has for them, for
// dashboards that exist.
type Soketi struct {
	set     *Set
	figures []appFigure
}

// NewSoketi returns a collector whose names begin with prefix. port is the
// clients', a label there.
func NewSoketi(s *Set, prefix string, port int) *Soketi {
	labels := prometheus.Labels{"port": strconv.Itoa(port)}
	k := &Soketi{set: s}
	add := func(kind prometheus.ValueType, name, help string, of func(*App) int64) {
		k.figures = append(k.figures, appFigure{prometheus.NewDesc(prefix+name, help, []string{"app_id"}, labels), kind, of})
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	add(gauge, "connected", "The number of currently connected sockets.", func(a *App) int64 { return a.Connections.Load() })
	add(counter, "new_connections_total", "Connections established.", func(a *App) int64 { return total(&a.Opened) })
	add(counter, "new_disconnections_total", "Connections ended.", func(a *App) int64 { return total(&a.Closed) })
	add(counter, "socket_received_bytes", "Bytes of messages received.", func(a *App) int64 { return total(&a.Received.Bytes) })
	add(counter, "socket_transmitted_bytes", "Bytes of events sent.", func(a *App) int64 { return total(&a.Delivered.Bytes) })
	add(counter, "ws_messages_received_total", "Messages received.", func(a *App) int64 { return total(&a.Received.Messages) })
	add(counter, "ws_messages_sent_total", "Events sent.", func(a *App) int64 { return total(&a.Delivered.Messages) })
	add(counter, "http_received_bytes", "Bytes of API requests' bodies.", func(a *App) int64 { return total(&a.Requests.Bytes) })
	add(counter, "http_transmitted_bytes", "Bytes of the answers' bodies.", func(a *App) int64 { return total(&a.AnswerBytes) })
	add(counter, "http_calls_received_total", "API requests.", func(a *App) int64 { return total(&a.Requests.Messages) })
	return k
}

// Describe implements prometheus.Collector.
func (k *Soketi) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range k.figures {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (k *Soketi) Collect(ch chan<- prometheus.Metric) {
	k.set.eachApp(k.figures, ch)
}
