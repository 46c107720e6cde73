package load

import "fmt"

func init() {
	scenarios[Connect] = (*run).hold
	scenarios[Fanout] = (*run).fanout
	scenarios[Channels] = (*run).spread
	scenarios[ClientEvents] = (*run).talkAll
	scenarios[Presence] = (*run).storm
	scenarios[Mixed] = (*run).mixed
}

// hold opens connections and holds them.
func (r *run) hold() error {
	s, err := r.assemble(hooks{subscriptions: func(i int) []subscription {
		if r.o.Channels == 0 {
			return nil
		}
		return r.spreadOver(i)
	}})
	if err != nil || r.ended() {
		return err
	}
	r.begin("holding")
	began := r.now()
	end := began + int64(r.o.Hold)
	r.drive(s, func(now int64) {
		r.show(now, float64(now-began)/float64(max(end-began, 1)), int64(s.ready), "connections")
	}, work{
		step:    func(int64) int64 { return end },
		through: func(now int64) bool { return now >= end || r.ended() },
		missing: func() int64 { return 0 },
		moved:   func() int64 { return 0 },
	})
	r.end(0)
	r.reportLost(s)
	r.charge(func(u *Server) {
		if s.ready > 0 {
			u.PerConnectionB = float64(u.ResidentAfter-u.ResidentBefore) / float64(s.ready)
		}
	})
	return nil
}

// reportLost adds what became of the connections.
func (r *run) reportLost(s *swarm) { r.report.Connections.Lost = s.lost }

// spreadOver returns the channels of client i, which are spread evenly.
func (r *run) spreadOver(i int) []subscription {
	list := make([]subscription, r.o.PerConnection)
	for j := range list {
		list[j].channel = r.spreadName((i*r.o.PerConnection + j) % r.o.Channels)
	}
	return list
}

func (r *run) spreadName(k int) string { return fmt.Sprintf("%s-%d", r.o.Channel, k) }

// fanout publishes to one channel that all are subscribed to.
func (r *run) fanout() error {
	track := newTracker(r.o.Events, r.elapsed.of(timeDelivery), r.elapsed.of(timeLast))
	all := []subscription{{channel: r.o.Channel}}
	s, err := r.assemble(hooks{subscriptions: func(int) []subscription { return all }})
	if err != nil || r.ended() {
		return err
	}
	n := s.ready
	return r.published(s, track, n, func(int) (string, int) { return r.o.Channel, n })
}

// spread publishes to many channels, each with some of the clients.
func (r *run) spread() error {
	track := newTracker(r.o.Events, r.elapsed.of(timeDelivery), r.elapsed.of(timeLast))
	subscribers := make([]int, r.o.Channels)
	s, err := r.assemble(hooks{
		subscriptions: r.spreadOver,
		ready: func(c *client) {
			for j := range r.o.PerConnection {
				subscribers[(int(c.index)*r.o.PerConnection+j)%r.o.Channels]++
			}
		},
	})
	if err != nil || r.ended() {
		return err
	}
	return r.published(s, track, max(s.ready*r.o.PerConnection/r.o.Channels, 1), func(n int) (string, int) {
		k := scatter(n, r.o.Channels)
		return r.spreadName(k), subscribers[k]
	})
}

// scatter maps event n to one of k channels, in no order that a server could like.
func scatter(n, k int) int {
	x := uint64(n) + 0x9E3779B97F4A7C15 // SplitMix64, by Sebastiano Vigna
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return int((x ^ x>>31) % uint64(k))
}

// published is the phase in which publishers publish and the swarm receives. each
// is how many get an event, on average.
func (r *run) published(s *swarm, track *tracker, each int, channel func(n int) (string, int)) error {
	r.begin("publishing")
	limit := int64(-1)
	if r.o.Window > 0 {
		limit = int64(r.o.Window-1) * int64(each)
	}
	s.hooks.event = func(_ *client, payload []byte) { r.delivered(s, track, payload) }
	p := r.publish(track, limit, channel)
	idle := r.drive(s, func(now int64) { r.show(now, p.share(now), track.delivered, "deliveries") }, p.work())
	p.stop()
	done := r.end(idle)
	d := track.sum()
	d.PerSecond, d.BytesEach = done.rate(d.Received), done.each(d.Received)
	r.report.Deliveries = &d
	r.reportLost(s)
	r.charge(func(u *Server) {
		u.PerEvent, u.PerDelivery = done.per(p.accepted.Load()), done.per(d.Received)
	})
	return p.report(done)
}

// delivered counts an event that a client got.
func (r *run) delivered(s *swarm, track *tracker, payload []byte) {
	if n, ok := r.mark.find(payload); ok {
		track.deliver(n, s.now)
	}
}

// work is what the loop has to do for publishers: to make room for more.
func (p *publishing) work() work {
	told := int64(0)
	return work{
		turned: func() {
			p.gate.leave(p.track.delivered - told)
			told = p.track.delivered
		},
		through: func(int64) bool { return p.finished() && p.track.missing() <= 0 },
		missing: p.track.missing,
		moved:   func() int64 { return p.sent.Load() + p.track.delivered },
	}
}

// talkAll has all clients send events to the others of their group.
func (r *run) talkAll() error {
	t := r.newTalk(0, r.o.Connections, r.o.Rate)
	s, err := r.assemble(hooks{subscriptions: t.subscriptions, ready: t.joined})
	if err != nil || r.ended() {
		return err
	}
	r.begin("sending")
	s.hooks.event = func(_ *client, payload []byte) { r.delivered(s, t.track, payload) }
	s.hooks.refused = t.refused
	t.start(s)
	idle := r.drive(s, func(now int64) {
		r.show(now, r.share(int64(t.sent), t.plan.start, now), t.track.delivered, "deliveries")
	}, t.work())
	done := r.end(idle)
	t.report(done)
	r.reportLost(s)
	r.charge(func(u *Server) {
		u.PerEvent, u.PerDelivery = done.per(int64(t.sent)), done.per(r.report.FromClients.Received)
	})
	return nil
}

// storm has all clients join presence channels at once, or at o.Rate a second.
func (r *run) storm() error {
	j := r.newJoins()
	s, err := r.assemble(hooks{})
	if err != nil || r.ended() {
		return err
	}
	r.begin("joining")
	s.hooks.joined, s.hooks.member = j.joined, j.member
	j.start(s)
	idle := r.drive(s, func(now int64) {
		r.show(now, float64(j.answered())/float64(len(j.order)), j.seen, "member events")
	}, j.work())
	done := r.end(idle)
	j.report(done)
	r.reportLost(s)
	r.charge(func(u *Server) {
		u.PerJoin, u.PerDelivery = done.per(r.report.Joins.Succeeded), done.per(r.report.Members.Received)
	})
	return nil
}

// mixed does all of it at once.
func (r *run) mixed() error {
	m := r.newMix()
	s, err := r.assemble(hooks{subscriptions: m.subscriptions, ready: m.ready})
	if err != nil || r.ended() {
		return err
	}
	r.begin("mixed load")
	m.start(s)
	idle := r.drive(s, func(now int64) {
		r.show(now, float64(now-m.began)/float64(r.o.Duration), m.track.delivered+m.talk.track.delivered, "deliveries")
	}, m.publishing.work(), m.talk.work(), m.churn())
	m.publishing.stop()
	return m.report(s, r.end(idle))
}
