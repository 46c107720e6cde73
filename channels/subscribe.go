package channels

import (
	"dunlin/cluster"
	"dunlin/protocol"
)

// subscribe serves pusher:subscribe (PROTOCOL 2.7–2.26). The signature is judged
// before anything that it protects.
func (x *session) subscribe(m protocol.ClientMessage) *protocol.Error {
	want, bad := protocol.DecodeSubscribe(m)
	if bad != nil {
		return bad
	}
	kind := protocol.KindOf(want.Channel)
	if bad := x.nameable(want.Channel, kind); bad != nil {
		return bad
	}
	if x.subs.find(want.Channel) != nil {
		return protocol.ErrAlreadySubscribed(want.Channel)
	}
	if kind.Is(protocol.Private) {
		if bad := x.authorize(want); bad != nil {
			return x.refuse(want.Channel, authError, bad)
		}
	}
	if most := x.app.Limits.ChannelsPerConnection; most > 0 && len(x.subs.list) >= most {
		return x.refuse(want.Channel, limitReached, protocol.ErrTooManyChannels(most))
	}
	var member protocol.Member
	if kind.Is(protocol.Presence) {
		if member, bad = x.member(want); bad != nil {
			return x.refuse(want.Channel, authError, bad)
		}
	}
	return x.join(want.Channel, kind, member)
}

// nameable checks a channel's name, and that a user's own channel is asked for by
// that user (PROTOCOL 2.1–2.3, 2.6, 2.58).
func (x *session) nameable(name string, kind protocol.Kind) *protocol.Error {
	if !kind.Is(protocol.User) {
		if !protocol.ValidChannelName(name, x.app.Limits.ChannelNameLength) {
			return protocol.ErrChannelName(name)
		}
		return nil
	}
	if id, ok := protocol.ServerToUser(name); !ok || x.user == nil || x.user.ID != id {
		return protocol.ErrNotThatUser(name)
	}
	return nil
}

// authorize checks the signature of a subscription (PROTOCOL 2.13–2.19).
// channel_data is signed whenever it was sent, byte for byte.
func (x *session) authorize(want protocol.Subscribe) *protocol.Error {
	if want.Auth == "" {
		return protocol.ErrAuthRequired(want.Channel)
	}
	signed := x.conn.ID().Append(make([]byte, 0, 64+len(want.Channel)+len(want.ChannelData)))
	signed = append(append(signed, ':'), want.Channel...)
	if want.ChannelDataGiven {
		signed = append(append(signed, ':'), want.ChannelData...)
	}
	return x.verify(want.Auth, signed)
}

// verify checks "key:signature" over a text.
func (x *session) verify(auth string, signed []byte) *protocol.Error {
	key, signature, ok := protocol.SplitAuth(auth)
	switch {
	case !ok:
		return protocol.ErrAuthFormat
	case key != x.app.Key:
		return protocol.ErrAuthKey(key)
	case !x.app.Verify([]byte(signature), signed):
		x.shard.hub.log.Debug("signature refused", "app", x.app.ID, "signed", string(signed), "signature", signature)
		return protocol.ErrAuthSignature(signed, signature)
	}
	return nil
}

// member reads who joins a presence channel: channel_data says so, else the
// signed-in user does (PROTOCOL 2.31, 2.32).
func (x *session) member(want protocol.Subscribe) (protocol.Member, *protocol.Error) {
	l := &x.app.Limits
	if !want.ChannelDataGiven {
		if x.user == nil {
			return protocol.Member{}, protocol.ErrChannelDataRequired(want.Channel)
		}
		return x.user.Member(l.UserIDLength, l.PresenceMemberBytes)
	}
	return protocol.DecodeMember(want.ChannelData, l.UserIDLength, l.PresenceMemberBytes)
}

// refusal is a kind of pusher:subscription_error with its status (PROTOCOL 2.21,
// 2.39b).
type refusal struct {
	kind   string
	status int
}

var (
	authError    = refusal{"AuthError", 401}
	limitReached = refusal{"LimitReached", 4004}
	unavailable  = refusal{"Unavailable", 503}
)

// refuse sends pusher:subscription_error where the app wants it, and returns the
// error that follows it.
func (x *session) refuse(channel string, r refusal, e *protocol.Error) *protocol.Error {
	if x.app.SubscriptionErrors {
		x.conn.Send(protocol.SubscriptionError(channel, r.kind, e.Message, r.status))
	}
	return e
}

// join enters a channel, at once where nothing has to be waited for.
func (x *session) join(name string, kind protocol.Kind, m protocol.Member) *protocol.Error {
	s, h := x.shard, x.shard.hub
	s.mutating = true
	e := h.dir.acquire(protocol.ChannelKey{App: x.app.ID, Name: name}, kind, x.flagsOf(kind))
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
		h.enter(e, sub, m)
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
	return nil
}

// flagsOf is how the engine is to treat channels of a kind.
func (x *session) flagsOf(kind protocol.Kind) (f cluster.Flags) {
	if kind.Is(protocol.Presence) {
		return cluster.HasMembers
	}
	if x.app.SubscriptionCountEvents && !kind.Is(protocol.User) {
		f |= cluster.CountEvents // PROTOCOL 2.50
	}
	return f
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

// enter counts a connection of a user and, when it is the first, tells the
// engine. The entry is locked.
func (h *Hub) enter(e *entry, sub *subscription, m protocol.Member) {
	u, first := e.roster.enter(m.ID)
	sub.user = u
	if first {
		h.engine.Join(e.key, e.flags, m, func(r cluster.Roster, err error) { h.joined(e, u, r, err) })
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
		x.fail(x.refuse(name, unavailable, protocol.ErrUnavailable(name)))
		return
	}
	s.mutating = true
	sub.entry.mu.Lock()
	s.admit(sub)
	if c := sub.entry.counter; c != nil { // it was not there when the count was told
		sub.conn.Send(protocol.SubscriptionCount(name, c.count))
	}
	sub.entry.mu.Unlock()
	s.mutating = false
}

// unsubscribe serves pusher:unsubscribe, which has no answer but errors (PROTOCOL
// 2.26, 2.27).
func (x *session) unsubscribe(m protocol.ClientMessage) *protocol.Error {
	name, bad := protocol.DecodeUnsubscribe(m)
	if bad != nil {
		return bad
	}
	sub := x.subs.find(name)
	if sub == nil {
		return protocol.ErrNoSubscription(name)
	}
	x.shard.leave(sub)
	x.subs.remove(sub)
	return nil
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
