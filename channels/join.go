package channels

import (
	"errors"

	"dunlin/cluster"
	"dunlin/protocol"
)

// join enters a channel, at once where nothing has to be waited for.
func (x *session) join(name string, kind protocol.Kind, m protocol.Member) *protocol.Error {
	s, h := x.shard, x.shard.hub
	s.mutating = true
	e := h.dir.acquire(protocol.ChannelKey{App: x.app.ID, Name: name}, kind, flagsOf(x.app, name, kind))
	if e.roster != nil && e.roster.full(m.ID, x.app.Limits.PresenceMembers) {
		refs := e.refs
		e.mu.Unlock()
		if refs == 0 {
			h.dir.tidy(e)
		}
		s.mutating = false
		return x.refuse(name, limitReached, protocol.ErrTooManyMembers(x.app.Limits.PresenceMembers))
	}
	sub := &subscription{conn: x.conn, session: x, entry: e}
	e.refs++
	h.engine.Occupy(e.key, e.flags, e.refs)
	if e.topic == topicNone {
		h.attach(e)
	}
	if e.roster != nil {
		h.enter(e, sub, m, x.app.Limits.PresenceMembers)
	}
	if kind.Is(protocol.Cache) && e.last.state == lastUnknown {
		h.askLast(e)
	}
	x.subs.add(sub)
	x.authorized = x.authorized || kind.Is(protocol.Private)
	s.counters.Subscriptions.Add(1)
	if e.ready(sub) {
		s.admit(sub)
	} else {
		e.waiting = append(e.waiting, waiter{s, sub})
	}
	e.mu.Unlock()
	s.mutating = false
	x.moved(e)
	return nil
}

// attach asks for a channel's events. The entry is locked.
func (h *Hub) attach(e *entry) {
	e.attach++
	attach := e.attach
	e.topic = topicAttaching
	if h.engine.Attach(e.key, func(err error) { h.attached(e, attach, err) }) {
		e.topic = topicLive
	}
}

// attached answers Engine.Attach: what waited for the topic alone may begin.
func (h *Hub) attached(e *entry, attach int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.attach != attach || e.topic != topicAttaching {
		return
	}
	if err != nil {
		e.topic = topicNone // the next subscription tries again
		h.release(e, func(*subscription) bool { return true }, err)
		return
	}
	e.topic = topicLive
	h.release(e, e.ready, nil)
}

// release sends waiting subscriptions back to their loops, to begin or to fail
// with err. The entry is locked.
func (h *Hub) release(e *entry, which func(*subscription) bool, err error) {
	kept := e.waiting[:0]
	for _, w := range e.waiting {
		if !which(w.sub) {
			kept = append(kept, w)
			continue
		}
		w.shard.do(func() { w.shard.begin(w.sub, err) })
	}
	clear(e.waiting[len(kept):])
	if e.waiting = kept; len(kept) == 0 {
		e.waiting = nil
	}
}

// admit begins a subscription: from this message on the channel is its own. The
// entry is locked, so that the answer, and a presence snapshot in it, stand
// exactly between the messages before and those after.
func (s *Shard) admit(sub *subscription) {
	e := sub.entry
	r := s.rooms[e]
	if r == nil {
		r = &room{entry: e}
		s.rooms[e] = r
		e.mask |= s.bit
	}
	r.add(sub)
	sub.since = e.serial
	if e.roster != nil {
		sub.conn.Send(e.roster.succeeded(e.key.Name))
	} else {
		sub.conn.Send(protocol.SubscriptionSucceeded(e.key.Name))
	}
	if e.kind.Is(protocol.Cache) {
		s.hub.sendLast(sub)
	}
}

// begin admits a subscription that had to wait, or refuses it.
func (s *Shard) begin(sub *subscription, err error) {
	if sub.session == nil {
		return
	}
	x, name := sub.session, sub.entry.key.Name
	if err != nil {
		s.leave(sub)
		x.subs.remove(sub)
		if errors.Is(err, cluster.ErrFull) {
			x.fail(x.refuse(name, limitReached, protocol.ErrTooManyMembers(x.app.Limits.PresenceMembers)))
		} else {
			x.fail(x.refuse(name, unavailable, protocol.ErrUnavailable(name)))
		}
		return
	}
	s.mutating = true
	sub.entry.mu.Lock()
	s.admit(sub)
	if e := sub.entry; e.counts() && e.counter.count > 0 { // it was not there when the count was told
		sub.conn.Send(protocol.SubscriptionCount(name, e.counter.count))
	}
	sub.entry.mu.Unlock()
	s.mutating = false
}

// leave ends a subscription, joining ones too. The caller takes it off the
// session's list.
func (s *Shard) leave(sub *subscription) {
	s.mutating = true
	e, h := sub.entry, s.hub
	sub.session = nil
	s.counters.Subscriptions.Add(-1)
	vacant := s.vacate(sub)
	e.mu.Lock()
	if vacant {
		e.mask &^= s.bit
	}
	if sub.user != nil && e.roster.leave(sub.user) {
		h.engine.Leave(e.key, e.flags, sub.user.id)
	}
	e.refs--
	h.engine.Occupy(e.key, e.flags, e.refs)
	last := e.refs == 0
	if last {
		e.topic, e.last = topicNone, lastEvent{}
		h.engine.Detach(e.key)
	}
	e.mu.Unlock()
	if last {
		h.dir.tidy(e)
	}
	s.mutating = false
}

// vacate takes a subscription out of its room and reports whether that left the
// room empty, and so without a reason to be.
func (s *Shard) vacate(sub *subscription) bool {
	r := sub.room
	if r == nil {
		return false
	}
	r.remove(sub)
	if !r.empty() {
		return false
	}
	s.box.Release(r.abandon())
	delete(s.rooms, r.entry)
	return true
}
