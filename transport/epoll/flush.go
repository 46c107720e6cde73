//go:build linux

package epoll

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"dunlin/protocol"
)

const (
	// copyBytes is what is copied together for one write; more goes by writev.
	copyBytes = 16 << 10
	// Where frames are small on average, an iovec each costs the kernel more than
	// the copying, up to so much. BenchmarkFlush compares.
	copySmall  = turnBytes + copyBytes
	smallFrame = 1 << 10
	maxIovecs  = 1024 // UIO_MAXIOV
)

// output is a loop's memory for writing.
type output struct {
	spare   []*queue          // empty ones
	idle    int               // the fewest that spare had since the last trim
	scratch []byte            // frames joined
	joined  []*protocol.Frame // what scratch holds
	iovecs  []unix.Iovec
	message unix.Msghdr
}

// forget lets the frames of the last flush go.
func (o *output) forget() {
	if len(o.joined) > 0 {
		clear(o.joined)
		o.joined = o.joined[:0]
		o.scratch = o.scratch[:0]
	}
}

// flush writes what c has until that is all or the socket takes no more.
func (l *loop) flush(c *conn) {
	q := c.queue
	for q.size > 0 {
		n, errno := l.write(c.fd, q)
		switch errno {
		case 0:
			l.tally.writes++
			l.tally.bytesOut += uint64(n)
			if n == q.size { // nearly always
				q.size = 0
				continue
			}
			q.consume(n)
		case unix.EAGAIN:
			l.refused(c)
			return
		default:
			l.lose(c, os.NewSyscallError("write", errno))
			return
		}
	}
	l.flushed(c)
}

// refused notes that the socket takes no more for now. From here on bytes count.
func (l *loop) refused(c *conn) {
	q := c.queue
	if !q.blocked {
		q.blocked = true
		l.watch(c)
	}
	if c.state == stateOpen {
		q.limit = l.o.MaxPendingBytes + 1
		if q.size >= q.limit {
			c.tooSlow()
		}
	}
}

// flushed goes on when all has left.
func (l *loop) flushed(c *conn) {
	blocked := c.queue.blocked
	l.output.give(c.queue)
	c.queue = nil
	if c.state == stateClosing && l.closed(c) {
		return
	}
	if blocked {
		l.watch(c)
	}
}

// closed goes on when the close frame has left. It reports whether the
// connection is gone: when both sides have said that they close. Else the peer
// must get the time to read: were the descriptor closed with input unread, the
// kernel would send a reset, and the peer's kernel drop what it has not read.
func (l *loop) closed(c *conn) bool {
	if c.flags&flagPeerDone != 0 {
		l.lose(c, nil)
		return true
	}
	c.state = stateLinger
	sysShutdown(c.fd)
	return false
}

// write is one write of as much of q as one call takes.
func (l *loop) write(fd int32, q *queue) (int, unix.Errno) {
	plain := q.offset == 0 && len(q.control) == 0 && len(q.last) == 0
	switch {
	case plain && len(q.frames) == 1:
		return sysWrite(fd, q.frames[0].WebSocket())
	case q.size > copyBytes && (q.size > copySmall || q.size > smallFrame*len(q.frames)):
		return l.writev(fd, q)
	case plain:
		return sysWrite(fd, l.output.join(q.frames))
	}
	l.output.forget()
	l.output.scratch = q.appendTo(l.output.scratch[:0])
	b := l.output.scratch
	l.output.scratch = b[:0]
	return sysWrite(fd, b)
}

// join returns the bytes of frames in a row. Connections that are flushed one
// after the other often have equal lists: subscribers of one channel.
func (o *output) join(frames []*protocol.Frame) []byte {
	if slices.Equal(o.joined, frames) {
		return o.scratch
	}
	clear(o.joined)
	o.joined = append(o.joined[:0], frames...)
	o.scratch = o.scratch[:0]
	for _, f := range frames {
		o.scratch = append(o.scratch, f.WebSocket()...)
	}
	return o.scratch
}

// pieces calls yield with everything that q holds, in its order.
func (q *queue) pieces(yield func([]byte) bool) {
	frames := q.frames
	if q.offset > 0 {
		if !yield(frames[0].WebSocket()[q.offset:]) {
			return
		}
		frames = frames[1:]
	}
	if len(q.control) > 0 && !yield(q.control) {
		return
	}
	for _, f := range frames {
		if !yield(f.WebSocket()) {
			return
		}
	}
	if len(q.last) > 0 {
		yield(q.last)
	}
}

func (q *queue) appendTo(b []byte) []byte {
	for piece := range q.pieces {
		b = append(b, piece...)
	}
	return b
}

// writev writes from where the frames lie.
func (l *loop) writev(fd int32, q *queue) (int, unix.Errno) {
	o := &l.output
	o.iovecs = o.iovecs[:0]
	for piece := range q.pieces {
		v := unix.Iovec{Base: &piece[0]}
		v.SetLen(len(piece))
		if o.iovecs = append(o.iovecs, v); len(o.iovecs) == maxIovecs {
			break
		}
	}
	o.message.Iov = &o.iovecs[0]
	o.message.SetIovlen(len(o.iovecs))
	n, errno := sysWritev(fd, &o.message)
	o.message.Iov = nil
	clear(o.iovecs)
	return n, errno
}
