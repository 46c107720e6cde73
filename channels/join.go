package channels

import "dunlin/protocol"

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
	if e.refs == 1 {
		x.occupied(kind, 1)
	}
	h.engine.Occupy(e.key, e.flags, int(e.refs))
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
	x.counts.Subscriptions.Add(1)
	if e.ready(sub) {
		s.admit(sub)
	} else {
		e.wait(s, sub)
	}
	e.mu.Unlock()
	s.mutating = false
	x.moved(e)
	return nil
}

// occupied counts a channel more or less, as far as the API would list it.
func (x *session) occupied(kind protocol.Kind, change int64) {
	if !kind.Is(protocol.User) {
		x.shard.counters.Channels.Add(change)
		x.counts.Channels.Add(change)
	}
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
func (h *Hub) attached(e *entry, attach uint32, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.attach != attach || e.topic != topicAttaching {
		return
	}
	if err != nil {
		e.topic = topicNone // the next subscription tries again
		h.refuse(e, func(*subscription) bool { return true }, err)
		return
	}
	e.topic = topicLive
	h.release(e)
}

// leave ends a subscription, joining ones too. The caller takes it off the
// session's list.
func (s *Shard) leave(sub *subscription) {
	s.mutating = true
	e, h, x := sub.entry, s.hub, sub.session
	sub.session = nil
	s.counters.Subscriptions.Add(-1)
	joining := sub.room == nil
	x.counts.Subscriptions.Add(-1)
	vacant := s.vacate(sub)
	e.mu.Lock()
	if vacant {
		e.mask &^= s.bit
	}
	if sub.user != nil && e.roster.leave(sub.user) {
		h.engine.Leave(e.key, e.flags, sub.user.id)
	}
	if joining {
		e.unwait(sub)
	}
	e.refs--
	h.engine.Occupy(e.key, e.flags, int(e.refs))
	last := e.refs == 0
	if last {
		x.occupied(e.kind, -1)
		e.topic = topicNone
		if e.last != nil {
			*e.last = lastEvent{}
		}
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
