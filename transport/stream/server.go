// Package stream is the portable transport: two goroutines a connection, on any
// net.Conn, TLS included. It is also what transport/epoll is held against.
package stream

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dunlin/transport"
	"dunlin/transport/wire"
)

// Server is a transport.Server.
type Server struct {
	// Static after construction
	o        transport.Options
	door     wire.Door
	up       wire.Upgrader
	deflater wire.Deflater
	loops    []*loop
	addrs    []net.Addr

	next atomic.Uint32  // loop of the next connection
	wg   sync.WaitGroup // every goroutine but the loops'
	runs sync.WaitGroup // the loops

	// Guarded by mu
	mu        sync.Mutex
	listeners map[transport.Address][]net.Listener
	conns     map[*conn]struct{}
	closed    bool
}

var _ transport.Server = (*Server)(nil)

// Listen starts a server on the addresses, of which there may be none: then it
// lives of Adopt and Serve. A taken port is an error that names it.
func Listen(addresses []transport.Address, o transport.Options, newHandler transport.NewHandler) (*Server, error) {
	o = o.WithDefaults()
	s := &Server{
		o: o, door: wire.NewDoor(o.PathPrefix), up: wire.NewUpgrader(o.PathPrefix, o.CompressFrom > 0).Behind(o.Proxies),
		deflater:  wire.NewDeflater(o.CompressFrom),
		listeners: make(map[transport.Address][]net.Listener), conns: make(map[*conn]struct{}),
	}
	for _, a := range addresses {
		opened, err := open(a, o.Inherited[a])
		if err != nil {
			s.Shutdown()
			return nil, fmt.Errorf("listening: %w", err)
		}
		s.listeners[a] = opened
		s.addrs = append(s.addrs, opened[0].Addr())
	}
	for i := range o.Loops {
		s.loops = append(s.loops, newLoop(s, o.FirstLoop+i))
	}
	for _, l := range s.loops {
		l.handler = newHandler(l)
		s.runs.Go(l.run)
	}
	for _, opened := range s.listeners {
		for _, l := range opened {
			s.wg.Go(func() { s.accept(l) })
		}
	}
	return s, nil
}

// open listens on an address, with the sockets that are inherited if there are any.
func open(a transport.Address, inherited []*os.File) (opened []net.Listener, err error) {
	for _, f := range inherited {
		l, err := transport.Inherit(f)
		if err != nil {
			closeAll(opened)
			return nil, fmt.Errorf("inheriting the listener of %s: %w", a.Address, err)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(true) // as if it had been bound here
		}
		opened = append(opened, l)
	}
	if len(inherited) > 0 {
		return opened, nil
	}
	l, err := transport.Bind(a)
	return []net.Listener{l}, err
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close() // nothing was accepted: no error could matter
	}
}

// Addrs implements transport.Server.
func (s *Server) Addrs() []net.Addr { return s.addrs }

func (s *Server) accept(l net.Listener) {
	var limit fileLimit
	defer limit.release()
	failing := false // and that was logged
	for {
		limit.reserve()
		nc, err := l.Accept()
		switch {
		case err == nil:
			failing = false
			s.Serve(nc)
		case errors.Is(err, net.ErrClosed):
			return
		case reachedFileLimit(err) && limit.turnAway(l, s.loops[0].count, s.Serve):
		default: // what comes meanwhile waits in the kernel
			if !failing {
				failing = true
				s.o.Log.Warn("accepting a connection failed", "error", err)
			}
			time.Sleep(patience)
		}
	}
}

// Serve takes a connection on which nothing was read yet, for listeners that are
// not the server's own.
func (s *Server) Serve(nc net.Conn) {
	c := s.pick(nc)
	c.loop.count.Accepted.Add(1)
	if !s.start(c, nil) {
		nc.Close()
	}
}

// Adopt implements transport.Server. Any net.Conn will do.
func (s *Server) Adopt(nc net.Conn, request []byte) error {
	c := s.pick(nc)
	c.adopted = true
	if !s.start(c, append(make([]byte, 0, len(request)), request...)) {
		return fmt.Errorf("adopting a connection: %w", net.ErrClosed)
	}
	return nil
}

func (s *Server) pick(nc net.Conn) *conn {
	l := s.loops[s.next.Add(1)%uint32(len(s.loops))]
	return newConn(l, nc)
}

// start runs a connection's reader, unless the server is closed.
func (s *Server) start(c *conn, read []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	s.wg.Go(func() { c.serve(read) })
	return true
}

// forget ends the server's part in a connection's socket.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Listeners implements transport.Server.
func (s *Server) Listeners() (map[transport.Address][]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := make(map[transport.Address][]*os.File)
	for a, opened := range s.listeners {
		for _, l := range opened {
			f, err := l.(interface{ File() (*os.File, error) }).File()
			if err != nil {
				transport.CloseFiles(files)
				return nil, fmt.Errorf("duplicating the listener of %s: %w", a.Address, err)
			}
			files[a] = append(files[a], f)
		}
	}
	return files, nil
}

// Shutdown implements transport.Server.
func (s *Server) Shutdown() { s.deafen(true) }

// Leave implements transport.Server.
func (s *Server) Leave() { s.deafen(false) }

// deafen closes the listeners, and removes the files of unix sockets or not.
func (s *Server) deafen(unlink bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, opened := range s.listeners {
		for _, l := range opened {
			if u, ok := l.(*net.UnixListener); ok {
				u.SetUnlinkOnClose(unlink)
			}
		}
		closeAll(opened)
	}
	s.listeners = nil
}

// Close implements transport.Server.
func (s *Server) Close() {
	s.Shutdown()
	for _, l := range s.loops {
		l.stop()
	}
	s.runs.Wait()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.abandon()
	}
	s.mu.Unlock()
	s.wg.Wait()
}
