package channels

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
)

// beat is the time between two slices.
const beat = 50 * time.Millisecond

// Drain closes every connection with 4200, in slices spread over window, and
// returns when all are gone or ctx ends. New ones are refused the same way.
func (h *Hub) Drain(ctx context.Context, window time.Duration) {
	h.draining.Store(true)
	for left := int(window / beat); ; left-- {
		if h.counters.Connections() <= 0 {
			return
		}
		for _, s := range h.all() {
			s.do(func() { s.drain(slice(int(s.counters.Connections.Load()), left)) })
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(beat/2 + rand.N(beat)): // nodes that stop together are not to keep time
		}
	}
}

// Alive waits until every loop has taken a turn. An error says that one did not
// before ctx ended.
func (h *Hub) Alive(ctx context.Context) error {
	turned := make(chan struct{}, len(h.all()))
	for _, s := range h.all() {
		s.do(func() { turned <- struct{}{} })
	}
	for range h.all() {
		select {
		case <-turned:
		case <-ctx.Done():
			return fmt.Errorf("a loop has not taken a turn: %w", ctx.Err())
		}
	}
	return nil
}

// drain closes up to count sessions with 4200 (PROTOCOL 1.35).
func (s *Shard) drain(count int) {
	for _, x := range s.sessions {
		if count == 0 {
			return
		}
		if !x.closing {
			s.counters.Drop(metrics.DropDrain)
			x.close(protocol.ErrReconnect)
			count--
		}
	}
}

// slice is how many of open connections a loop closes in one beat when left beats
// remain: enough to be through in time, and no fewer than 32, since small nodes
// have no storm to fear.
func slice(open, left int) int {
	return max(32, (open+max(left, 1)-1)/max(left, 1))
}

// Detached implements cluster.Handler: who is connected now is sent away with 4200,
// in slices spread over Options.DetachWindow, to nodes that are not cut off. Who
// comes, or comes back, nonetheless may stay: this is the best node that it found.
func (h *Hub) Detached() {
	h.log.Warn("sending clients to other nodes", "connections", h.counters.Connections(), "reason", "the engine is unavailable")
	for _, s := range h.all() {
		s.do(func() { s.detachAll(slices.Clone(s.sessions), int(h.opts.DetachWindow/beat)) })
	}
}

// detachAll sends away a part of a list now and the rest in the beats that are left,
// unless it has become well.
func (s *Shard) detachAll(list []*session, left int) {
	n := min(slice(len(list), left), len(list))
	for _, x := range list[:n] {
		s.detach(x)
	}
	if list = list[n:]; len(list) == 0 {
		return
	}
	time.AfterFunc(beat, func() {
		s.do(func() {
			if s.hub.engine.Health() != nil {
				s.detachAll(list, left-1)
			}
		})
	})
}

// detach sends a session to another node.
func (s *Shard) detach(x *session) {
	if !x.closing {
		s.counters.Drop(metrics.DropDetached)
		x.close(protocol.ErrReconnect)
	}
}
