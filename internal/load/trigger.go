package load

import (
	"fmt"
	"time"
)

// trigger publishes to channels that nobody is subscribed to.
func (r *run) trigger() error {
	r.begin("publishing")
	p := r.publish(nil, -1, func(n int) (string, int) {
		return fmt.Sprintf("%s-quiet-%d", r.o.Channel, n%r.o.Channels), 0
	})
	watch := time.NewTicker(time.Duration(showEvery))
	defer watch.Stop()
	for !p.finished() && !r.ended() {
		select {
		case <-p.done:
		case <-watch.C:
			now := r.now()
			r.show(now, p.share(now), p.accepted.Load(), "requests")
		}
	}
	p.stop()
	done := r.end(0)
	r.charge(func(s *Server) { s.PerRequest = done.per(p.accepted.Load()) })
	return p.report(done)
}
