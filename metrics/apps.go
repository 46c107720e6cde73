package metrics

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// App is one app's counters on one loop, in a block as Loop's.
type App struct {
	_              [64]byte
	Connections    atomic.Int64
	Subscriptions  atomic.Int64
	Channels       atomic.Int64 // as Loop.Channels
	Opened, Closed atomic.Uint64
	Received       Volume // messages of clients
	Delivered      Volume // events and member changes to subscribers
	Published      Volume // events through the API, once for each channel; bytes of the message
	Requests       Volume // of the API; bytes of their bodies
	AnswerBytes    atomic.Uint64
	_              [64]byte
}

// OtherApps is the label of apps that have no figures of their own. No id is like it.
const OtherApps = "(other)"

// apps finds the counters of apps. A label is for ever a series at Prometheus, so
// that only so many apps have one; the others share.
type apps struct {
	mu sync.Mutex
	// Guarded by mu
	most int // 0: no limit
	byID map[string]*tenant
}

// tenant is an app's blocks, made when a loop first needs one.
type tenant struct {
	blocks [maxBlocks]atomic.Pointer[App]
}

// NameApps gives these apps figures of their own, as long as there are fewer than
// most; 0 is no limit. Apps that come later have one where there is room left.
func (s *Set) NameApps(most int, ids ...string) {
	s.apps.mu.Lock()
	s.apps.most = most
	s.apps.mu.Unlock()
	for _, id := range ids {
		s.apps.find(id)
	}
}

// App returns the block of an app on a loop. It takes a lock: callers keep what
// they get.
func (s *Set) App(loop int, id string) *App {
	t := s.apps.find(id)
	p := &t.blocks[block(loop)]
	if a := p.Load(); a != nil {
		return a
	}
	p.CompareAndSwap(nil, &App{})
	return p.Load()
}

func (a *apps) find(id string) *tenant {
	a.mu.Lock()
	defer a.mu.Unlock()
	id = a.label(id)
	t := a.byID[id]
	if t == nil {
		t = &tenant{}
		a.byID[id] = t
	}
	return t
}

// label is what an app is shown as. mu is held.
func (a *apps) label(id string) string {
	named := len(a.byID)
	if _, ok := a.byID[OtherApps]; ok {
		named--
	}
	if _, ok := a.byID[id]; ok || a.most == 0 || named < a.most {
		return id
	}
	return OtherApps
}

// Label is what an app is shown as.
func (s *Set) Label(id string) string {
	s.apps.mu.Lock()
	defer s.apps.mu.Unlock()
	return s.apps.label(id)
}

// all returns every app that is counted, by its label.
func (a *apps) all() map[string]*tenant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.byID)
}

// sum adds one figure over an app's loops.
func (t *tenant) sum(of func(*App) int64) (total int64) {
	for i := range t.blocks {
		if a := t.blocks[i].Load(); a != nil {
			total += of(a)
		}
	}
	return total
}

// appFigure is a figure that each app has.
type appFigure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*App) int64
}

func perApp(kind prometheus.ValueType, name, help string, of func(*App) int64) appFigure {
	return appFigure{prometheus.NewDesc("dunlin_app_"+name, help, []string{"app"}, nil), kind, of}
}

func total(v *atomic.Uint64) int64 { return int64(v.Load()) }

var appFigures = []appFigure{
	perApp(prometheus.GaugeValue, "connections", "Open WebSocket connections of the app.",
		func(a *App) int64 { return a.Connections.Load() }),
	perApp(prometheus.GaugeValue, "subscriptions", "Subscriptions of open connections of the app.",
		func(a *App) int64 { return a.Subscriptions.Load() }),
	perApp(prometheus.GaugeValue, "channels", "Channels of the app with a subscription on this node.",
		func(a *App) int64 { return a.Channels.Load() }),
	perApp(prometheus.CounterValue, "connections_opened_total", "Connections of the app that were established.",
		func(a *App) int64 { return total(&a.Opened) }),
	perApp(prometheus.CounterValue, "messages_received_total", "Messages of the app's clients.",
		func(a *App) int64 { return total(&a.Received.Messages) }),
	perApp(prometheus.CounterValue, "messages_received_bytes_total", "Bytes of these messages.",
		func(a *App) int64 { return total(&a.Received.Bytes) }),
	perApp(prometheus.CounterValue, "messages_delivered_total", "Events and member changes sent to the app's subscribers, once for each.",
		func(a *App) int64 { return total(&a.Delivered.Messages) }),
	perApp(prometheus.CounterValue, "messages_delivered_bytes_total", "Bytes of these messages.",
		func(a *App) int64 { return total(&a.Delivered.Bytes) }),
	perApp(prometheus.CounterValue, "events_published_total", "Events published through this node's API, once for each channel.",
		func(a *App) int64 { return total(&a.Published.Messages) }),
	perApp(prometheus.CounterValue, "events_published_bytes_total", "Bytes of the messages that these events are.",
		func(a *App) int64 { return total(&a.Published.Bytes) }),
	perApp(prometheus.CounterValue, "api_requests_total", "Requests to this node's API that the app signed.",
		func(a *App) int64 { return total(&a.Requests.Messages) }),
}

// eachApp sends figures of all apps.
func (s *Set) eachApp(figures []appFigure, ch chan<- prometheus.Metric) {
	for label, t := range s.apps.all() {
		for _, f := range figures {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, float64(t.sum(f.of)), label)
		}
	}
}
