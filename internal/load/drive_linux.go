package load

import (
	"fmt"
	"time"
)

// housekeeping is how often the loop looks up when there is no input.
const housekeeping = int64(10 * time.Millisecond)

// connect opens clients from..to-1 and waits until each is ready or has failed.
func (r *run) connect(s *swarm, from, to int, rate float64) {
	opened, plan := from, schedule{r.now(), rate}
	before := s.settled
	watch := patience{limit: int64(r.o.Patience), at: r.now()}
	for {
		now := r.now()
		settled := s.settled - before
		until := now + housekeeping
		for opened < to && opened-from-settled < r.o.InFlight {
			due := plan.due(int64(opened - from))
			if due > now {
				until = min(until, due)
				break
			}
			if !plan.paced() {
				due = now
			}
			s.dial(opened, due)
			opened++
		}
		if settled >= to-from || r.ended() || s.hopeless() {
			return
		}
		if !watch.lasts(now, int64(settled+opened), true) {
			s.giveUp(from, to)
			return
		}
		s.poll(until)
		s.keepAlive(now)
		r.show(now, float64(settled)/float64(to-from), int64(settled), "connections")
	}
}

// giveUp ends the clients of from..to-1 that are still not ready.
func (s *swarm) giveUp(from, to int) {
	for i := from; i < to; i++ {
		if c := &s.clients[i]; c.live() && c.state != ready {
			s.fail(c, "not ready in time", fmt.Sprintf("nothing came for %v", s.r.o.Patience))
		}
	}
}

// hopeless reports whether so many of the first connections failed that the rest
// is not worth trying.
func (s *swarm) hopeless() bool {
	const enough = 100
	return s.ready == 0 && s.settled >= enough
}

// assemble makes the swarm, opens all clients and reports on it.
func (r *run) assemble(h hooks) (*swarm, error) {
	s, err := r.newSwarm(r.o.Connections+r.o.SlowReaders, h)
	if err != nil {
		return nil, err
	}
	timed := r.elapsed.of(timeConnect)
	arrived := s.hooks.ready
	s.hooks.ready = func(c *client) {
		if int(c.index) >= r.o.Connections { // a slow reader, which nothing counts
			c.deaf = true
			s.ready--
			return
		}
		timed.record(s.now - c.at)
		if arrived != nil {
			arrived(c)
		}
	}
	rate := 0.0
	if r.o.Scenario == Connect {
		rate = r.o.Rate
	}
	r.begin("connecting")
	r.connect(s, 0, r.o.Connections, rate)
	done := r.end(0)
	r.report.Connections = &Connections{
		Wanted: r.o.Connections, Ready: s.ready, Failed: r.o.Connections - s.ready, PerSecond: done.rate(int64(s.ready)),
	}
	if s.ready == 0 && !r.ended() {
		return nil, fmt.Errorf("no connection could be opened: %s", r.errors.worst())
	}
	if r.o.Compress && s.compressing < r.o.Connections {
		r.note("%s of %s connections have negotiated compression", Count(int64(s.compressing)), Count(int64(r.o.Connections)))
	}
	n := int64(s.ready)
	r.charge(func(u *Server) { u.PerConnection = done.per(n) })
	r.connect(s, r.o.Connections, len(s.clients), 0)
	return s, nil
}

// work is something that the loop drives or waits for.
type work struct {
	step    func(now int64) (next int64) // does what is due and says when more is; nil: there is nothing to do
	turned  func()                       // after each turn; may be nil
	through func(now int64) bool
	missing func() int64 // what is still to come
	moved   func() int64 // changes with any progress
}

// drive runs the loop until all works are through, nothing has moved for as long
// as patience goes, or the caller has had enough. It returns for how long, at the
// end, nothing had moved.
func (r *run) drive(s *swarm, show func(now int64), works ...work) (idle time.Duration) {
	watch := patience{limit: int64(r.o.Patience), at: r.now()}
	ending := int64(never)
	for {
		now := r.now()
		until := now + housekeeping
		for _, w := range works {
			if w.step != nil {
				until = min(until, w.step(now))
			}
		}
		s.poll(until)
		through, missing, moved := true, int64(0), int64(0)
		now = r.now()
		for _, w := range works {
			if w.turned != nil {
				w.turned()
			}
			through = through && w.through(now)
			missing += w.missing()
			moved += w.moved()
		}
		if r.ended() && ending == never {
			ending = now + int64(grace)
		}
		waiting := watch.lasts(now, moved, missing > 0)
		if !waiting && !through {
			r.note("nothing came for %v; what was missing counts as lost", r.o.Patience)
		}
		if through || !waiting || now > ending {
			return time.Duration(now - watch.at)
		}
		s.keepAlive(now)
		show(now)
	}
}
