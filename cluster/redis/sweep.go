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
		for s.up() && s.sweep() {
		}
	}
}

// sweep reports whether there is more to do.
func (s *slice) sweep() (more bool) {
	ctx, cancel := context.WithTimeout(s.engine.life, commandTime)
	defer cancel()
	o := &s.engine.opts
	list, err := s.run(ctx, sweepScript, []string{s.pre + "hb"},
		s.pre, sweepChannels, sweepTimers, s.client.PublishCommand(), o.Debounce.Milliseconds(), o.Outbox)
	if err != nil || len(list) < 4 {
		return false
	}
	s.engine.stats.Reaped.Add(uint64(number(list[1])))
	return number(list[3]) == 1
}
