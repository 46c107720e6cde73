//go:build linux

package epoll

import (
	"os"

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
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, int(l.listeners[i].fd), &e))
}

// deafen closes the listeners. Connections that the kernel has accepted by then
// are taken, or their clients would see a reset.
func (l *loop) deafen() {
	for i := range l.listeners {
		for turns := 0; l.handler != nil && turns < lastAccepts && l.accept(i); turns++ {
		}
		sysClose(l.listeners[i].fd)
	}
	l.listeners, l.limit.deaf = nil, false
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
			l.add(fd, 0)
		case unix.EAGAIN:
			return false
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			if !l.acceptSurplus(l.listeners[i].fd) {
				return false
			}
		default: // of the one connection: it died while it waited, for one
		}
	}
	return true
}

// add makes a connection of a socket, which is closed if that fails.
func (l *loop) add(fd int32, f flags) *conn {
	c := &conn{loop: l, id: protocol.NewSocketID(), fd: fd, flags: f, mark: l.tick}
	l.table.add(c)
	e := l.table.event(c, c.events())
	if err := unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, int(fd), &e); err != nil {
		l.o.Log.Warn("watching a connection failed", "error", err) // the system is out of memory
		l.lose(c, nil)
		return nil
	}
	timeout := l.timeout.handshake
	if f&flagSurplus != 0 {
		timeout = min(timeout, l.timeout.linger)
	}
	l.put(c, l.tick+timeout)
	return c
}

// fileLimit is what a loop does when the process may open no more files. A few
// descriptors are kept for it: one is closed, which lets one connection be
// accepted, told that there is no room, and closed. When all are in use the
// loop stops listening until one is back. It never spins.
type fileLimit struct {
	kept []int32
	deaf bool // the listeners are not in the epoll
}

// reserved is how many connections a loop can turn away at a time.
const reserved = 4

// reserve opens what is missing.
func (f *fileLimit) reserve() error {
	for len(f.kept) < reserved {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("open", err)
		}
		f.kept = append(f.kept, int32(fd))
	}
	return nil
}

// spend closes one descriptor.
func (f *fileLimit) spend() bool {
	n := len(f.kept)
	if n == 0 {
		return false
	}
	sysClose(f.kept[n-1])
	f.kept = f.kept[:n-1]
	return true
}

// short reports whether the limit was felt and is not forgotten.
func (f *fileLimit) short() bool { return f.deaf || len(f.kept) < reserved }

func (f *fileLimit) release() {
	for f.spend() {
	}
}

// acceptSurplus accepts a connection for which there is no descriptor. It
// reports false when it could not: then nothing is accepted for a while.
func (l *loop) acceptSurplus(from int32) bool {
	if l.limit.spend() {
		fd, errno := sysAccept(from)
		switch errno {
		case 0:
			l.count.Accepted.Add(1)
			l.count.Drop(metrics.DropFileLimit)
			l.add(fd, flagSurplus)
			return true
		case unix.EAGAIN: // another loop was faster
			l.hearAgain()
			return false
		}
	}
	l.o.Log.Warn("out of file descriptors: not accepting connections for now", "loop", l.index)
	for i := range l.listeners {
		unix.EpollCtl(l.ep, unix.EPOLL_CTL_DEL, int(l.listeners[i].fd), nil) // is in there
	}
	l.limit.deaf = true
	return false
}

// hearAgain fills the reserve, and listens again once there is a descriptor to
// turn connections away with. It is called in every tick.
func (l *loop) hearAgain() {
	if !l.limit.short() {
		return
	}
	l.limit.reserve() // as far as it goes; the next tick tries again
	if !l.limit.deaf || len(l.limit.kept) == 0 {
		return
	}
	l.limit.deaf = false
	for i := range l.listeners {
		if err := l.listen(i); err != nil {
			l.o.Log.Error("listening again failed", "error", err)
		}
	}
}
