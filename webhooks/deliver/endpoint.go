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
	reopened    time.Time // when its circuit closed: what waits is tried at once
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

// waiting counts the parcels of all lanes that are not being sent.
func (e *endpoint) waiting() (n int) {
	for _, l := range e.lanes {
		n += len(l.waiting)
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

// step is what to do with a batch.
type step int

const (
	stepSend step = iota
	stepWait
	stepGiveUp
)

// decide says what to do with a batch now.
func (e *endpoint) decide(b *batch, haste bool) (what step, wait time.Duration) {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	now := e.d.o.Now()
	switch {
	case haste:
		return stepSend, 0
	case now.Before(b.next) && !e.reopened.After(b.failed):
		return stepWait, b.next.Sub(now)
	}
	ok, wait := e.circuit.admit(now)
	left := b.deadline.Sub(now)
	switch {
	case ok: // also what is too old: somebody must find out that the endpoint is back
		return stepSend, 0
	case left > 0:
		return stepWait, min(wait, left)
	case e.circuit.open():
		return stepGiveUp, 0
	}
	return stepSend, 0 // the endpoint wants a longer pause than there is time
}

// ended notes how an attempt ended and reports whether the batch is done with.
func (e *endpoint) ended(hook *apps.Webhook, b *batch, a answer) bool {
	d := e.d
	now := d.o.Now()
	d.o.Counters.Attempt(e.address.app, a.outcome, len(b.parcels))
	d.mu.Lock()
	if a.outcome == metrics.AttemptDelivered {
		closed := e.circuit.succeeded()
		e.lastSuccess = now
		if closed {
			e.reopened = now
			e.wake()
		}
		for _, p := range b.parcels {
			d.done(p)
		}
		d.mu.Unlock()
		if closed {
			d.o.Log.Info("a webhook endpoint answers again", "app", e.address.app, "endpoint", hook.Shown)
		}
		return true
	}
	opened := e.circuit.failed(now, a.asked)
	e.lastReason = a.reason
	b.failed = now
	at, over := d.o.Retry.next(now, b.deadline, b.attempts, a.asked, random())
	if b.next = at; over {
		for _, p := range b.parcels {
			e.giveUp(p, hook.Shown+" "+a.reason)
		}
	}
	d.shed() // it was not known before that this endpoint fails
	d.mu.Unlock()
	e.report(hook, b, a.reason, at.Sub(now), over)
	if opened {
		d.o.Log.Warn("a webhook endpoint fails all the time", "app", e.address.app, "endpoint", hook.Shown,
			"failures", circuitOpensAt, "next_try_in", d.o.ProbeEvery.String())
	}
	return over
}

// giveUp notes that a parcel will not reach the endpoint.
func (e *endpoint) giveUp(p *parcel, text string) {
	p.failures = append(p.failures, failure{e.address.id, text})
	e.d.done(p)
}

// forget gives up a batch to an endpoint that is no longer configured.
func (e *endpoint) forget(b *batch) {
	e.d.mu.Lock()
	defer e.d.mu.Unlock()
	e.circuit = circuit{every: e.circuit.every}
	for _, p := range b.parcels {
		e.giveUp(p, e.address.id+" is no longer configured")
	}
}

// shed gives up the oldest parcels of the longest lane, n at most.
func (e *endpoint) shed(n int) int {
	var longest *lane
	for _, l := range e.lanes {
		if longest == nil || len(l.waiting) > len(longest.waiting) {
			longest = l
		}
	}
	n = min(n, len(longest.waiting))
	for _, p := range longest.cut(n) {
		e.giveUp(p, e.address.id+" fails, and too many events wait for it: "+e.lastReason)
	}
	return n
}

// report logs a failure so that an operator knows what to look at.
func (e *endpoint) report(hook *apps.Webhook, b *batch, reason string, wait time.Duration, over bool) {
	first := &b.parcels[0].event
	attrs := []any{"app", e.address.app, "endpoint", hook.Shown, "reason", reason, "attempt", b.attempts,
		"delivery", b.delivery, "events", len(b.parcels), "first", first.Name.String(), "channel", first.Channel}
	if over {
		e.d.o.Log.Warn("webhook given up; it is a dead letter now", attrs...)
		return
	}
	e.d.o.Log.Warn("webhook not delivered", append(attrs, "again_in", wait.Round(time.Millisecond).String())...)
}
