package model

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// story is all that was done and heard in bursts, to be judged.
type story struct {
	app        app
	round      string
	nodes      int
	lives      []*told
	events     map[eventKey]*event
	terminated []termination
	calms      []time.Time // when nothing was on its way
}

// told is a connection's part of a story.
type told struct {
	client, id string
	opened     time.Time
	log        []entry
	left       bool // the client closed it
	code       int  // of the server's close frame; 0 while it is open
	ended      time.Time
	sessions   map[string][]*session
}

func (l *told) open() bool { return l.code == 0 && !l.left }

// eventKey finds an event: one that is published to several channels is several.
type eventKey struct{ channel, id string }

// event is one that was published, or refused.
type event struct {
	id, channel  string
	sender, skip string    // socket ids: of the client that sent it, of the one that is not to get it
	from, to     time.Time // when it was published; to is zero where nobody knows
}

// isFor reports whether a connection is to get an event.
func (e *event) isFor(l *told) bool { return e.sender != l.id && e.skip != l.id }

// termination is a call that ends a user's connections.
type termination struct {
	user     string
	from, to time.Time
}

// session is what a connection heard of a channel from a subscription_succeeded to
// the next one, or to the end.
type session struct {
	life     *told
	ch       string
	asked    time.Time // it was not asked for before
	began    entry     // subscription_succeeded
	cached   *frame    // what follows it on a cache channel
	heard    []entry   // all after these
	openEnd  bool      // it goes on when the story ends
	problems []string
}

// story takes down what was said so far.
func (p *party) story() *story {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &story{app: p.app, round: p.round, nodes: len(p.nodes), events: p.events, terminated: p.terminated, calms: p.calms}
	for _, l := range p.all {
		log, end := l.since(0)
		s.lives = append(s.lives, &told{
			client: l.client, id: l.id, opened: l.opened, log: log, left: l.left.Load(), code: closedBy(end), ended: l.endedAt(),
		})
	}
	s.read()
	return s
}

// read divides what everybody heard into sessions.
func (s *story) read() {
	for _, l := range s.lives {
		l.sessions = map[string][]*session{}
		for _, ch := range l.channels() {
			l.sessions[ch] = s.readChannel(l, ch)
		}
	}
}

// channels are those that a connection asked for or heard of.
func (l *told) channels() (names []string) {
	for _, e := range l.log {
		if e.sent == nil && e.channel != "" && !slices.Contains(names, e.channel) {
			names = append(names, e.channel)
		}
	}
	return names
}

// asks lists a connection's subscribes to a channel, and its unsubscribes.
func (l *told) asks(round, ch string) (list []entry) {
	for _, e := range l.log {
		if e.sent != nil && (e.sent.verb == "subscribe" || e.sent.verb == "unsubscribe") && fullName(round, e.sent.ch) == ch {
			list = append(list, e)
		}
	}
	return list
}

func (l *told) subscribes(round, ch string) []entry {
	return slices.DeleteFunc(l.asks(round, ch), func(e entry) bool { return e.sent.verb != "subscribe" })
}

// readChannel divides what a connection heard of a channel. Every success answers
// another subscribe, so the n-th one was not asked for before the n-th of these.
func (s *story) readChannel(l *told, ch string) (list []*session) {
	asks, subscribes := l.asks(s.round, ch), l.subscribes(s.round, ch)
	var now *session
	refused := false
	for _, e := range l.log {
		switch {
		case e.sent != nil || e.channel != ch:
		case e.event == evRefused:
			refused = true
		case e.event == evSucceeded:
			now = &session{life: l, ch: ch, began: e}
			if len(list) < len(subscribes) {
				now.asked = subscribes[len(list)].at
			} else {
				now.problems = append(now.problems, "it was not asked for")
			}
			list, refused = append(list, now), false
		case now == nil:
			list = append(list, &session{life: l, ch: ch, began: e, problems: []string{"heard before subscription_succeeded"}})
		default:
			now.add(e)
		}
	}
	if now != nil && l.open() && !refused {
		now.openEnd = len(asks) > 0 && asks[len(asks)-1].sent.verb == "subscribe"
	}
	return list
}

// add takes one more frame. The first one on a cache channel is the cached event, or
// says that there is none.
func (x *session) add(e entry) {
	if k := kindOf(x.ch); k.cache && x.cached == nil && len(x.heard) == 0 {
		if f := e.frame; f.event == evMiss || !f.own() {
			x.cached = &f
			return
		}
		x.problems = append(x.problems, "neither a cached event nor cache_miss follows")
	} else if e.event == evMiss {
		x.problems = append(x.problems, "cache_miss in its midst")
	}
	x.heard = append(x.heard, e)
}

func (s *story) event(f frame) *event { return s.events[eventKey{f.channel, eventID(f)}] }

// eventID is the number that an event carries in its data.
func eventID(f frame) string {
	rest, _ := strings.CutPrefix(f.data, `{"n":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// eventsOf lists the events of a session, the cached one not among them.
func (x *session) eventsOf() (list []frame) {
	for _, e := range x.heard {
		if !e.own() {
			list = append(list, e.frame)
		}
	}
	return list
}

// membersOf lists the changes of members of a session.
func (x *session) membersOf() (list []frame) {
	for _, e := range x.heard {
		if e.event == evAdded || e.event == evRemoved {
			list = append(list, e.frame)
		}
	}
	return list
}

// reference is the witness' only session of a channel, or nil.
func (s *story) reference(ch string) *session {
	for _, l := range s.lives {
		if l.client == witness && len(l.sessions[ch]) == 1 && l.sessions[ch][0].openEnd && len(l.asks(s.round, ch)) == 1 {
			return l.sessions[ch][0]
		}
	}
	return nil
}

// referenceFor is what a session may be compared with: a witness that was there before
// it. In part of a script it may be missing, or come later.
func (s *story) referenceFor(x *session) *session {
	if ref := s.reference(x.ch); ref != nil && ref != x && ref.began.at.Before(x.asked) {
		return ref
	}
	return nil
}

// each calls f for every session, in an order of no meaning but always the same.
func (s *story) each(f func(*session)) {
	for _, l := range s.lives {
		for _, ch := range l.channels() {
			for _, x := range l.sessions[ch] {
				f(x)
			}
		}
	}
}

// subscriptions counts those that are open.
func (s *story) subscriptions() (n int) {
	s.each(func(x *session) {
		if x.openEnd {
			n++
		}
	})
	return n
}

// truth is a model of what is true at the end. Of a member's info nothing is known.
func (s *story) truth() *model {
	m := newModel(s.app, s.round)
	s.each(func(x *session) {
		r := m.room(x.ch) // also where everybody has left
		if ref := s.reference(x.ch); ref != nil && r.kind.cache {
			r.last = s.lastKept(ref)
		}
		if !x.openEnd {
			return
		}
		seat := m.seats[x.life.id]
		if seat == nil {
			m.sit(x.life.id, x.life.id)
			seat = m.seats[x.life.id]
		}
		seat.subs[x.ch] = ""
		if user := x.life.userIn(s.round, x.ch); r.kind.presence && r.member(user) == nil {
			r.members = append(r.members, &member{user: user})
		}
	})
	return m
}

// userIn is who a connection is in a presence channel, or was last. Bursts do not have
// it ask as another user before it has left.
func (l *told) userIn(round, ch string) string {
	subscribes := l.subscribes(round, ch)
	if len(subscribes) == 0 {
		return ""
	}
	return subscribes[len(subscribes)-1].sent.user
}

// lastKept is the last event that a backend published, as a session heard it.
func (s *story) lastKept(x *session) *frame {
	var last *frame
	if x.cached != nil && x.cached.event != evMiss {
		last = x.cached
	}
	for _, f := range x.eventsOf() {
		if e := s.event(f); e != nil && e.sender == "" {
			last = &f
		}
	}
	return last
}

// byTime sorts events by the time at which they began to be published.
func byTime(events []*event) []*event {
	slices.SortFunc(events, func(a, b *event) int { return cmp.Or(a.from.Compare(b.from), strings.Compare(a.id, b.id)) })
	return events
}
