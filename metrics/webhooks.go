package metrics

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Attempt is how sending a webhook to an endpoint ended, once.
type Attempt int

const (
	AttemptDelivered Attempt = iota // 2xx
	AttemptStatus                   // another status
	AttemptTimeout                  // no whole answer in time
	AttemptNetwork                  // no connection, or one that broke
	AttemptRefused                  // an address that webhooks may not go to
	attemptCount
)

var attemptNames = [attemptCount]string{"delivered", "status", "timeout", "network", "refused"}

func (a Attempt) String() string { return attemptNames[a] }

// HookDrop is why a webhook was lost. Every loss goes through one Drop call.
type HookDrop int

const (
	DropHandOff HookDrop = iota // no room on the way to the queue
	DropOldest                  // no room in the queue: its oldest went
	DropLetters                 // no room for dead letters: the oldest went
	DropStopped                 // not delivered before the server stopped, and not kept
	hookDropCount
)

var hookDropNames = [hookDropCount]string{"handoff", "queue_full", "letters_full", "stopped"}

func (d HookDrop) String() string { return hookDropNames[d] }

// HookBacklog is what waits of one app.
type HookBacklog struct {
	Queued, Dead int
	Oldest       time.Duration // age
}

// Webhooks counts the webhooks of each app. Its methods may be called from any
// goroutine; those that count also on a nil Webhooks, which counts nothing.
type Webhooks struct {
	// Backlog says what waits in the queue now, by app; nil: nobody knows now. Static
	// after construction.
	Backlog func() map[string]HookBacklog
	// Label is what an app is shown as: apps with the same one are added up. Nil: as
	// it is called. Static after construction.
	Label func(app string) string

	mu sync.Mutex
	// Guarded by mu
	apps map[string]hookCounts
}

// hookCounts are an app's totals.
type hookCounts struct {
	attempts  [attemptCount]uint64
	drops     [hookDropCount]uint64
	delivered uint64 // events, once for each endpoint
	dead      uint64 // events
}

// NewWebhooks returns counters at zero.
func NewWebhooks() *Webhooks { return &Webhooks{apps: map[string]hookCounts{}} }

func (w *Webhooks) count(app string, change func(*hookCounts)) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.apps[app]
	change(&c)
	w.apps[app] = c
}

// Attempt counts one request, and the events it delivered.
func (w *Webhooks) Attempt(app string, a Attempt, events int) {
	w.count(app, func(c *hookCounts) {
		c.attempts[a]++
		if a == AttemptDelivered {
			c.delivered += uint64(events)
		}
	})
}

// Dead counts an event that was given up.
func (w *Webhooks) Dead(app string) { w.count(app, func(c *hookCounts) { c.dead++ }) }

// Drop counts events that were lost.
func (w *Webhooks) Drop(app string, d HookDrop, events int) {
	w.count(app, func(c *hookCounts) { c.drops[d] += uint64(events) })
}

// Dropped returns how many events of an app were lost for a reason.
func (w *Webhooks) Dropped(app string, d HookDrop) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.apps[app].drops[d]
}

// Attempts returns how many requests for an app ended so.
func (w *Webhooks) Attempts(app string, a Attempt) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.apps[app].attempts[a]
}

func hookDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("dunlin_webhook_"+name, help, append([]string{"app"}, labels...), nil)
}

var (
	hookQueued    = hookDesc("events_queued", "Events that are neither delivered nor given up.")
	hookOldest    = hookDesc("oldest_seconds", "Age of the oldest event that is neither delivered nor given up.")
	hookLetters   = hookDesc("dead_letters", "Dead letters that are kept.")
	hookAttempts  = hookDesc("attempts_total", "Requests to endpoints, by how they ended.", "outcome")
	hookDelivered = hookDesc("events_delivered_total", "Events delivered, once for each endpoint.")
	hookDead      = hookDesc("events_dead_total", "Events given up; they became dead letters.")
	hookDropped   = hookDesc("events_dropped_total", "Events lost, by reason.", "reason")
)

// Describe makes Webhooks a prometheus.Collector.
func (w *Webhooks) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hookQueued, hookOldest, hookLetters, hookAttempts, hookDelivered, hookDead, hookDropped} {
		ch <- d
	}
}

// Collect reads every figure of the apps that have had a webhook.
func (w *Webhooks) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	w.mu.Lock()
	totals := maps.Clone(w.apps)
	w.mu.Unlock()
	var now map[string]HookBacklog
	if w.Backlog != nil {
		now = w.Backlog()
	}
	for app := range now {
		if _, ok := totals[app]; !ok {
			totals[app] = hookCounts{}
		}
	}
	if w.Label != nil {
		totals, now = byLabel(totals, w.Label, hookCounts.plus), byLabel(now, w.Label, HookBacklog.plus)
	}
	for app, c := range totals {
		if now != nil {
			b := now[app]
			send(hookQueued, prometheus.GaugeValue, float64(b.Queued), app)
			send(hookOldest, prometheus.GaugeValue, b.Oldest.Seconds(), app)
			send(hookLetters, prometheus.GaugeValue, float64(b.Dead), app)
		}
		send(hookDelivered, prometheus.CounterValue, float64(c.delivered), app)
		send(hookDead, prometheus.CounterValue, float64(c.dead), app)
		for a := range attemptCount {
			send(hookAttempts, prometheus.CounterValue, float64(c.attempts[a]), app, a.String())
		}
		for d := range hookDropCount {
			send(hookDropped, prometheus.CounterValue, float64(c.drops[d]), app, d.String())
		}
	}
}

// byLabel adds up what apps with the same label have. Nil stays nil.
func byLabel[V any](of map[string]V, label func(string) string, plus func(a, b V) V) map[string]V {
	if of == nil {
		return nil
	}
	out := make(map[string]V, len(of))
	for app, v := range of {
		l := label(app)
		out[l] = plus(out[l], v)
	}
	return out
}

func (c hookCounts) plus(o hookCounts) hookCounts {
	for i := range c.attempts {
		c.attempts[i] += o.attempts[i]
	}
	for i := range c.drops {
		c.drops[i] += o.drops[i]
	}
	c.delivered += o.delivered
	c.dead += o.dead
	return c
}

func (b HookBacklog) plus(o HookBacklog) HookBacklog {
	return HookBacklog{Queued: b.Queued + o.Queued, Dead: b.Dead + o.Dead, Oldest: max(b.Oldest, o.Oldest)}
}
