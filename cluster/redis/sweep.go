package redis

import (
	"context"
	"math/rand/v2"
	"time"
)

// What one call of the sweep script does at most. Redis does nothing else
// meanwhile: about 35 µs a channel.
const (
	sweepChannels = 64
	sweepTimers   = 256
)

// sweepAll sweeps now and then, as every node does: there is no leader, since what
// is swept away and what is told of it is one step in Redis.
func (s *slice) sweepAll() {
	every := min(time.Second, s.engine.opts.Lease/8)
	for s.pause(every-rand.N(every/4), nil, 0) {
		for s.settled() && s.sweep() {
		}
	}
}

// settleTime is how long Redis must have answered before a node sweeps. After an
// outage all leases may have run out while nobody died: all nodes are to have found
// that Redis is back, and to have renewed theirs.
const settleTime = 2 * time.Second

func (s *slice) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down.IsZero() && s.reg.gen > 0 && time.Since(s.back) > settleTime
}

// latest is the Redis' time after which a command that is sent now is too late: it
// lay before a Redis that stood still, and what it was to do may be wrong by now.
func (s *slice) latest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock + (time.Since(s.timed) + commandTime).Milliseconds()
}

// sweep reports whether there is more to do.
func (s *slice) sweep() (more bool) {
	ctx, cancel := context.WithTimeout(s.engine.life, commandTime)
	defer cancel()
	o := &s.engine.opts
	list, err := s.run(ctx, sweepScript, []string{s.pre + "hb"},
		s.pre, sweepChannels, sweepTimers, s.client.PublishCommand(), o.Debounce.Milliseconds(), o.Outbox, s.latest())
	if err != nil || len(list) < 4 {
		return false
	}
	s.engine.stats.Reaped.Add(uint64(number(list[1])))
	return number(list[3]) == 1
}
