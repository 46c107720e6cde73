package deliver

import (
	"cmp"
	"slices"
	"time"

	"dunlin/apps"
)

// lane is a sequence of requests to an endpoint, one at a time. A batch that failed
// rests until it is sent again. Others go on meanwhile, so that a message which its
// consumer can not digest holds up no other channel; what follows in its own
// channels stays behind it. The Deliverer's mu guards a lane.
type lane struct {
	endpoint *endpoint
	waiting  []*parcel // for their first request, in order
	sending  *batch
	resting  []*batch
	behind   map[string][]*parcel // by channel, for each channel of a batch that has failed
	repeated bool                 // the last request was a repetition
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
	if list, blocked := l.behind[p.event.Channel]; blocked {
		l.behind[p.event.Channel] = append(list, p)
		return
	}
	l.waiting = append(l.waiting, p)
	if !l.working {
		l.working = true
		l.endpoint.d.lanes.Go(l.work)
	} else if len(l.waiting) == batch || len(l.waiting) == 1 {
		l.wake() // it waits for these at most
	}
}

// work serves a lane until nothing is left in it, or everything stops.
func (l *lane) work() {
	for {
		switch t := l.next(); {
		case t.over:
			return
		case t.batch == nil:
			l.sleep(t.wait)
		case !l.send(t):
			return // what is left stays in the queue
		}
	}
}

// turn is what a lane does next.
type turn struct {
	over  bool
	wait  time.Duration // before it looks again, without a batch
	batch *batch
	app   *apps.App
	hook  *apps.Webhook
	haste bool // everything stops: this is the last request if it fails
}

// next decides what to do now.
func (l *lane) next() turn {
	e := l.endpoint
	d := e.d
	t := turn{haste: d.inHaste(), over: d.stopped.Err() != nil}
	if t.over {
		return t
	}
	var old []*parcel
	var reason string
	d.mu.Lock()
	if t.app, t.hook = e.config(); t.hook == nil {
		e.forget(l)
	} else if !l.empty() {
		old, reason = l.choose(&t), "fails all the time: "+e.lastReason
	}
	if t.over = l.empty(); t.over {
		l.finish()
	}
	d.mu.Unlock()
	if len(old) > 0 {
		d.o.Log.Warn("webhooks given up; they become dead letters", "app", e.address.app, "endpoint", t.hook.Shown,
			"reason", reason, "events", len(old))
	}
	return t
}

// choose picks what is to be sent now, or says how long to wait. It returns what
// it gave up, because its time is over while the endpoint is spared. mu is held.
func (l *lane) choose(t *turn) (old []*parcel) {
	e, now := l.endpoint, l.endpoint.d.o.Now()
	n, wait := l.fresh(now, t)
	again, againIn := l.rested(now, t)
	againDue := againIn <= 0
	if n == 0 && !againDue {
		t.wait = min(wait, againIn)
		return nil
	}
	if ok, wait := e.circuit.admit(now); !ok && !t.haste {
		t.wait = min(wait, e.circuit.every)
		if e.circuit.hopeless() {
			old = l.cut(func(deadline time.Time) bool { return !now.Before(deadline) })
			e.giveUp(old, t.hook.Shown+" fails all the time: "+e.lastReason)
		}
		return old
	}
	// When both are due they take turns. At the end those come first that may well
	// be taken.
	l.repeated = againDue && (n == 0 || !l.repeated && !t.haste)
	if l.repeated {
		l.resting = slices.DeleteFunc(l.resting, func(b *batch) bool { return b == again })
		t.batch = again
	} else {
		t.batch = l.newBatch(n)
	}
	l.sending = t.batch
	return nil
}

// never is longer than anything waits.
const never = 24 * time.Hour

// fresh says how many of the waiting parcels make a batch now, or else when.
func (l *lane) fresh(now time.Time, t *turn) (n int, wait time.Duration) {
	if len(l.waiting) == 0 {
		return 0, never
	}
	if n, wait = due(now, l.waiting[0].arrived, len(l.waiting), t.hook.Batch); t.haste {
		n = min(len(l.waiting), max(t.hook.Batch.Events, 1))
	}
	return n, wait
}

// rested returns the resting batch that comes next, and when.
func (l *lane) rested(now time.Time, t *turn) (b *batch, wait time.Duration) {
	if len(l.resting) == 0 {
		return nil, never
	}
	b = slices.MinFunc(l.resting, func(a, b *batch) int { return a.next.Compare(b.next) })
	if t.haste || l.endpoint.reopened.After(b.failed) {
		return b, 0
	}
	return b, b.next.Sub(now)
}

// send makes one request. It reports false when the lane is to end.
func (l *lane) send(t turn) bool {
	b := t.batch
	if b.body == nil {
		b.fill(l.endpoint.address.id)
	}
	b.attempts++
	a := l.endpoint.d.sender.post(t.app, t.hook, b)
	ok := l.endpoint.ended(l, t.hook, a)
	return ok || !t.haste
}

// rest keeps a batch that failed, and what follows in its channels behind it.
func (l *lane) rest(b *batch) {
	l.resting = append(l.resting, b)
	if b.blocks {
		return
	}
	b.blocks = true
	if l.behind == nil {
		l.behind = map[string][]*parcel{}
	}
	for _, p := range b.parcels {
		l.behind[p.event.Channel] = nil
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(p *parcel) bool {
		list, blocked := l.behind[p.event.Channel]
		if blocked {
			l.behind[p.event.Channel] = append(list, p)
		}
		return blocked
	})
}

// release lets go on what stayed behind a batch.
func (l *lane) release(b *batch) {
	before := len(l.waiting)
	for _, p := range b.parcels {
		l.waiting = append(l.waiting, l.behind[p.event.Channel]...)
		delete(l.behind, p.event.Channel)
	}
	if len(l.waiting) > before {
		slices.SortFunc(l.waiting, func(a, b *parcel) int { return cmp.Compare(a.number, b.number) })
	}
}

// cut takes out all whose time is over, but for what is being sent.
func (l *lane) cut(over func(deadline time.Time) bool) (list []*parcel) {
	l.resting = slices.DeleteFunc(l.resting, func(b *batch) bool {
		if !over(b.deadline) {
			return false
		}
		list = append(list, b.parcels...)
		l.release(b)
		return true
	})
	n := 0
	for n < len(l.waiting) && over(l.endpoint.deadline(l.waiting[n])) {
		n++
	}
	return append(list, l.first(n)...)
}

// first takes out the first n waiting parcels.
func (l *lane) first(n int) []*parcel {
	list := l.waiting[:n:n]
	if l.waiting = l.waiting[n:]; len(l.waiting) == 0 {
		l.waiting = nil // lets go of the array
	}
	return list
}

// oldest takes out n waiting parcels at most, or without any a resting batch.
func (l *lane) oldest(n int) []*parcel {
	if len(l.waiting) > 0 || len(l.resting) == 0 {
		return l.first(min(n, len(l.waiting)))
	}
	b := l.resting[0]
	l.resting = slices.Delete(l.resting, 0, 1)
	l.release(b)
	return b.parcels
}

func (l *lane) empty() bool { return len(l.waiting) == 0 && len(l.resting) == 0 && l.sending == nil }

// each calls f for lists of parcels, which are all that are here.
func (l *lane) each(f func([]*parcel)) {
	f(l.waiting)
	for _, list := range l.behind {
		f(list)
	}
	for _, b := range l.resting {
		f(b.parcels)
	}
	if l.sending != nil {
		f(l.sending.parcels)
	}
}

// load counts the parcels that are not being sent.
func (l *lane) load() (n int) {
	l.each(func(list []*parcel) { n += len(list) })
	if l.sending != nil {
		n -= len(l.sending.parcels)
	}
	return n
}

// finish ends a lane's work, and forgets the endpoint when there is nothing to
// remember.
func (l *lane) finish() {
	l.working = false
	e := l.endpoint
	if e.circuit.failures > 0 {
		return
	}
	for _, other := range e.lanes {
		if other.working {
			return
		}
	}
	delete(e.d.endpoints, e.address)
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
