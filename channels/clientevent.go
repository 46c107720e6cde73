package channels

import (
	"math/bits"
	"time"

	"dunlin/cluster"
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
	if l.ClientEventsPerSecond > 0 && !x.events.take(x.shard.hub.opts.Now(), l.ClientEventsPerSecond) {
		x.shard.counters.Drop(metrics.DropClientEvents)
		return protocol.ErrClientEventRate
	}
	var userID string
	if sub.user != nil { // from the subscription, never from the frame (PROTOCOL 3.9)
		userID = sub.user.id
	}
	return x.forward(sub, protocol.ChannelEvent(ev.Name, ev.Data, ev.Channel, userID))
}

// forward publishes a client event to all but its sender. While a loop that it is
// for has no room, the event is refused and the sender not read from.
func (x *session) forward(sub *subscription, f *protocol.Frame) *protocol.Error {
	s := x.shard
	e := sub.entry
	e.mu.Lock()
	mask := e.mask
	e.mu.Unlock()
	for ; mask != 0; mask &= mask - 1 {
		if box := s.hub.shards[bits.TrailingZeros64(mask)].box; box.Full() {
			s.pause(x, box)
			s.counters.Drop(metrics.DropClientBacklog)
			return protocol.ErrClientEventRate
		}
	}
	p := cluster.Publication{Channel: e.key, Message: cluster.Message{Frame: f, Except: x.conn.ID()}}
	if !s.hub.engine.Offer(p) {
		s.counters.Drop(metrics.DropClientBacklog)
		return protocol.ErrClientEventRate
	}
	return nil
}

// bucket is a token bucket: as many tokens as a second brings, full at first.
type bucket struct {
	tokens float64
	at     int64 // of the last take, ns since 1970; 0: full
}

// take takes one token, if there is one at now.
func (b *bucket) take(now time.Time, perSecond int) bool {
	most, at := float64(perSecond), now.UnixNano()
	if b.at == 0 {
		b.tokens = most
	} else {
		b.tokens = min(most, b.tokens+time.Duration(max(at-b.at, 0)).Seconds()*most)
	}
	b.at = at
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
