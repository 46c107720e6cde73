package httpapi

import (
	"net"
	"sync"
)

// ConnListener is a net.Listener of connections that were accepted elsewhere:
// the node's one port is read by its loops, which push here what turns out to be
// HTTP. Make one with NewConnListener.
type ConnListener struct {
	addr net.Addr

	mu      sync.Mutex
	arrived sync.Cond  // on mu: a connection was pushed, or the listener closed
	queue   []net.Conn // guarded by mu
	closed  bool       // guarded by mu
}

// NewConnListener returns a listener that gives addr as its address.
func NewConnListener(addr net.Addr) *ConnListener {
	l := &ConnListener{addr: addr}
	l.arrived.L = &l.mu
	return l
}

// Push hands over a connection and never blocks. The queue holds no more than
// there are open connections. After Close the connection is closed.
func (l *ConnListener) Push(nc net.Conn) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		nc.Close()
		return
	}
	l.queue = append(l.queue, nc)
	l.mu.Unlock()
	l.arrived.Signal()
}

// Accept waits for a connection. After Close its error is net.ErrClosed.
func (l *ConnListener) Accept() (net.Conn, error) {
	defer l.mu.Unlock()
	l.mu.Lock()
	for len(l.queue) == 0 && !l.closed {
		l.arrived.Wait()
	}
	if l.closed {
		return nil, net.ErrClosed
	}
	nc := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil // or a burst's array would stay for good
	}
	return nc, nil
}

// Close ends Accept, and closes what was pushed and not yet accepted. It may be
// called more than once.
func (l *ConnListener) Close() error {
	l.mu.Lock()
	left := l.queue
	l.queue, l.closed = nil, true
	l.mu.Unlock()
	l.arrived.Broadcast()
	for _, nc := range left {
		nc.Close()
	}
	return nil
}

// Addr returns the address that NewConnListener was given.
func (l *ConnListener) Addr() net.Addr { return l.addr }
