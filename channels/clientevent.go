package channels

import (
	"math/bits"

	"dunlin/cluster"
	"dunlin/internal/mailbox"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/protocol"
)

// clientEvent passes an event to the others of a channel (PROTOCOL 3.1–3.14).
func (x *session) clientEvent(m protocol.ClientMessage) *protocol.Error {
	if !x.app.ClientEvents {
		return protocol.ErrClientEventsOff
	}
	l := &x.app.Limits
	ev, bad := protocol.DecodeClientEvent(m, l.EventNameLength, l.EventBytes)
	if bad != nil {
		return bad
	}
	if !protocol.KindOf(ev.Channel).Is(protocol.Private) {
		return protocol.ErrClientEventChannel
	}
	sub := x.subs.find(ev.Channel)
	if sub == nil || sub.room == nil {
		return protocol.ErrNotSubscribed(ev.Channel)
	}
	if l.ClientEventsPerSecond > 0 && !x.events.Take(x.shard.hub.opts.Now(), l.ClientEventsPerSecond) {
		x.shard.counters.Drop(metrics.DropClientEvents)
		return protocol.ErrClientEventRate
	}
	var userID string
	if sub.user != nil { // from the subscription, never from the frame (PROTOCOL 3.9)
		userID = sub.user.id
	}
	trace := x.shard.hub.opts.Tracer.Start("client event", tracing.Server, "")
	defer trace.End()
	if bad := x.forward(sub, protocol.ChannelEvent(ev.Name, ev.Data, ev.Channel, userID), trace); bad != nil {
		trace.Fail(bad.Message)
		return bad
	}
	x.hookClientEvent(sub, ev, userID, trace)
	return nil
}

// forward publishes a client event to all but its sender. While a loop that it is
// for has no room, the event is refused and the sender not read from. Where the app
// wants it local first, subscribers of this node get it whatever others can get.
func (x *session) forward(sub *subscription, f *protocol.Frame, trace *tracing.Span) *protocol.Error {
	s := x.shard
	e := sub.entry
	if x.held(e, (*mailbox.Box[command]).Full) {
		s.counters.Drop(metrics.DropClientBacklog)
		return protocol.ErrClientEventRate
	}
	p := cluster.Publication{
		Channel:   e.key,
		Message:   cluster.Message{Frame: f, Except: x.conn.ID(), At: s.counters.Now(), Trace: trace},
		Elsewhere: x.app.ClientEventsLocalFirst,
	}
	taken := s.hub.engine.Offer(p)
	if !taken {
		s.counters.Drop(metrics.DropClientBacklog)
	}
	if p.Elsewhere {
		e.mu.Lock()
		s.hub.post(e, command{frame: f, except: p.Except, at: p.At}, trace)
		e.mu.Unlock()
	} else if !taken {
		return protocol.ErrClientEventRate
	}
	return nil
}

// held stops reading from the session when the mailbox of a loop with subscribers
// to e is as full as that, and reports whether one is.
func (x *session) held(e *entry, full func(*mailbox.Box[command]) bool) bool {
	e.mu.Lock()
	mask := e.mask
	e.mu.Unlock()
	for ; mask != 0; mask &= mask - 1 {
		if box := x.shard.hub.shards[bits.TrailingZeros64(mask)].box; full(box) {
			x.shard.pause(x, box)
			return true
		}
	}
	return false
}

// moved follows a subscription's begin and end. Where all the others are told of
// it, one client could make more frames than loops can write. It has to wait, and
// sooner than the sender of client events: publishers are to find room.
func (x *session) moved(e *entry) {
	e.mu.Lock()
	told := e.roster != nil || e.counts()
	e.mu.Unlock()
	if told {
		x.held(e, (*mailbox.Box[command]).HalfFull)
	}
}
