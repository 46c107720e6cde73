package deliver

import (
	"time"

	"dunlin/apps"
)

// lane is a sequence of batches to an endpoint.
type lane struct {
	endpoint *endpoint
	waiting  []*parcel
	sending  []*parcel // in the batch that is being delivered
	working  bool
	woken    chan struct{} // one token: look again
}

func (l *lane) wake() {
	select {
	case l.woken <- struct{}{}:
	default: // a token is there already
	}
}

// put adds a parcel. batch is how many make one.
func (l *lane) put(p *parcel, batch int) {
	l.waiting = append(l.waiting, p)
	if !l.working {
		l.working = true
		l.endpoint.d.lanes.Go(l.work)
	} else if len(l.waiting) == batch {
		l.wake() // it waits for so many at most
	}
}

// cut takes the first n waiting parcels out.
func (l *lane) cut(n int) []*parcel {
	list := l.waiting[:n:n]
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil // lets go of the array
	}
	return list
}

// work serves a lane until nothing waits in it.
func (l *lane) work() {
	for b := l.nextBatch(); b != nil; b = l.nextBatch() {
		if !l.deliver(b) {
			return // stopping: what is left stays in the queue
		}
	}
}

// nextBatch waits until enough is there for a batch, or long enough, and returns
// it; nil when nothing waits, and the lane is over.
func (l *lane) nextBatch() *batch {
	d := l.endpoint.d
	for {
		d.mu.Lock()
		l.sending = nil
		if len(l.waiting) == 0 {
			l.over()
			d.mu.Unlock()
			return nil
		}
		_, hook := l.endpoint.config()
		if hook == nil {
			hook = &apps.Webhook{Batch: apps.Batch{Events: len(l.waiting)}} // all of them have nowhere to go
		}
		n, wait := due(d.o.Now(), l.waiting[0].arrived, len(l.waiting), hook.Batch)
		if d.inHaste() {
			n = min(len(l.waiting), max(hook.Batch.Events, 1))
		}
		if n > 0 {
			b := l.newBatch(n)
			d.mu.Unlock()
			b.fill(l.endpoint.address.id)
			return b
		}
		d.mu.Unlock()
		l.sleep(wait)
	}
}

// over ends a lane's work, and forgets the endpoint when there is nothing to
// remember. mu is held.
func (l *lane) over() {
	l.working = false
	e := l.endpoint
	if e.circuit.failures > 0 || e.d.o.Now().Before(e.circuit.quiet) {
		return
	}
	for _, other := range e.lanes {
		if other.working {
			return
		}
	}
	delete(e.d.endpoints, e.address)
}

// inHaste reports whether the Deliverer stops.
func (d *Deliverer) inHaste() bool {
	select {
	case <-d.stopping:
		return true
	default:
		return false
	}
}

// sleep waits so long, or until the lane is woken or everything stops.
func (l *lane) sleep(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.woken:
	case <-l.endpoint.d.stopping:
	}
}

// deliver sends a batch until it is delivered or given up. It reports false when
// everything stops before.
func (l *lane) deliver(b *batch) bool {
	e := l.endpoint
	d := e.d
	for d.stopped.Err() == nil {
		app, hook := e.config()
		if hook == nil {
			e.forget(b)
			return true
		}
		haste := d.inHaste()
		switch what, wait := e.decide(b, haste); what {
		case stepWait:
			l.sleep(wait)
		case stepGiveUp:
			l.giveUpOld(hook, b)
			return true
		case stepSend:
			b.attempts++
			if e.ended(hook, b, d.sender.post(app, hook, b)) {
				return true
			}
			if haste {
				return false
			}
		}
	}
	return false
}

// giveUpOld gives up a batch whose time is over while the endpoint's circuit is
// open, and with it all that has waited as long: they need not be tried one by one.
func (l *lane) giveUpOld(hook *apps.Webhook, b *batch) {
	e := l.endpoint
	e.d.mu.Lock()
	now, n := e.d.o.Now(), 0
	for n < len(l.waiting) && !now.Before(latest(l.waiting[n].arrived, e.lastSuccess).Add(e.d.o.Retry.GiveUp)) {
		n++
	}
	b.parcels = append(b.parcels, l.cut(n)...)
	reason := "fails all the time: " + e.lastReason
	for _, p := range b.parcels {
		e.giveUp(p, hook.Shown+" "+reason)
	}
	e.d.mu.Unlock()
	e.report(hook, b, reason, 0, true)
}
