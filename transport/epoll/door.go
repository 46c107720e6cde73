//go:build linux

package epoll

import (
	"bytes"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// knock deals with input of a connection that is not upgraded.
func (l *loop) knock(c *conn, b []byte) {
	before, split := l.requests[c]
	if split {
		b = append(before, b...)
	}
	if l.o.Proxies.Header && c.flags&flagAdopted == 0 {
		if _, known := l.peers[c]; !known {
			if b = l.introduce(c, b, split); len(b) == 0 {
				return
			}
			before, split = nil, false // what was searched had the header in front
			delete(l.requests, c)
		}
	}
	verdict := wire.WebSocket
	if c.flags&flagAdopted == 0 {
		verdict = l.door.Classify(b)
	}
	switch verdict {
	case wire.HTTP:
		l.handOver(c, b)
	case wire.WebSocket:
		l.request(c, b, len(before))
	default:
		l.keep(c, b, split)
	}
}

// introduce reads a PROXY header, where the other end is a proxy that sends one, and
// returns what is behind it; nothing when more has to come first.
func (l *loop) introduce(c *conn, b []byte, owned bool) []byte {
	peer := transport.Peer{Addr: peerOf(c.fd)}
	if !l.o.Proxies.Trust(peer.Addr) {
		l.peers[c] = peer
		return b
	}
	n, from, err := wire.ProxyHeader(b, peer)
	switch {
	case err != nil: // nobody is there to whom an answer would mean anything
		l.count.Drop(metrics.DropProxy)
		l.lose(c, nil)
		return nil
	case n == 0:
		l.keep(c, b, owned)
		return nil
	}
	l.peers[c] = from
	delete(l.requests, c)
	return b[n:]
}

// peer is the other end of a connection at the door.
func (l *loop) peer(c *conn) transport.Peer {
	if p, ok := l.peers[c]; ok {
		delete(l.peers, c)
		return p
	}
	return transport.Peer{Addr: peerOf(c.fd)}
}

// keep stores the part of a request that has come.
func (l *loop) keep(c *conn, b []byte, owned bool) {
	if !owned { // it is the loop's buffer
		b = append(make([]byte, 0, max(512, len(b))), b...)
	}
	l.requests[c] = b
}

// request upgrades c once its request is whole. The first searched bytes do not
// hold the request's end.
func (l *loop) request(c *conn, b []byte, searched int) {
	n := wire.HeaderEnd(b, searched)
	switch {
	case n > 0:
		delete(l.requests, c)
		l.upgrade(c, b[:n], b[n:])
	case len(b) >= wire.MaxHeader:
		l.refuse(c, wire.ErrHeaderTooLarge)
	default:
		l.keep(c, b, searched > 0)
	}
}

func (l *loop) upgrade(c *conn, request, rest []byte) {
	h, response, err := l.up.Upgrade(request)
	var refused *wire.Refusal
	if errors.As(err, &refused) {
		l.refuse(c, refused)
		return
	}
	l.leaveDoor(c)
	c.state = stateOpen
	c.alive()
	l.put(c, l.tick+l.timeout.activity)
	c.control(func(b []byte) []byte { return append(b, response...) })
	if c.flags&flagSurplus != 0 {
		c.close(protocol.ErrOverCapacity, nil)
		return
	}
	if h.Deflate {
		c.flags |= flagDeflate
	}
	l.o.Proxies.Introduce(&h, l.peer(c))
	session, bad := l.handler.Open(c, h)
	if bad != nil {
		c.close(bad, nil)
		return
	}
	l.count.Connections.Add(1)
	if c.session = session; c.state != stateOpen { // Open has closed it
		c.ended(nil)
		return
	}
	l.tally.bytesIn += uint64(len(rest))
	l.later(c, bytes.Clone(l.frames(c, rest)))
}

// refuse answers a request with an HTTP error, and ends the connection.
func (l *loop) refuse(c *conn, r *wire.Refusal) {
	if c.flags&flagSurplus == 0 {
		l.count.Drop(metrics.DropBadRequest)
	}
	delete(l.requests, c)
	c.last(r.Response())
}

// peerOf is the address of the other end, nil when it is gone.
func peerOf(fd int32) net.Addr {
	sa, err := sysPeer(fd)
	if err != nil {
		return nil
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port, Zone: zone(sa.ZoneId)}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return nil
}

func zone(id uint32) string {
	if id == 0 {
		return ""
	}
	i, err := net.InterfaceByIndex(int(id))
	if err != nil {
		return ""
	}
	return i.Name
}

// handOver gives a connection to HTTP, with what was read of it.
func (l *loop) handOver(c *conn, read []byte) {
	switch {
	case c.flags&flagSurplus != 0:
		l.refuse(c, wire.ErrOverCapacity)
		return
	case l.o.HTTP == nil:
		l.lose(c, nil)
		return
	}
	peer := l.peer(c)
	sysControl(l.ep, unix.EPOLL_CTL_DEL, c.fd, nil) // is in there
	l.forget(c)
	nc, err := l.toNet(c.fd)
	if err != nil {
		l.o.Log.Warn("handing a connection to HTTP failed", "error", err)
		return
	}
	l.o.HTTP(transport.ReplayOf(nc, read, peer))
}

// toNet makes a net.Conn of a socket, which is closed in any case: the standard
// library works on a duplicate. At the file limit that takes a descriptor of the
// reserve for a moment.
func (l *loop) toNet(fd int32) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	nc, err := net.FileConn(f)
	if (errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)) && l.limit.spend() {
		nc, err = net.FileConn(f)
	}
	f.Close()
	l.limit.refill() // what is still missing is tried again in a tick
	return nc, err
}

// adopt takes over a descriptor whose request was read elsewhere.
func (l *loop) adopt(fd int32, peer transport.Peer, request []byte) {
	if l.quitting.Load() {
		sysClose(fd)
		return
	}
	if c := l.add(fd, flagAdopted); c != nil {
		l.peers[c] = peer
		l.input(c, request)
	}
}
