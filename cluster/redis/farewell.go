package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// release lets an incarnation's lease run out now. When that fails it runs out by
// itself.
func (s *slice) release(ctx context.Context, inc string) {
	s.saw(s.engine.client.ZAddXX(ctx, s.pre+"hb", goredis.Z{Score: 1, Member: inc}).Err())
}

// goodbye tells what is left to tell and gives up the lease.
func (s *slice) goodbye(ctx context.Context) {
	for {
		reg, changed := s.state()
		if reg.gen == 0 || !s.up() {
			return
		}
		if s.idle() {
			s.release(ctx, reg.inc)
			return
		}
		t := time.NewTimer(2 * time.Millisecond)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

func (s *slice) idle() bool {
	for _, l := range s.lanes {
		if !l.idle() {
			return false
		}
	}
	return s.publisher.idle()
}
