package channels

import (
	"errors"
	"math/bits"

	"dunlin/cluster"
	"dunlin/protocol"
)

// waiter is a subscription that waits for the engine.
type waiter struct {
	shard *Shard
	sub   *subscription
}

// ready reports whether a subscription may begin. The entry is locked.
func (e *entry) ready(sub *subscription) bool {
	return e.topic == topicLive &&
		(sub.user == nil || sub.user.joined && !sub.user.taken) &&
		(!e.kind.Is(protocol.Cache) || e.last.state == lastKnown)
}

// wait notes a subscription that can not begin yet. The entry is locked.
func (e *entry) wait(s *Shard, sub *subscription) {
	e.waiting = append(e.waiting, waiter{s, sub})
	if sub.user != nil {
		sub.user.loops |= s.bit
	}
}

// unwait forgets a subscription that may be waiting. The entry is locked.
func (e *entry) unwait(sub *subscription) {
	e.keepWaiting(func(w waiter) bool { return w.sub != sub })
}

// keepWaiting forgets waiting subscriptions but for some.
func (e *entry) keepWaiting(some func(waiter) bool) {
	kept := e.waiting[:0]
	for _, w := range e.waiting {
		if some(w) {
			kept = append(kept, w)
		}
	}
	clear(e.waiting[len(kept):])
	if e.waiting = kept; len(kept) == 0 {
		e.waiting = nil
	}
}

// refuse has waiting subscriptions fail with err. The entry is locked.
func (h *Hub) refuse(e *entry, which func(*subscription) bool, err error) {
	e.keepWaiting(func(w waiter) bool {
		if !which(w.sub) {
			return true
		}
		w.shard.do(func() { w.shard.refused(w.sub, err) })
		return false
	})
}

// release has waiting subscriptions begin that can. The entry is locked.
func (h *Hub) release(e *entry) {
	loops := uint64(0)
	for _, w := range e.waiting {
		if e.ready(w.sub) {
			loops |= w.shard.bit
		}
	}
	h.admitOn(e, loops)
}

// admitOn has loops, the bits of a mask, look for waiting subscriptions that can
// begin, each loop once for all of them: those that come together are given the
// same snapshot, and need not be told of each other. The entry is locked.
func (h *Hub) admitOn(e *entry, loops uint64) {
	for m := loops &^ e.admitting; m != 0; m &= m - 1 {
		s := h.shards[bits.TrailingZeros64(m)]
		s.do(func() { s.admitReady(e) })
	}
	e.admitting |= loops
}

// admitBytes is what the answers to joins may have in one turn: a storm of them on
// a channel with many members must not be one long turn.
const admitBytes = 4 << 20

// admitReady begins the loop's waiting subscriptions that can.
func (s *Shard) admitReady(e *entry) {
	s.mutating = true
	e.mu.Lock()
	e.admitting &^= s.bit
	given := 0
	e.keepWaiting(func(w waiter) bool {
		if w.shard != s || !e.ready(w.sub) {
			return true
		}
		if given >= admitBytes {
			s.hub.admitOn(e, s.bit) // in the next turn
			return true
		}
		given += s.admit(w.sub)
		if e.counts() && e.counter.count > 0 { // it was not there when the count was told
			w.sub.conn.Send(protocol.SubscriptionCount(e.key.Name, e.counter.count))
		}
		return false
	})
	e.mu.Unlock()
	s.mutating = false
}

// admit begins a subscription: from this message on the channel is its own. The
// entry is locked, so that the answer, and a presence snapshot in it, stand
// exactly between the messages before and those after. It returns the answer's size.
func (s *Shard) admit(sub *subscription) int {
	e := sub.entry
	r := s.rooms[e]
	if r == nil {
		r = &room{entry: e, counts: sub.session.counts}
		s.rooms[e] = r
		e.mask |= s.bit
	}
	r.add(sub)
	sub.since = e.serial
	answer := e.succeeded()
	sub.conn.Send(answer)
	if e.kind.Is(protocol.Cache) {
		s.hub.sendLast(sub)
	}
	return answer.Size()
}

// succeeded is the answer to a subscription that begins now.
func (e *entry) succeeded() *protocol.Frame {
	if e.roster != nil {
		return e.roster.succeeded(e.key.Name)
	}
	return protocol.SubscriptionSucceeded(e.key.Name)
}

// refused ends a subscription that has waited in vain. Clients do not repeat what was
// refused, but everything when they reconnect (PROTOCOL 2.22): where only this node
// can not serve it, the connection is sent to another.
func (s *Shard) refused(sub *subscription, err error) {
	if sub.session == nil {
		return
	}
	x := sub.session
	if !errors.Is(err, cluster.ErrFull) {
		s.detach(x)
		return
	}
	s.leave(sub)
	x.subs.remove(sub)
	x.fail(x.refuse(sub.entry.key.Name, limitReached, protocol.ErrTooManyMembers(x.app.Limits.PresenceMembers)))
}
