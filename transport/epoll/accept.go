//go:build linux

package epoll

import (
	"golang.org/x/sys/unix"

	"dunlin/metrics"
	"dunlin/protocol"
)

// acceptsPerTurn bounds what new connections may take of a turn.
const acceptsPerTurn = 64

// lastAccepts bounds, in such portions, what is taken while a listener closes.
const lastAccepts = 64

// hear puts the loop's sockets into its epoll.
func (l *loop) hear(sockets []listener) error {
	l.listeners = sockets
	for i := range sockets {
		if err := l.listen(i); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) listen(i int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i), Pad: ofListener}
	if l.listeners[i].shared {
		e.Events |= unix.EPOLLEXCLUSIVE // wake one of the loops
	}
	return sysControl(l.ep, unix.EPOLL_CTL_ADD, l.listeners[i].fd, &e)
}

// acceptRest takes the connections that the kernel has accepted by now: their
// clients would see a reset when the listener is closed.
func (l *loop) acceptRest() {
	for i := range l.listeners {
		for turns := 0; turns < lastAccepts && l.accept(i); turns++ {
		}
	}
}

// deafen closes the listeners. While another process has a duplicate, closing
// alone would not take them out of the epoll.
func (l *loop) deafen() {
	for _, s := range l.listeners {
		unix.EpollCtl(l.ep, unix.EPOLL_CTL_DEL, int(s.fd), nil) // it is not in there when starting has failed
		sysClose(s.fd)
	}
	l.listeners, l.deaf = nil, false
}

// accept takes new connections, some at a time. It reports whether there may be
// more.
func (l *loop) accept(i int) (more bool) {
	if i >= len(l.listeners) {
		return false // closed since the event
	}
	for range acceptsPerTurn {
		fd, errno := sysAccept(l.listeners[i].fd)
		switch errno {
		case 0:
			l.count.Accepted.Add(1)
			l.welcome(fd)
		case unix.EAGAIN:
			return false
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			if !l.limit.spend() { // else the next accept has what that has freed
				l.goDeaf()
				return false
			}
		default: // of the one connection: it died while it waited, for one
		}
	}
	return true
}

// welcome makes a connection of an accepted socket, be it to turn it away.
func (l *loop) welcome(fd int32) {
	if !l.limit.owed() {
		l.limited = false
		l.admit(fd)
		return
	}
	l.count.Drop(metrics.DropFileLimit)
	l.add(fd, flagSurplus)
}

// admit makes a connection of a socket, unless its address has too many at the door.
func (l *loop) admit(fd int32) {
	if l.o.Door == nil {
		l.add(fd, 0)
		return
	}
	seat, ok := l.o.EnterDoor(peerOf(fd))
	if !ok {
		l.count.Drop(metrics.DropDoor)
		sysClose(fd)
		return
	}
	if c := l.add(fd, 0); c != nil && seat != nil {
		l.seats[c] = seat
	} else {
		seat.Leave()
	}
}

// leaveDoor gives back the place at the door that a connection has, if it has one.
func (l *loop) leaveDoor(c *conn) {
	if seat, ok := l.seats[c]; ok {
		delete(l.seats, c)
		seat.Leave()
	}
}

// add makes a connection of a socket, which is closed if that fails.
func (l *loop) add(fd int32, f flags) *conn {
	c := &conn{loop: l, id: protocol.NewSocketID(), fd: fd, flags: f, mark: l.tick}
	l.table.add(c)
	e := l.table.event(c, c.events())
	if err := sysControl(l.ep, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		l.o.Log.Warn("watching a connection failed", "error", err) // the system is out of memory
		l.lose(c, nil)
		return nil
	}
	l.put(c, l.tick+l.doorTimeout(c))
	return c
}

// doorTimeout is how long c may take for its request. Others wait for the
// descriptor of a surplus one.
func (l *loop) doorTimeout(c *conn) uint32 {
	if c.flags&flagSurplus != 0 {
		return min(l.timeout.handshake, l.timeout.linger)
	}
	return l.timeout.handshake
}
