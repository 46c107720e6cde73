package memory

import (
	"container/list"
	"sync"
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
)

// cache keeps the last event of channels for a time each, within a bound of
// bytes: beyond it the channel that was published to longest ago is dropped, and
// evicted told.
type cache struct {
	// Static after construction
	limit   int
	now     func() time.Time
	evicted func(protocol.ChannelKey, *protocol.Frame) // called under mu

	mu sync.Mutex
	// Guarded by mu
	bytes  int
	order  *list.List // of *kept, the latest publish in front
	events map[protocol.ChannelKey]*list.Element
}

type kept struct {
	channel protocol.ChannelKey
	frame   *protocol.Frame
	expires time.Time
}

// keptOverhead is what an entry costs beside its frame, roughly.
const keptOverhead = 200

func (k *kept) size() int { return k.frame.Size() + len(k.channel.Name) + keptOverhead }

func newCache(limit int, now func() time.Time, evicted func(protocol.ChannelKey, *protocol.Frame)) *cache {
	return &cache{limit: limit, now: now, evicted: evicted, order: list.New(), events: make(map[protocol.ChannelKey]*list.Element)}
}

// put replaces a channel's event; its time begins anew (PROTOCOL 2.43).
func (c *cache) put(ch protocol.ChannelKey, f *protocol.Frame, keep time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.events[ch])
	k := &kept{channel: ch, frame: f, expires: c.now().Add(keep)}
	c.events[ch] = c.order.PushFront(k)
	c.bytes += k.size()
	c.trim()
}

// trim drops what has expired from the old end, then what is too much.
func (c *cache) trim() {
	for e := c.order.Back(); e != nil; e = c.order.Back() {
		switch k := e.Value.(*kept); {
		case !k.expires.After(c.now()):
		case c.bytes > c.limit:
			c.evicted(k.channel, k.frame)
		default:
			return
		}
		c.drop(e)
	}
}

// get returns a channel's event, or nil.
func (c *cache) get(ch protocol.ChannelKey) *cluster.Last {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.events[ch]
	if e == nil {
		return nil
	}
	k := e.Value.(*kept)
	left := k.expires.Sub(c.now())
	if left <= 0 {
		c.drop(e)
		return nil
	}
	return &cluster.Last{Frame: k.frame, TTL: left}
}

func (c *cache) drop(e *list.Element) {
	if e == nil {
		return
	}
	k := c.order.Remove(e).(*kept)
	delete(c.events, k.channel)
	c.bytes -= k.size()
}
