//go:build linux

package epoll

import (
	"math"

	"golang.org/x/sys/unix"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// conn is one connection. An idle one has nothing else in this package but its
// place in the table: TestIdleSize holds its size.
type conn struct {
	// Static after construction
	loop *loop
	id   protocol.SocketID

	// Owned by the loop
	session transport.Session // nil before Open and once it was told of the end
	queue   *queue            // nil when nothing waits to be written
	reader  wire.Reader
	fd      int32
	place   uint32 // in the table
	mark    uint32 // tick from which the state's timeout counts
	state   state
	flags   flags
}

type state uint8

const (
	stateDoor    state = iota // the upgrade request is being read
	stateOpen                 // the session lives
	stateClosing              // the close frame, or an HTTP refusal, waits to be written
	stateLinger               // it is written; the peer is to close, and input is dropped
	stateGone                 // the descriptor is closed
)

type flags uint8

const (
	flagTouched  flags = 1 << iota // is in loop.touched
	flagPaused                     // the session wants no input
	flagPinged                     // mark is when a ping was sent
	flagAdopted                    // the path does not decide what it is
	flagPeerDone                   // the peer has sent its close frame
	flagSurplus                    // lives on one of the descriptors kept for the file limit
	flagDeflate                    // permessage-deflate was negotiated
	flagLate                       // has input in loop.late, which goes before what its socket has
)

// ID implements transport.Conn.
func (c *conn) ID() protocol.SocketID { return c.id }

// Send implements transport.Conn.
func (c *conn) Send(f *protocol.Frame) {
	if c.state != stateOpen {
		return
	}
	if c.flags&flagDeflate != 0 {
		f = c.loop.deflater.Frame(f)
	}
	q := c.pending()
	c.loop.tally.sending(f)
	q.frames = append(q.frames, f)
	if q.size += f.Size(); q.size >= q.limit {
		c.full()
	}
}

// pending returns the connection's queue. A new one is flushed at the end of the
// turn.
func (c *conn) pending() *queue {
	if c.queue == nil {
		c.begin()
	}
	return c.queue
}

func (c *conn) begin() {
	c.queue = c.loop.output.take()
	c.loop.touch(c)
}

// full is called when the queue has reached its limit: that of what may gather
// in a turn, or that of what the socket may refuse.
func (c *conn) full() {
	if !c.queue.blocked {
		c.loop.flush(c)
		return
	}
	c.tooSlow()
}

// tooSlow closes a connection whose socket refused too much. What it has not
// begun to write is lost.
func (c *conn) tooSlow() {
	c.loop.count.Drop(metrics.DropSlow)
	c.queue.drop()
	c.close(protocol.ErrOverCapacity, protocol.ErrOverCapacity)
}

// control queues a control frame, or other bytes that need not wait for frames.
func (c *conn) control(build func([]byte) []byte) {
	q := c.pending()
	before := len(q.control)
	q.control = build(q.control)
	if q.size += len(q.control) - before; q.size >= q.limit {
		c.full()
	}
}

// Close implements transport.Conn.
func (c *conn) Close(e *protocol.Error) { c.close(e, nil) }

// close queues an error and its close frame behind what waits. err is for
// Session.Closed.
func (c *conn) close(e *protocol.Error, err error) {
	if c.state != stateOpen {
		return
	}
	q := c.pending()
	if e.Code >= protocol.CodeTLSOnly { // 1007 and 1009 are no errors of Pusher's
		f := protocol.ErrorMessage(e)
		c.loop.tally.sending(f)
		q.frames = append(q.frames, f)
		q.size += f.Size()
	}
	c.last(wire.AppendClose(nil, e.Code, e.Message))
	c.ended(err)
}

// last queues the bytes that end the connection. Its timeout begins.
func (c *conn) last(b []byte) {
	l := c.loop
	q := c.pending()
	q.last = b
	q.size += len(b)
	q.limit = math.MaxInt // nothing more comes
	c.state, c.mark = stateClosing, l.tick
	l.put(c, l.tick+l.timeout.linger)
	if c.flags&flagPaused != 0 { // what comes in now must be dropped, not kept
		c.flags &^= flagPaused
		l.watch(c)
	}
	if !q.blocked {
		l.touch(c)
	}
}

// ended puts the session on the list of those that are to hear Closed.
func (c *conn) ended(err error) {
	if c.loop.reading != c { // else a session may be looking at what the reader holds
		c.reader.Release()
	}
	if c.session != nil {
		c.loop.endings = append(c.loop.endings, ending{c.session, err})
		c.session = nil
	}
}

// Pause implements transport.Conn.
func (c *conn) Pause() {
	if c.state == stateOpen && c.flags&flagPaused == 0 {
		c.flags |= flagPaused
		c.loop.watch(c)
	}
}

// Resume implements transport.Conn.
func (c *conn) Resume() {
	if c.flags&flagPaused == 0 {
		return
	}
	c.flags &^= flagPaused
	if c.state == stateOpen {
		c.alive() // it could not show that it is
		c.loop.watch(c)
	}
}

// alive notes that something was received.
func (c *conn) alive() {
	c.mark = c.loop.tick
	c.flags &^= flagPinged
}

// watch tells the kernel which events the connection waits for now.
func (l *loop) watch(c *conn) {
	e := l.table.event(c, c.events())
	if err := sysControl(l.ep, unix.EPOLL_CTL_MOD, c.fd, &e); err != nil {
		panic("changing the events of a connection: " + err.Error()) // it is in there
	}
}

func (c *conn) events() uint32 {
	e := uint32(unix.EPOLLRDHUP)
	if c.flags&flagPaused == 0 {
		e |= unix.EPOLLIN
	}
	if c.queue != nil && c.queue.blocked {
		e |= unix.EPOLLOUT
	}
	return e
}

// expire is called when a connection's time on the wheel is up.
func (l *loop) expire(c *conn) {
	t := &l.timeout
	switch c.state {
	case stateDoor:
		if l.due(c, l.doorTimeout(c)) {
			l.count.Drop(metrics.DropHandshake)
			l.lose(c, nil)
		}
	case stateOpen:
		l.checkAlive(c)
	default:
		if l.due(c, t.linger) {
			l.lose(c, nil)
		}
	}
}

// due reports whether a timeout that began at c.mark is over, and puts c on the
// wheel again if not.
func (l *loop) due(c *conn, timeout uint32) bool {
	at := c.mark + timeout
	if int32(at-l.tick) <= 0 {
		return true
	}
	if c.flags&flagPinged != 0 { // the answer will begin a time that may end sooner
		at = min(at, l.tick+l.timeout.activity)
	}
	l.put(c, at)
	return false
}

// checkAlive pings a silent peer, and closes one that did not answer (PROTOCOL
// 1.23).
func (l *loop) checkAlive(c *conn) {
	t := &l.timeout
	switch {
	case c.flags&flagPaused != 0:
		l.put(c, l.tick+t.activity)
	case c.flags&flagPinged != 0:
		if l.due(c, t.pong) {
			l.count.Drop(metrics.DropPong)
			c.close(protocol.ErrPongTimeout, protocol.ErrPongTimeout)
		}
	case l.due(c, t.activity):
		c.mark = l.tick
		c.flags |= flagPinged
		l.due(c, t.pong)
		c.control(func(b []byte) []byte { return wire.AppendPing(b, nil) })
	}
}

// lose closes a connection's descriptor at once and forgets it.
func (l *loop) lose(c *conn, err error) {
	if c.state == stateGone {
		return
	}
	l.forget(c)
	if c.flags&flagSurplus != 0 {
		l.limit.back(c.fd)
		l.hearAgain()
	} else {
		sysClose(c.fd) // no duplicate is left, so the epoll forgets it too
	}
	c.ended(err)
}

// forget takes a connection out of everything but its descriptor.
func (l *loop) forget(c *conn) {
	c.state = stateGone
	if c.queue != nil {
		l.output.give(c.queue)
		c.queue = nil
	}
	delete(l.requests, c)
	delete(l.peers, c)
	l.leaveDoor(c)
	l.takeOff(c)
	l.table.remove(c)
}
