package channels

import (
	"container/list"
	"sync"
	"time"

	"dunlin/internal/tracing"
	"dunlin/protocol"
	"dunlin/webhooks"
)

// What the hub itself tells webhooks of: client events, cache misses and counts.
// Who comes and goes the engine tells.

// hookClientEvent tells of a client event that was taken (PROTOCOL 6.14).
func (x *session) hookClientEvent(sub *subscription, ev protocol.ClientEvent, userID string, trace *tracing.Span) {
	h := x.shard.hub
	if h.opts.Webhooks == nil || !x.app.Hears(protocol.HookClientEvent, ev.Channel) {
		return
	}
	h.opts.Webhooks.Post(webhooks.Event{
		App: x.app.ID, Name: protocol.HookClientEvent, Channel: sub.entry.key.Name, User: userID,
		ClientEvent: ev.Name, Data: ev.Data, SocketID: x.conn.ID().String(), At: h.opts.Now(), Trace: trace.Header(),
	})
}

// hookCount tells how many subscriptions a channel has (PROTOCOL 6.15).
func (h *Hub) hookCount(ch protocol.ChannelKey, count int) {
	if app := h.apps.ByID(ch.App); h.opts.Webhooks != nil && app != nil && app.Hears(protocol.HookCount, ch.Name) {
		h.opts.Webhooks.Post(webhooks.Event{App: ch.App, Name: protocol.HookCount, Channel: ch.Name, Count: count, At: h.opts.Now()})
	}
}

// hookMiss tells that somebody subscribed to a cache channel without an event,
// unless that was told a moment ago (PROTOCOL 6.13).
func (h *Hub) hookMiss(sub *subscription) {
	ch, now := sub.entry.key, h.opts.Now()
	if h.opts.Webhooks != nil && sub.session.app.Hears(protocol.HookCacheMiss, ch.Name) && h.misses.first(ch, now) {
		h.opts.Webhooks.Post(webhooks.Event{App: ch.App, Name: protocol.HookCacheMiss, Channel: ch.Name, At: now})
	}
}

// missInterval is for how long a cache miss is not told again. It ends by itself,
// so that a backend which could not publish then is asked again.
const missInterval = 10 * time.Second

// misses remembers the cache misses of the last missInterval.
type misses struct {
	mu sync.Mutex
	// Guarded by mu
	at    map[protocol.ChannelKey]time.Time
	order list.List // of keys, the earliest first
}

// first notes a miss at now, and reports whether it is to be told.
func (m *misses) first(ch protocol.ChannelKey, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for e := m.order.Front(); e != nil; e = m.order.Front() {
		old := e.Value.(protocol.ChannelKey)
		if now.Sub(m.at[old]) < missInterval {
			break
		}
		m.order.Remove(e)
		delete(m.at, old)
	}
	if _, told := m.at[ch]; told {
		return false
	}
	if m.at == nil {
		m.at = make(map[protocol.ChannelKey]time.Time)
	}
	m.at[ch] = now
	m.order.PushBack(ch)
	return true
}
