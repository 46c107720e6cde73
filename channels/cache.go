package channels

import (
	"time"

	"dunlin/cluster"
	"dunlin/metrics"
	"dunlin/protocol"
)

// lastEvent is a cache channel's last event as this node knows it. The entry's
// lock guards it, so that a subscription begins exactly behind the event that it
// is given.
type lastEvent struct {
	state   lastState
	frame   *protocol.Frame // nil: none
	expires time.Time
}

type lastState uint8

const (
	lastUnknown lastState = iota
	lastAsked
	lastKnown
)

// keep notes a new last event.
func (l *lastEvent) keep(f *protocol.Frame, until time.Time) {
	l.state, l.frame, l.expires = lastKnown, f, until
}

// get returns the event unless its time is over.
func (l *lastEvent) get(now time.Time) *protocol.Frame {
	if l.frame != nil && !now.Before(l.expires) {
		l.frame = nil
	}
	return l.frame
}

// Forgotten implements cluster.Handler: what the engine no longer has, nobody gets.
func (h *Hub) Forgotten(ch protocol.ChannelKey, last *protocol.Frame) {
	h.counters.Shared().Drop(metrics.DropCache)
	if e := h.dir.find(ch); e != nil {
		if e.last != nil && e.last.frame == last {
			e.last.frame = nil
		}
		e.mu.Unlock()
	}
}

// askLast asks the engine for a channel's last event, once. The entry is locked.
func (h *Hub) askLast(e *entry) {
	e.last.state = lastAsked
	attach := e.attach
	h.engine.Last(e.key, func(l *cluster.Last, err error) { h.lastAnswered(e, attach, l, err) })
}

// lastAnswered answers Engine.Last. An event that came meanwhile is not older than
// the answer.
func (h *Hub) lastAnswered(e *entry, attach uint32, l *cluster.Last, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.attach != attach {
		return
	}
	switch {
	case e.last.state == lastKnown:
	case err != nil:
		e.last.state = lastUnknown // the next subscription asks again
		h.refuse(e, func(*subscription) bool { return true }, err)
	case l == nil:
		e.last.keep(nil, time.Time{})
	default:
		e.last.keep(l.Frame, h.opts.Now().Add(l.TTL))
	}
	h.release(e)
}

// sendLast follows subscription_succeeded on a cache channel (PROTOCOL 2.40,
// 2.41). The entry is locked.
func (h *Hub) sendLast(sub *subscription) {
	if f := sub.entry.last.get(h.opts.Now()); f != nil {
		sub.conn.Send(f)
	} else {
		sub.conn.Send(protocol.CacheMiss(sub.entry.key.Name))
		h.hookMiss(sub)
	}
}
