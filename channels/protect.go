package channels

import (
	"net"
	"time"

	"dunlin/internal/addrlimit"
	"dunlin/metrics"
	"dunlin/protocol"
)

// Protection bounds what clients may take of a node, whichever app they are of. The
// zero value bounds nothing.
type Protection struct {
	Connections       addrlimit.Limits
	MessagesPerSecond int // of one connection, and at once
}

// Door is the bound of an address' connections that have not sent their request yet:
// as many as may be open. Nil without one.
func (p Protection) Door() *addrlimit.Limiter {
	if p.Connections.PerAddress == 0 {
		return nil
	}
	return addrlimit.New(addrlimit.Limits{PerAddress: p.Connections.PerAddress}, nil)
}

// guard is what protection knows of one session. Sessions have none when nothing is
// limited: it is looked up, so that they are no larger for it.
type guard struct {
	seat *addrlimit.Seat
	paid time.Time // when its messages are paid for, each with its share of a second
	held bool      // is not read from until its time is over
}

// enter judges a new connection by its address, before anything that it asks for.
// Whoever is over a limit is told to back off (PROTOCOL 1.35).
func (s *Shard) enter(from net.Addr) (*addrlimit.Seat, *protocol.Error) {
	if s.hub.addresses == nil {
		return nil, nil
	}
	seat, verdict := s.hub.addresses.Enter(from)
	switch verdict {
	case addrlimit.TooMany:
		s.counters.Drop(metrics.DropAddress)
	case addrlimit.AddressTooFast:
		s.counters.Drop(metrics.DropAddressRate)
	case addrlimit.TooFast:
		s.counters.Drop(metrics.DropConnectionRate)
	default:
		return seat, nil
	}
	return nil, protocol.ErrOverCapacity
}

// guarding begins to watch a session.
func (s *Shard) guarding(x *session, seat *addrlimit.Seat) {
	if seat != nil || s.hub.opts.Protection.MessagesPerSecond > 0 {
		s.guards[x] = &guard{seat: seat}
	}
}

func (s *Shard) unguard(x *session) {
	if g := s.guards[x]; g != nil {
		g.seat.Leave()
		delete(s.guards, x)
	}
}

// holdFor is the least time for which a connection that sends too much is not read
// from: shorter ones would cost more than the messages.
const holdFor = 100 * time.Millisecond

// meter notes a message. Who sends more than it may is not refused anything, but
// read from more slowly: a page that subscribes to very many channels at once is
// served, only later.
func (x *session) meter() {
	s := x.shard
	perSecond := s.hub.opts.Protection.MessagesPerSecond
	if perSecond == 0 {
		return
	}
	g, now := s.guards[x], s.hub.opts.Now()
	if g.paid.Before(now) {
		g.paid = now
	}
	g.paid = g.paid.Add(time.Second / time.Duration(perSecond))
	if g.held || g.ahead(now) <= 0 {
		return
	}
	s.counters.Drop(metrics.DropMessageRate)
	s.hold(x, g, g.ahead(now))
}

// ahead is for how long a session that has sent too much has to wait: a second's
// worth it may send at once.
func (g *guard) ahead(now time.Time) time.Duration { return g.paid.Sub(now) - time.Second }

func (s *Shard) hold(x *session, g *guard, wait time.Duration) {
	g.held = true
	x.conn.Pause()
	time.AfterFunc(max(wait, holdFor), func() { // one at a time for each connection
		s.do(func() { s.letGo(x) })
	})
}

func (s *Shard) letGo(x *session) {
	g := s.guards[x]
	if g == nil { // it is closed
		return
	}
	if wait := g.ahead(s.hub.opts.Now()); wait > 0 { // for what had been read already
		s.hold(x, g, wait)
		return
	}
	g.held = false
	if !x.paused {
		x.conn.Resume()
	}
}

// holds reports whether a session is not read from because of what it sent.
func (s *Shard) holds(x *session) bool {
	g := s.guards[x]
	return g != nil && g.held
}
