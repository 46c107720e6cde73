package channels

import (
	"fmt"
	"runtime/debug"
	"strings"

	"dunlin/apps"
	"dunlin/internal/bucket"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// session is the state behind one connection. Only its loop touches it.
type session struct {
	shard  *Shard
	conn   transport.Conn
	app    *apps.App    // changes with a reload
	counts *metrics.App // of the app on this loop
	subs   subscriptions
	events bucket.Bucket // of client events
	user   *identity     // nil until signed in
	place  int32         // in shard.sessions

	authorized bool // signed in, or has joined a private channel once (PROTOCOL 1.40)
	closing    bool // Close was called
	closed     bool // the transport is done with it
	paused     bool
}

// Open implements transport.Handler (PROTOCOL 1.1–1.3, 1.35).
func (s *Shard) Open(c transport.Conn, h transport.Handshake) (transport.Session, *protocol.Error) {
	seat, bad := s.enter(h.Remote)
	if bad != nil {
		return nil, bad
	}
	app, bad := s.hub.admitConnection(h)
	if bad != nil {
		seat.Leave()
		s.counters.Drop(metrics.DropRefused)
		return nil, bad
	}
	x := &session{shard: s, conn: c, app: app, counts: s.hub.counters.App(s.index, app.ID), place: int32(len(s.sessions))}
	s.sessions = append(s.sessions, x)
	s.guarding(x, seat)
	x.counts.Opened.Add(1)
	x.counts.Connections.Add(1)
	if app.AuthorizedConnections {
		s.mustAuthorize(x)
	}
	c.Send(protocol.ConnectionEstablished(c.ID(), int(s.hub.opts.ActivityTimeout.Seconds())))
	return x, nil
}

// Message implements transport.Session. A fault in it costs this connection only,
// unless it left shared state half changed.
func (x *session) Message(payload []byte) {
	defer x.contain()
	if x.closing {
		return
	}
	x.meter()
	m, bad := protocol.DecodeClient(payload)
	x.received(m.Event, len(payload))
	if bad == nil {
		bad = x.handle(m)
	}
	if bad != nil {
		x.fail(bad)
	}
}

// received counts a message by its event; "" is one that has none.
func (x *session) received(event string, bytes int) {
	kind := metrics.ReceivedOther
	switch event {
	case "pusher:ping", "pusher:pong":
		kind = metrics.ReceivedPing
	case "pusher:subscribe":
		kind = metrics.ReceivedSubscribe
	case "pusher:unsubscribe":
		kind = metrics.ReceivedUnsubscribe
	case "pusher:signin":
		kind = metrics.ReceivedSignin
	default:
		if strings.HasPrefix(event, protocol.ClientEventPrefix) {
			kind = metrics.ReceivedClientEvent
		}
	}
	x.shard.counters.Received[kind].Add(1, uint64(bytes))
	x.counts.Received.Add(1, uint64(bytes))
}

func (x *session) handle(m protocol.ClientMessage) *protocol.Error {
	switch m.Event {
	case "pusher:ping":
		x.conn.Send(protocol.Pong)
	case "pusher:pong": // any message is a sign of life (PROTOCOL 1.23)
	case "pusher:subscribe":
		return x.subscribe(m)
	case "pusher:unsubscribe":
		return x.unsubscribe(m)
	case "pusher:signin":
		return x.signin(m)
	default:
		if strings.HasPrefix(m.Event, protocol.ClientEventPrefix) {
			return x.clientEvent(m)
		}
		return protocol.ErrUnknownEvent(m.Event)
	}
	return nil
}

// contain keeps a panic from ending more than the connection that caused it.
func (x *session) contain() {
	fault := recover()
	if fault == nil {
		return
	}
	s := x.shard
	s.counters.Drop(metrics.DropPanic)
	s.hub.log.Error("a message made the server panic",
		"socket_id", x.conn.ID().String(), "app", x.app.ID, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
	if s.mutating {
		panic(fault)
	}
	x.close(protocol.ErrReconnect)
}

// fail tells the client of an error that leaves the connection open.
func (x *session) fail(e *protocol.Error) { x.conn.Send(protocol.ErrorMessage(e)) }

func (x *session) close(e *protocol.Error) {
	x.closing = true
	x.conn.Close(e)
}

// Binary implements transport.Session (PROTOCOL 1.7).
func (x *session) Binary() {
	x.received("", 0)
	x.fail(protocol.ErrBinaryMessage)
}

// Closed implements transport.Session: the connection leaves all its channels
// (PROTOCOL 1.34).
func (x *session) Closed(error) {
	x.closing, x.closed = true, true
	for _, sub := range x.subs.list {
		x.shard.leave(sub)
	}
	x.subs = subscriptions{}
	x.signout()
	x.shard.hub.usage.of(x.app.ID).exit(x.shard.hub.engine)
	x.shard.unguard(x)
	x.counts.Closed.Add(1)
	x.counts.Connections.Add(-1)
	s := x.shard
	last := len(s.sessions) - 1
	s.sessions[x.place] = s.sessions[last]
	s.sessions[x.place].place = x.place
	s.sessions[last] = nil
	s.sessions = s.sessions[:last]
}

// subscriptions are a session's, found by channel name. Most have a handful: they
// stand in a list, and a map is made for those with many.
type subscriptions struct {
	list   []*subscription
	byName map[string]*subscription // nil up to fewSubscriptions
}

const fewSubscriptions = 12

func (l *subscriptions) find(name string) *subscription {
	if l.byName != nil {
		return l.byName[name]
	}
	for _, sub := range l.list {
		if sub.entry.key.Name == name {
			return sub
		}
	}
	return nil
}

func (l *subscriptions) add(sub *subscription) {
	sub.listed = int32(len(l.list))
	l.list = append(l.list, sub)
	switch {
	case l.byName != nil:
		l.byName[sub.entry.key.Name] = sub
	case len(l.list) > fewSubscriptions:
		l.byName = make(map[string]*subscription, 2*fewSubscriptions)
		for _, s := range l.list {
			l.byName[s.entry.key.Name] = s
		}
	}
}

func (l *subscriptions) remove(sub *subscription) {
	last := len(l.list) - 1
	l.list[sub.listed] = l.list[last]
	l.list[sub.listed].listed = sub.listed
	l.list[last] = nil
	l.list = l.list[:last]
	delete(l.byName, sub.entry.key.Name)
}
