package memory

import (
	"container/list"
	"sync"
	"time"

	"dunlin/protocol"
	"dunlin/webhooks"
)

// transitions turns the edges of channels and members into webhook events. Who
// comes is told at once. Who goes is told a while later, and not at all when he is
// back by then; nor is then told that he came (PROTOCOL 6.7, 6.8). That a member is
// gone is noted before that its channel is empty, and told in that order (6.21).
type transitions struct {
	// Static after construction
	outbox *webhooks.Outbox
	delay  time.Duration
	now    func() time.Time
	wake   chan struct{} // one token: there is a first departure to wait for

	mu sync.Mutex
	// Guarded by mu. Events are posted while it is held, so that their order is that
	// of the edges.
	leaving  map[place]*list.Element // of order
	order    *list.List              // of departure, the earliest first: the delay is one for all
	expected map[place]struct{}      // were with the process before this one
	patience time.Time               // when those who are expected still count as gone
	silent   bool                    // the process after this one tells
}

// place is a channel, or a user's in it.
type place struct {
	channel protocol.ChannelKey
	user    string // "": the channel itself
}

type departure struct {
	place
	due time.Time
}

func newTransitions(o Options) *transitions {
	return &transitions{
		outbox: o.Webhooks, delay: o.Debounce, now: o.Now, wake: make(chan struct{}, 1),
		leaving: map[place]*list.Element{}, order: list.New(),
	}
}

// came notes that a channel is occupied, or a user a member.
func (t *transitions) came(p place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.silent {
		return
	}
	if _, ok := t.expected[p]; ok {
		delete(t.expected, p)
		return
	}
	if e := t.leaving[p]; e != nil {
		t.order.Remove(e)
		delete(t.leaving, p)
		return
	}
	t.post(p, protocol.HookOccupied, protocol.HookMemberAdded)
}

// went notes that a channel is vacated, or a user no member any more.
func (t *transitions) went(p place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.silent {
		return
	}
	if e := t.leaving[p]; e != nil {
		t.order.Remove(e)
	}
	t.leaving[p] = t.order.PushBack(&departure{p, t.now().Add(t.delay)})
	if t.order.Len() == 1 {
		t.ring()
	}
}

// ring has run look at what is due next.
func (t *transitions) ring() {
	select {
	case t.wake <- struct{}{}:
	default: // a token is there already
	}
}

// tell posts the departures that are due at now. It returns when the next one is;
// false: there is none.
func (t *transitions) tell(now time.Time) (next time.Time, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.expected) > 0 {
		if next, more = t.patience, true; !next.After(now) {
			t.giveUp()
			more = false
		}
	}
	for e := t.order.Front(); e != nil; e = t.order.Front() {
		d := e.Value.(*departure)
		if d.due.After(now) {
			if !more || d.due.Before(next) {
				next = d.due
			}
			return next, true
		}
		t.order.Remove(e)
		delete(t.leaving, d.place)
		t.post(d.place, protocol.HookVacated, protocol.HookMemberRemoved)
	}
	return next, more
}

// never is later than anything is due.
const never = 100 * 365 * 24 * time.Hour

// post hands over an event of a channel, or of a member. mu is held.
func (t *transitions) post(p place, channel, member protocol.HookType) {
	e := webhooks.Event{App: p.channel.App, Name: channel, Channel: p.channel.Name, User: p.user, At: t.now()}
	if p.user != "" {
		e.Name = member
	}
	t.outbox.Post(e)
}

// run tells departures when they are due, until stop. Those that are left then are
// told at once: nobody will come back to this node.
func (t *transitions) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Hour
		if next, more := t.tell(t.now()); more {
			wait = next.Sub(t.now())
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-t.wake:
		case <-stop:
			t.tell(t.now().Add(never))
			return
		}
	}
}
