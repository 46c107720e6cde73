package stream

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// conn is one connection. Its reader goroutine runs serve, its writer goroutine
// out.run, and the loop everything else.
type conn struct {
	// Static after construction
	loop    *loop
	socket  net.Conn // what was accepted
	id      protocol.SocketID
	adopted bool          // the path does not decide
	taken   chan struct{} // of one: the loop has dealt with the post
	out     *output

	// Set by the reader before the loop knows of the connection
	nc      net.Conn       // the socket, or TLS over it
	peer    transport.Peer // the other end, which a proxy may have told
	deflate bool           // permessage-deflate was negotiated

	// Owned by the loop
	session transport.Session // nil before it is open and after Closed
	state   state
	err     error // for Session.Closed
	touched bool
	pinged  time.Time // when the unanswered ping was sent

	seen atomic.Int64 // when bytes were last read, in Unix ns

	// Guarded by mu
	mu        sync.Mutex
	resumed   sync.Cond // signals that pausing or draining changed
	pausing   bool
	draining  bool // input is read and dropped until the peer closes
	abandoned bool // the server closes
}

type state uint8

const (
	stateNew    state = iota
	stateOpen         // the session lives
	stateClosed       // Close, a close frame, or the socket's end
)

func newConn(l *loop, nc net.Conn) *conn {
	c := &conn{loop: l, socket: nc, nc: nc, peer: transport.PeerOf(nc), id: protocol.NewSocketID(), taken: make(chan struct{}, 1)}
	c.out = newOutput(c)
	c.resumed.L = &c.mu
	return c
}

// ID implements transport.Conn.
func (c *conn) ID() protocol.SocketID { return c.id }

// Send implements transport.Conn.
func (c *conn) Send(f *protocol.Frame) {
	if c.state != stateOpen {
		return
	}
	if c.deflate {
		f = c.loop.server.deflater.Frame(f)
	}
	c.loop.count.Sent[f.Class()].Add(1, uint64(f.Size()))
	if !c.queue(f.WebSocket()) {
		c.tooSlow()
	}
}

// queue reports false when the peer reads too slowly.
func (c *conn) queue(b []byte) bool {
	size, ok := c.out.add(b)
	c.touch()
	if size >= flushBytes {
		c.out.ring()
	}
	return ok
}

func (c *conn) touch() {
	if !c.touched {
		c.touched = true
		c.loop.touched = append(c.loop.touched, c)
	}
}

func (c *conn) tooSlow() {
	c.loop.count.Drop(metrics.DropSlow)
	c.out.drop()
	c.close(protocol.ErrOverCapacity, protocol.ErrOverCapacity)
}

// Close implements transport.Conn.
func (c *conn) Close(e *protocol.Error) { c.close(e, nil) }

// close sends an error and its close frame. err is for Session.Closed.
func (c *conn) close(e *protocol.Error, err error) {
	if c.state != stateOpen {
		return
	}
	if e.Code >= protocol.CodeTLSOnly { // 1007 and 1009 are no errors of Pusher's
		f := protocol.ErrorMessage(e)
		c.loop.count.Sent[f.Class()].Add(1, uint64(f.Size()))
		c.queue(f.WebSocket())
	}
	c.queue(wire.AppendClose(nil, e.Code, e.Message))
	c.end(err)
	c.out.finish(false)
	c.drain()
}

// end is the end of the session, which hears of it when the turn's output is on
// its way.
func (c *conn) end(err error) {
	if c.state == stateOpen {
		c.err = err
		c.loop.ending = append(c.loop.ending, c)
	}
	c.state = stateClosed
}

// closed tells the session, if Open made one.
func (c *conn) closed() {
	s := c.session
	if s == nil {
		return
	}
	c.session = nil
	c.loop.count.Connections.Add(-1)
	s.Closed(c.err)
}

// drain lets the peer read the close frame: were the socket closed with input
// unread, the kernel would send a reset and the frame be lost.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	until := time.Now().Add(c.loop.o.Linger)
	c.nc.SetDeadline(until)
	c.resumed.Broadcast()
}

// Pause implements transport.Conn.
func (c *conn) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == stateOpen && !c.pausing {
		c.pausing = true
		c.nc.SetReadDeadline(time.Unix(1, 0)) // ends a read that is under way
	}
}

// Resume implements transport.Conn.
func (c *conn) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pausing {
		c.pausing = false
		if !c.draining {
			c.nc.SetReadDeadline(time.Time{})
		}
		c.seen.Store(time.Now().UnixNano())
		c.resumed.Broadcast()
	}
}

func (c *conn) abandon() {
	c.mu.Lock()
	c.abandoned = true
	c.resumed.Broadcast()
	c.mu.Unlock()
	c.out.abandon()
	c.socket.Close()
}

// open makes the session of an upgraded connection.
func (c *conn) open(p *post) {
	c.loop.conns[c] = struct{}{}
	c.state = stateOpen
	c.queue(p.reply)
	c.loop.o.Proxies.Introduce(&p.h, c.peer)
	var s transport.Session
	bad := p.bad
	if bad == nil {
		s, bad = c.loop.handler.Open(c, p.h)
	}
	if bad != nil {
		c.close(bad, nil)
		return
	}
	c.session = s
	c.loop.count.Connections.Add(1)
}

func (c *conn) event(e wire.Event) {
	if c.state != stateOpen {
		return
	}
	switch e.Kind {
	case wire.Text:
		c.loop.count.MessagesIn.Add(1)
		c.session.Message(e.Payload)
	case wire.Binary:
		c.loop.count.MessagesIn.Add(1)
		c.session.Binary()
	case wire.Ping:
		if !c.queue(wire.AppendPong(nil, e.Payload)) {
			c.tooSlow()
		}
	case wire.Close:
		c.queue(wire.AppendClose(nil, e.Code, string(e.Payload)))
		c.end(nil)
		c.out.finish(true)
		c.drain()
	}
}

// breakOff ends a connection whose frames were wrong.
func (c *conn) breakOff(bad *protocol.Error) {
	c.loop.count.Drop(wire.DropOf(bad))
	c.close(bad, bad)
}

// checkAlive pings a silent peer and closes one that did not answer (PROTOCOL
// 1.23), or that has not read for long.
func (c *conn) checkAlive(now time.Time) {
	if c.state != stateOpen {
		return
	}
	if c.out.slow(now) {
		c.tooSlow()
		return
	}
	if c.pausing { // only the loop changes it
		return
	}
	seen := time.Unix(0, c.seen.Load())
	switch {
	case !c.pinged.IsZero() && seen.After(c.pinged):
		c.pinged = time.Time{}
	case !c.pinged.IsZero() && now.Sub(c.pinged) > c.loop.o.PongTimeout:
		c.loop.count.Drop(metrics.DropPong)
		c.close(protocol.ErrPongTimeout, protocol.ErrPongTimeout)
	case c.pinged.IsZero() && now.Sub(seen) > c.loop.o.ActivityTimeout:
		c.pinged = now
		c.queue(wire.AppendPing(nil, nil))
	}
}
