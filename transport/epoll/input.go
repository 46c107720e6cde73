//go:build linux

package epoll

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"

	"dunlin/transport/wire"
)

// serve deals with an event of a connection.
func (l *loop) serve(c *conn, events uint32) {
	if events&unix.EPOLLOUT != 0 && c.queue != nil {
		l.flush(c)
		if c.state == stateGone {
			return
		}
	}
	switch {
	case c.flags&flagPaused != 0:
		// Input is not wanted, but the end would be reported again and again.
		if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			l.lose(c, nil)
		}
	case c.flags&flagLate != 0: // its socket waits, and makes the event again
	case events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0:
		l.read(c)
	}
}

// read takes one buffer of input. What is left makes another event, behind those
// of the others.
func (l *loop) read(c *conn) {
	n, errno := sysRead(c.fd, l.buf)
	switch {
	case errno == unix.EAGAIN:
	case errno != 0:
		l.lose(c, os.NewSyscallError("read", errno))
	case n == 0: // the peer's end
		l.lose(c, nil)
	default:
		l.input(c, l.buf[:n])
	}
}

// input deals with what was read of a connection; b is the loop's.
func (l *loop) input(c *conn, b []byte) {
	switch c.state {
	case stateDoor:
		l.knock(c, b)
	case stateOpen:
		l.tally.bytesIn += uint64(len(b))
		c.alive()
		l.later(c, bytes.Clone(l.frames(c, b)))
	}
}

// frames hands out what b holds, until the connection closes or has brought in
// enough for one turn. It returns what is left then.
func (l *loop) frames(c *conn, b []byte) (rest []byte) {
	l.reading = c
	rest = l.framesOf(c, b)
	l.reading = nil
	if c.state != stateOpen {
		c.reader.Release()
	}
	return rest
}

func (l *loop) framesOf(c *conn, b []byte) []byte {
	// A buffer of compressed messages can become a thousand times as long.
	for left := readBytes; c.state == stateOpen; {
		if left <= 0 && len(b) > 0 {
			return b
		}
		e, rest, bad := c.reader.Next(b, l.o.MaxMessageBytes, c.flags&flagDeflate != 0)
		if bad != nil {
			l.fail(c, bad)
			return nil
		}
		left -= len(e.Payload)
		switch e.Kind {
		case wire.None:
			return nil
		case wire.Text:
			l.tally.messagesIn++
			c.session.Message(e.Payload)
		case wire.Binary:
			l.tally.messagesIn++
			c.session.Binary()
		case wire.Ping:
			c.control(func(b []byte) []byte { return wire.AppendPong(b, e.Payload) })
		case wire.Close:
			c.flags |= flagPeerDone
			c.last(wire.AppendClose(nil, e.Code, string(e.Payload)))
			c.ended(nil)
		}
		b = rest
	}
	return nil
}

// late is input that was read, and left for the next turn.
type late struct {
	c    *conn
	rest []byte
}

// later leaves input for the next turn.
func (l *loop) later(c *conn, rest []byte) {
	if len(rest) > 0 && c.state == stateOpen {
		c.flags |= flagLate
		l.late = append(l.late, late{c, rest})
	}
}

// catchUp goes on with what was left.
func (l *loop) catchUp() {
	list := l.late
	l.late = nil
	for _, x := range list {
		x.c.flags &^= flagLate
		if x.c.state == stateOpen {
			l.later(x.c, l.frames(x.c, x.rest))
		}
	}
}
