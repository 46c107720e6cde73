package deliver

import (
	"time"

	"dunlin/apps"
	"dunlin/metrics"
)

// endpoint is what is known of one while something waits for it or it fails. The
// Deliverer's mu guards it and its lanes.
type endpoint struct {
	d           *Deliverer
	address     address
	circuit     circuit
	lastSuccess time.Time
	reopened    time.Time // when its circuit closed: what rests is sent at once
	lastReason  string    // of a failure
	lanes       map[int]*lane
}

// endpoint returns an endpoint's state, made when there is none.
func (d *Deliverer) endpoint(a address) *endpoint {
	e := d.endpoints[a]
	if e == nil {
		e = &endpoint{d: d, address: a, circuit: circuit{every: d.o.ProbeEvery}, lanes: map[int]*lane{}}
		d.endpoints[a] = e
	}
	return e
}

func (e *endpoint) lane(n int) *lane {
	l := e.lanes[n]
	if l == nil {
		l = &lane{endpoint: e, woken: make(chan struct{}, 1)}
		e.lanes[n] = l
	}
	return l
}

// load counts the parcels that are not being sent.
func (e *endpoint) load() (n int) {
	for _, l := range e.lanes {
		n += l.load()
	}
	return n
}

// wake has every lane look again.
func (e *endpoint) wake() {
	for _, l := range e.lanes {
		l.wake()
	}
}

// config looks up the app and the endpoint as they are configured now.
func (e *endpoint) config() (*apps.App, *apps.Webhook) {
	app := e.d.o.Apps.ByID(e.address.app)
	if app == nil {
		return nil, nil
	}
	return app, app.Webhook(e.address.id)
}

// deadline is until when a parcel may be tried. Time in which the endpoint took
// other events does not count.
func (e *endpoint) deadline(p *parcel) time.Time {
	from := p.arrived
	if e.lastSuccess.After(from) {
		from = e.lastSuccess
	}
	return from.Add(e.d.o.Retry.GiveUp)
}

// ended notes how the request of a lane ended, and reports whether it delivered.
func (e *endpoint) ended(l *lane, hook *apps.Webhook, a answer) bool {
	d := e.d
	d.mu.Lock()
	b := l.sending
	l.sending = nil
	d.o.Counters.Attempt(e.address.app, a.outcome, len(b.parcels))
	var report func()
	if a.outcome == metrics.AttemptDelivered {
		report = e.delivered(l, hook, b)
	} else {
		report = e.failed(l, hook, b, a)
	}
	lost := d.shed()
	d.mu.Unlock()
	report()
	d.reportShed(lost)
	return a.outcome == metrics.AttemptDelivered
}

// delivered settles a batch. It returns what tells the operator, without mu. mu is
// held.
func (e *endpoint) delivered(l *lane, hook *apps.Webhook, b *batch) (report func()) {
	failing := e.circuit.failures > 0
	closed := e.circuit.succeeded()
	e.lastSuccess = e.d.o.Now()
	if closed {
		e.reopened = e.lastSuccess
	}
	if failing {
		e.wake()
	}
	l.release(b)
	for _, p := range b.parcels {
		e.d.done(p)
	}
	return func() {
		if closed {
			e.d.o.Log.Info("a webhook endpoint answers again", "app", e.address.app, "endpoint", hook.Shown)
		}
	}
}

// failed has a batch rest, or gives it up. It returns what tells the operator,
// without mu. mu is held.
func (e *endpoint) failed(l *lane, hook *apps.Webhook, b *batch, a answer) (report func()) {
	now, retry, chance := e.d.o.Now(), e.d.o.Retry, random()
	asked := retry.granted(a.asked)
	opened := e.circuit.failed(now, max(e.circuit.pause(retry, chance), asked), b.attempts == 1)
	e.lastReason = a.reason
	b.failed = now
	next, over := retry.next(now, b.deadline, b.attempts, asked, chance)
	if b.next = next; over {
		l.release(b)
		e.giveUp(b.parcels, hook.Shown+" "+a.reason)
	} else {
		l.rest(b)
	}
	return func() {
		e.report(hook, b, a.reason, next.Sub(now), over)
		if opened {
			e.d.o.Log.Warn("a webhook endpoint fails all the time", "app", e.address.app, "endpoint", hook.Shown,
				"failures", circuitOpensAt, "next_try_in", max(e.circuit.every, asked).String())
		}
	}
}

// giveUp notes that parcels will not reach the endpoint.
func (e *endpoint) giveUp(list []*parcel, text string) {
	for _, p := range list {
		p.failures = append(p.failures, failure{e.address.id, text})
		e.d.done(p)
	}
}

// forget gives up all that waits in a lane: the endpoint is no longer configured.
func (e *endpoint) forget(l *lane) {
	e.circuit = circuit{every: e.circuit.every}
	e.giveUp(l.cut(func(time.Time) bool { return true }), e.address.id+" is no longer configured")
}

// report logs a failure so that an operator knows what to look at.
func (e *endpoint) report(hook *apps.Webhook, b *batch, reason string, wait time.Duration, over bool) {
	first := &b.parcels[0].event
	attrs := []any{"app", e.address.app, "endpoint", hook.Shown, "reason", reason, "attempt", b.attempts,
		"delivery", b.delivery, "events", len(b.parcels), "first", first.Name.String(), "channel", first.Channel}
	if over {
		e.d.o.Log.Warn("webhook given up; it becomes a dead letter", attrs...)
		return
	}
	e.d.o.Log.Warn("webhook not delivered", append(attrs, "again_in", wait.Round(time.Millisecond).String())...)
}
