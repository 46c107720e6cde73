package channels

import (
	"time"

	"dunlin/protocol"
)

// Subscription counts are told at once up to this many connections, and above it
// at most once an interval (PROTOCOL 2.51).
const (
	promptCount   = 100
	countInterval = 5 * time.Second
)

// counter decides when a channel's subscription count is told.
type counter struct {
	count   int
	next    time.Time // not before, when the count is large
	pending bool      // a timer will tell
}

// change notes a count. It says whether to tell it now, or after what wait it is to
// be told; both false and zero when somebody is waiting to do so already.
func (c *counter) change(now time.Time, count int) (tell bool, wait time.Duration) {
	c.count = count
	if count <= promptCount || !now.Before(c.next) {
		c.next = now.Add(countInterval)
		return true, 0
	}
	if c.pending {
		return false, 0
	}
	c.pending = true
	return false, c.next.Sub(now)
}

// due is what the timer does.
func (c *counter) due(now time.Time) {
	c.pending = false
	c.next = now.Add(countInterval)
}

// Count implements cluster.Handler.
func (h *Hub) Count(ch protocol.ChannelKey, count int) {
	e := h.dir.find(ch)
	if e == nil {
		if count == 0 { // nobody is left here to be told
			h.hookCount(ch, 0)
		}
		return
	}
	defer e.mu.Unlock()
	if !e.counts() {
		return
	}
	tell, wait := e.counter.change(h.opts.Now(), count)
	if tell {
		h.tellCount(e)
	} else if wait > 0 {
		time.AfterFunc(wait, func() { h.countDue(e) })
	}
}

func (h *Hub) countDue(e *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counter.due(h.opts.Now())
	if !e.gone && e.counts() {
		h.tellCount(e)
	}
}

// tellCount posts the count to all subscribers, and tells webhooks. The entry is locked.
func (h *Hub) tellCount(e *entry) {
	h.hookCount(e.key, e.counter.count)
	if e.mask != 0 {
		h.post(e, command{frame: protocol.SubscriptionCount(e.key.Name, e.counter.count)}, nil)
	}
}
