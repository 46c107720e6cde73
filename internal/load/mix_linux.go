package load

// mix is all at once: listeners of public channels, to which the API publishes;
// talkers, which send client events in groups; and guests of presence channels,
// who come and go.
type mix struct {
	// Static after start
	r          *run
	s          *swarm
	listeners  int // the first of the clients; talkers follow, then guests
	talkers    int
	guests     int
	rooms      int // presence channels
	began      int64
	track      *tracker
	publishing *publishing
	talk       *talk
	comings    schedule

	subscribers []int // of each public channel
	reopened    int
}

// guestsPerRoom keeps presence channels below the limit that servers commonly
// have, of 100.
const guestsPerRoom = 50

// newMix parts the clients: of ten, six listen, three talk and one comes and goes.
func (r *run) newMix() *mix {
	n := r.o.Connections
	m := &mix{r: r, talkers: n * 3 / 10, guests: n / 10, subscribers: make([]int, r.o.Channels)}
	m.listeners = n - m.talkers - m.guests
	m.rooms = m.guests/guestsPerRoom + 1
	m.track = newTracker(r.o.Events, r.elapsed.of(timeDelivery), r.elapsed.of(timeLast))
	m.talk = r.newTalk(m.listeners, m.talkers, r.o.ClientRate)
	return m
}

func (m *mix) subscriptions(i int) []subscription {
	switch {
	case i < m.listeners:
		return []subscription{{channel: m.r.spreadName(i % m.r.o.Channels)}}
	case i < m.listeners+m.talkers:
		return m.talk.subscriptions(i)
	}
	return []subscription{m.r.presenceOf(i, i%m.rooms)}
}

func (m *mix) ready(c *client) {
	switch i := int(c.index); {
	case i < m.listeners:
		m.subscribers[i%m.r.o.Channels]++
	case i < m.listeners+m.talkers:
		m.talk.joined(c)
	}
}

// start begins the measure.
func (m *mix) start(s *swarm) {
	r := m.r
	m.s, m.began = s, r.now()
	s.hooks.event = func(c *client, payload []byte) {
		track := m.track
		if int(c.index) >= m.listeners {
			track = m.talk.track
		}
		r.delivered(s, track, payload)
	}
	s.hooks.refused = m.talk.refused
	m.comings = schedule{m.began, r.o.Churn}
	m.talk.start(s)
	if !m.talk.plan.paced() {
		m.talk.until = 0 // without a rate, talkers are silent here
	}
	m.publishing = r.publish(m.track, -1, func(n int) (string, int) {
		k := scatter(n, r.o.Channels)
		return r.spreadName(k), m.subscribers[k]
	})
}

// churn has guests leave and come again, one after the other.
func (m *mix) churn() work {
	next := int64(0)
	until := m.began + int64(m.r.o.Duration)
	over := func(now int64) bool { return now >= until || m.r.ended() }
	return work{
		step: func(now int64) int64 {
			for m.comings.paced() && m.guests > 0 && !over(now) {
				at := m.comings.due(next)
				if at > now {
					return at
				}
				m.again(m.listeners+m.talkers+int(next)%m.guests, at)
				next++
			}
			return never
		},
		through: over,
		missing: func() int64 { return 0 },
		moved:   func() int64 { return next },
	}
}

// again has a guest go and come back.
func (m *mix) again(i int, at int64) {
	c := &m.s.clients[i]
	if c.state != ready {
		return // still on its way, or lost
	}
	m.s.ready--
	m.s.hangUp(c)
	m.s.dial(i, at)
	m.reopened++
}

func (m *mix) report(s *swarm, done Phase) error {
	d := m.track.sum()
	d.PerSecond = done.rate(d.Received)
	m.r.report.Deliveries = &d
	m.talk.report(done)
	m.r.reportLost(s)
	m.r.report.Connections.Reopened = m.reopened
	return m.publishing.report(done)
}
