package channels

import (
	"context"
	"math/bits"
	"time"

	"dunlin/cluster"
	"dunlin/internal/mailbox"
	"dunlin/metrics"
	"dunlin/protocol"
)

// Publish delivers events in their order, all or none. While a loop that they
// concern is behind by Options.MailboxBytes it waits, up to Options.PublishWait,
// and then returns cluster.ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, p []cluster.Publication) ([]cluster.Receipt, error) {
	if err := h.admit(ctx, p); err != nil {
		h.counters.Shared().Drop(metrics.DropPublish)
		return nil, err
	}
	return h.engine.Publish(ctx, p)
}

// admit waits until the loops of all channels have room. What several publishers
// were let in with may exceed the bound together; what each carries is bounded.
func (h *Hub) admit(ctx context.Context, p []cluster.Publication) error {
	if !h.anyFull() {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, h.opts.PublishWait)
	defer cancel()
	for i := range p {
		for box := h.fullBox(p[i].Channel); box != nil; box = h.fullBox(p[i].Channel) {
			select {
			case <-box.Drained():
			case <-wait.Done():
				return cluster.ErrUnavailable
			}
		}
	}
	return nil
}

func (h *Hub) anyFull() bool {
	for _, s := range h.shards {
		if s.box.Full() {
			return true
		}
	}
	return false
}

// fullBox returns the mailbox of a loop that has subscribers and no room, or nil.
func (h *Hub) fullBox(ch protocol.ChannelKey) *mailbox.Box[command] {
	e := h.dir.find(ch)
	if e == nil {
		return nil
	}
	defer e.mu.Unlock()
	for m := e.mask; m != 0; m &= m - 1 {
		if box := h.shards[bits.TrailingZeros64(m)].box; box.Full() {
			return box
		}
	}
	return nil
}

// Event implements cluster.Handler.
func (h *Hub) Event(ch protocol.ChannelKey, m cluster.Message) {
	e := h.dir.find(ch)
	if e == nil {
		return
	}
	if m.Keep > 0 {
		e.last.keep(m.Frame, h.opts.Now().Add(m.Keep))
	}
	h.post(e, m.Frame, m.Except)
	e.mu.Unlock()
}

// post gives a frame the channel's next serial and puts it into the mailbox of
// every loop with subscribers. The entry is locked, which is the one order of its
// messages.
func (h *Hub) post(e *entry, f *protocol.Frame, except protocol.SocketID) {
	e.serial++
	c := command{entry: e, frame: f, serial: e.serial, except: except}
	for m := e.mask; m != 0; m &= m - 1 {
		h.shards[bits.TrailingZeros64(m)].post(c, frameWeight(f))
	}
}

// Member implements cluster.Handler.
func (h *Hub) Member(ch protocol.ChannelKey, c cluster.MemberChange) {
	e := h.dir.find(ch)
	if e == nil {
		return
	}
	defer e.mu.Unlock()
	if e.roster != nil && e.roster.apply(c) {
		h.postChange(e, c.Member, c.Added)
	}
}

func (h *Hub) postChange(e *entry, m protocol.Member, added bool) {
	if e.mask == 0 {
		return
	}
	if added {
		h.post(e, protocol.MemberAdded(e.key.Name, m), protocol.SocketID{})
	} else {
		h.post(e, protocol.MemberRemoved(e.key.Name, m.ID), protocol.SocketID{})
	}
}

// Resync implements cluster.Handler: subscribers are told the differences.
func (h *Hub) Resync(ch protocol.ChannelKey, r cluster.Roster) {
	e := h.dir.find(ch)
	if e == nil {
		return
	}
	defer e.mu.Unlock()
	if e.roster != nil && r.Version > e.roster.version {
		h.adopt(e, r)
	}
}

// adopt replaces an entry's roster and posts what is different now. The entry is
// locked.
func (h *Hub) adopt(e *entry, r cluster.Roster) {
	before := e.roster.members
	added := e.roster.missing(r.Members)
	e.roster.reset(r)
	for _, m := range e.roster.missing(before) {
		h.postChange(e, m, false)
	}
	for _, m := range added {
		h.postChange(e, m, true)
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

// joined answers Engine.Join for one user.
func (h *Hub) joined(e *entry, u *user, r cluster.Roster, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.roster.users[u.id] != u {
		return // left meanwhile
	}
	if err != nil {
		h.release(e, func(sub *subscription) bool { return sub.user == u }, err)
		return
	}
	u.joined = true
	e.topic = topicLive // Join's answer comes after Attach's
	if r.Members != nil && r.Version >= e.roster.version {
		h.adopt(e, r)
	}
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

// Drain closes every connection with 4200, in slices spread over window, and
// returns when all are gone or ctx ends. New ones are refused the same way.
func (h *Hub) Drain(ctx context.Context, window time.Duration) {
	h.draining.Store(true)
	const beat = 50 * time.Millisecond
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for left := int(window / beat); ; left-- {
		if h.counters.Connections() <= 0 {
			return
		}
		for _, s := range h.shards {
			s.do(func() { s.drain(slice(int(s.counters.Connections.Load()), left)) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// slice is how many of open connections a loop closes in one beat when left beats
// remain: enough to be through in time, and no fewer than 32, since small nodes
// have no storm to fear.
func slice(open, left int) int {
	return max(32, (open+max(left, 1)-1)/max(left, 1))
}
