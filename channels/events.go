package channels

import (
	"context"
	"math/bits"

	"dunlin/cluster"
	"dunlin/internal/mailbox"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/protocol"
)

// Publish delivers events in their order, all or none. While a loop that they
// concern is behind by Options.MailboxBytes it waits, up to Options.PublishWait,
// and then returns cluster.ErrUnavailable.
func (h *Hub) Publish(ctx context.Context, p []cluster.Publication) ([]cluster.Receipt, error) {
	now := h.counters.Now()
	for i := range p {
		p[i].At = now
	}
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
	for _, s := range h.all() {
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
	if m.Keep > 0 && e.last != nil {
		e.last.keep(m.Frame, h.opts.Now().Add(m.Keep))
	}
	if m.At == 0 {
		m.At = h.counters.Now()
	}
	h.post(e, command{frame: m.Frame, except: m.Except, at: m.At}, m.Trace)
	e.mu.Unlock()
}

// post gives a command with a frame the channel's next serial and puts it into the
// mailbox of every loop with subscribers. The entry is locked, which is the one order
// of its messages. The fan-out on each loop is part of trace.
func (h *Hub) post(e *entry, c command, trace *tracing.Span) {
	e.serial++
	c.entry, c.serial = e, e.serial
	for m := e.mask; m != 0; m &= m - 1 {
		s := h.shards[bits.TrailingZeros64(m)]
		if trace != nil {
			c.trace = s.traced(trace, e)
		}
		s.post(c, frameWeight(c.frame))
	}
}
