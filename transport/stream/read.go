package stream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"dunlin/internal/addrlimit"
	"dunlin/metrics"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// readBytes is the size of a reader's buffer.
const readBytes = 4 << 10

// serve is the reader goroutine: the upgrade, then frames, then what is left of
// the input after the close frame.
func (c *conn) serve(read []byte) {
	defer c.loop.server.forget(c)
	c.seen.Store(time.Now().UnixNano())
	c.nc.SetDeadline(time.Now().Add(c.loop.o.HandshakeTimeout))
	seat, ok := c.enterDoor()
	if !ok {
		c.loop.count.Drop(metrics.DropDoor)
		c.nc.Close()
		return
	}
	read, bad, err := c.arrive(read)
	if err != nil {
		seat.Leave()
		c.refuseUpgrade(err)
		return
	}
	request, rest, verdict, err := c.request(read)
	seat.Leave()
	c.nc.SetWriteDeadline(time.Time{})
	switch {
	case err != nil:
		c.refuseUpgrade(err)
	case verdict == wire.HTTP && bad != nil:
		c.refuseUpgrade(errPlain)
	case verdict == wire.HTTP:
		c.handOver(request)
	default:
		h, reply, err := c.loop.server.up.Upgrade(request)
		if err != nil {
			c.refuseUpgrade(err)
			return
		}
		c.deflate = h.Deflate
		c.websocket(post{c: c, what: opened, h: h, reply: reply, bad: bad}, rest)
	}
}

// enterDoor judges a connection that was accepted here.
func (c *conn) enterDoor() (*addrlimit.Seat, bool) {
	if c.adopted {
		return nil, true
	}
	return c.loop.o.EnterDoor(c.peer.Addr)
}

// request reads until it is clear that this is HTTP, or until the upgrade
// request is whole. rest is what was read beyond that.
func (c *conn) request(read []byte) (request, rest []byte, v wire.Verdict, err error) {
	buf := append(make([]byte, 0, max(len(read), 1<<10)), read...)
	searched := 0
	for {
		if v = wire.WebSocket; !c.adopted {
			v = c.loop.server.door.Classify(buf)
		}
		if v == wire.HTTP {
			return buf, nil, v, nil
		}
		if n := wire.HeaderEnd(buf, searched); n > 0 {
			return buf[:n], buf[n:], v, nil
		}
		if searched = len(buf); searched >= wire.MaxHeader {
			return nil, nil, v, wire.ErrHeaderTooLarge
		}
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, len(buf))...)[:len(buf)]
		}
		n, err := c.nc.Read(buf[len(buf):cap(buf)])
		if buf = buf[:len(buf)+n]; n == 0 && err != nil {
			return nil, nil, v, err
		}
	}
}

// handOver gives the connection to HTTP.
func (c *conn) handOver(read []byte) {
	if c.loop.o.HTTP == nil {
		c.nc.Close()
		return
	}
	c.nc.SetReadDeadline(time.Time{})
	c.loop.o.HTTP(transport.ReplayOf(c.nc, read, c.peer))
}

// refuseUpgrade answers a bad request, and closes.
func (c *conn) refuseUpgrade(err error) {
	defer c.nc.Close()
	var refused *wire.Refusal
	switch {
	case errors.As(err, &refused):
		c.loop.count.Drop(metrics.DropBadRequest)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.loop.count.Drop(metrics.DropHandshake)
		return
	case errors.Is(err, wire.ErrProxyHeader):
		c.loop.count.Drop(metrics.DropProxy)
		return
	case errors.Is(err, errTLS):
		c.loop.count.Drop(metrics.DropTLS)
		return
	default: // the peer went away
		return
	}
	c.nc.SetDeadline(time.Now().Add(c.loop.o.Linger))
	if _, err := c.nc.Write(refused.Response()); err != nil {
		return
	}
	c.discard()
}

// discard half-closes and reads until the peer closes or the deadline comes.
func (c *conn) discard() {
	if h, ok := c.nc.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
	}
	io.Copy(io.Discard, c.nc)
}

// websocket is the reader's life after a good request.
func (c *conn) websocket(first post, rest []byte) {
	c.nc.SetReadDeadline(time.Time{})
	var writer sync.WaitGroup
	writer.Go(c.out.run)
	var err error
	if c.loop.post(first) {
		err = c.frames(rest)
	}
	if c.waitOutput() {
		io.Copy(io.Discard, c.nc)
	}
	c.nc.Close()
	c.loop.post(post{c: c, what: gone, err: err})
	c.out.abandon()
	writer.Wait()
}

// waitOutput reports whether the connection is being closed in good order.
func (c *conn) waitOutput() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining && !c.abandoned
}

// frames reads and posts until the input ends or is of no more use. It returns
// nil when the peer ended it.
func (c *conn) frames(rest []byte) error {
	buf := make([]byte, readBytes)
	var r wire.Reader
	defer r.Release()
	for {
		if !c.handle(&r, rest) || !c.mayRead() {
			return nil
		}
		n, err := c.nc.Read(buf)
		if n > 0 {
			c.seen.Store(time.Now().UnixNano())
			c.loop.count.BytesIn.Add(uint64(n))
		}
		rest = buf[:n]
		switch {
		case n > 0 || err == nil || c.interrupted(err):
		case errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed):
			return nil
		default:
			return err
		}
	}
}

// handle posts what a chunk holds. It reports false after which nothing counts.
func (c *conn) handle(r *wire.Reader, chunk []byte) bool {
	for {
		e, rest, bad := r.Next(chunk, c.loop.o.MaxMessageBytes, c.deflate)
		switch {
		case bad != nil:
			c.loop.post(post{c: c, what: broken, bad: bad})
			return false
		case e.Kind == wire.None:
			return true
		case !c.loop.post(post{c: c, what: event, event: e}) || e.Kind == wire.Close:
			return false
		}
		chunk = rest
	}
}

// mayRead waits while the connection is paused, and reports false when input is
// no longer wanted.
func (c *conn) mayRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pausing && !c.draining && !c.abandoned {
		c.resumed.Wait()
	}
	return !c.draining && !c.abandoned
}

// interrupted tells the deadline that Pause and drain set from an error.
func (c *conn) interrupted(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pausing && !c.draining {
		c.nc.SetReadDeadline(time.Time{}) // Resume came in between
	}
	return true
}
