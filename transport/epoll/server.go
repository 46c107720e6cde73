//go:build linux

// Package epoll is the transport for very many connections: each loop is one
// goroutine with an epoll of its own, and a connection is a small struct.
package epoll

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"dunlin/transport"
)

// Server is a transport.Server.
type Server struct {
	// Static after construction
	loops []*loop
	addrs []net.Addr
	limit *fileLimit
	runs  sync.WaitGroup

	next    atomic.Uint32 // loop of the next adopted connection
	release sync.Once     // of limit

	mu sync.Mutex
	// Guarded by mu. The descriptors are open while they stand here.
	listening map[transport.Address][]int32
}

var _ transport.Server = (*Server)(nil)

// Sleep is how a loop waits for events.
type Sleep uint8

const (
	// Parked waits in Go's netpoller, so that no thread blocks.
	Parked Sleep = iota
	// Blocking waits in epoll_wait on a thread. It is there to be measured.
	Blocking
)

// Listen starts a server on the addresses, of which there may be none: then it
// lives of Adopt. A taken port is an error that names it.
func Listen(addresses []transport.Address, o transport.Options, newHandler transport.NewHandler) (*Server, error) {
	return ListenSleeping(Parked, addresses, o, newHandler)
}

// ListenSleeping is Listen with a way to sleep.
func ListenSleeping(how Sleep, addresses []transport.Address, o transport.Options, newHandler transport.NewHandler) (*Server, error) {
	o = o.WithDefaults()
	s := &Server{listening: make(map[transport.Address][]int32)}
	sockets, err := s.bind(addresses, o)
	if err == nil {
		err = s.makeLoops(how, o, sockets)
	}
	if err != nil {
		return nil, err
	}
	for _, l := range s.loops {
		l.handler = newHandler(l)
	}
	for _, l := range s.loops {
		s.runs.Go(l.run)
	}
	return s, nil
}

// bind returns the sockets of each loop.
func (s *Server) bind(addresses []transport.Address, o transport.Options) ([][]listener, error) {
	sockets := make([][]listener, o.Loops)
	for _, a := range addresses {
		addr, opened, err := listenersOf(a, o)
		if err != nil {
			closeAll(sockets)
			s.unlink()
			return nil, fmt.Errorf("listening: %w", err)
		}
		s.addrs = append(s.addrs, addr)
		for i, l := range opened {
			sockets[i%o.Loops] = append(sockets[i%o.Loops], l)
			s.listening[a] = append(s.listening[a], l.fd)
		}
	}
	return sockets, nil
}

func listenersOf(a transport.Address, o transport.Options) (net.Addr, []listener, error) {
	if files := o.Inherited[a]; len(files) > 0 {
		return inherit(a, files, o.Loops)
	}
	return bind(a, o.Loops)
}

func closeAll(sockets [][]listener) {
	for _, of := range sockets {
		closeListeners(of)
	}
}

// makeLoops makes the loops and lets them listen. The sockets are theirs then,
// or closed.
func (s *Server) makeLoops(how Sleep, o transport.Options, sockets [][]listener) error {
	limit, err := newFileLimit(o.Loops)
	s.limit = limit
	for i := 0; err == nil && i < o.Loops; i++ {
		var l *loop
		if l, err = newLoop(o.FirstLoop+i, how, o, limit); err == nil {
			s.loops = append(s.loops, l)
			err = l.hear(sockets[i])
		}
	}
	if err == nil {
		return nil
	}
	for _, l := range s.loops {
		l.listeners = nil
		l.release()
	}
	if limit != nil {
		limit.release()
	}
	closeAll(sockets)
	s.unlink()
	return fmt.Errorf("starting the loops: %w", err)
}

// unlink removes the files of unix sockets.
func (s *Server) unlink() {
	for _, a := range s.addrs {
		if u, ok := a.(*net.UnixAddr); ok {
			os.Remove(u.Name) // somebody may have done it: no error could matter
		}
	}
}

// Addrs implements transport.Server.
func (s *Server) Addrs() []net.Addr { return s.addrs }

// Adopt implements transport.Server. nc must be a socket, or wrap one that is
// reached by a method SyscallConn or, as fasthttp's hijacked connections,
// UnsafeConn.
func (s *Server) Adopt(nc net.Conn, request []byte) error {
	fd, err := socketOf(nc)
	if err != nil {
		return fmt.Errorf("adopting a connection: %w", err)
	}
	read, peer := append([]byte(nil), request...), transport.PeerOf(nc)
	l := s.loops[s.next.Add(1)%uint32(len(s.loops))]
	if !l.post(func() { l.adopt(fd, peer, read) }) {
		sysClose(fd)
		return fmt.Errorf("adopting a connection: %w", net.ErrClosed)
	}
	nc.Close() // the loop has the duplicate
	return nil
}

func socketOf(nc net.Conn) (int32, error) {
	if w, ok := nc.(interface{ UnsafeConn() net.Conn }); ok {
		nc = w.UnsafeConn()
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T has no descriptor", nc)
	}
	fd, err := duplicate(sc)
	if err != nil {
		return 0, err
	}
	if err := unix.SetNonblock(int(fd), true); err != nil {
		sysClose(fd)
		return 0, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}

// Listeners implements transport.Server.
func (s *Server) Listeners() (map[transport.Address][]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := make(map[transport.Address][]*os.File)
	for a, fds := range s.listening {
		for _, fd := range fds {
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				transport.CloseFiles(files)
				return nil, fmt.Errorf("duplicating the listener of %s: %w", a.Address, err)
			}
			files[a] = append(files[a], os.NewFile(uintptr(dup), a.Address))
		}
	}
	return files, nil
}

// Shutdown implements transport.Server.
func (s *Server) Shutdown() {
	if s.deafen((*loop).acceptRest) {
		s.unlink()
	}
}

// Leave implements transport.Server.
func (s *Server) Leave() { s.deafen(func(*loop) {}) }

// deafen closes the listeners of all loops, on each after last. It reports false
// when somebody did so before.
func (s *Server) deafen(last func(*loop)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listening == nil {
		return false
	}
	s.listening = nil
	var done sync.WaitGroup
	for _, l := range s.loops {
		done.Add(1)
		if !l.post(func() { last(l); l.deafen(); done.Done() }) {
			done.Done()
		}
	}
	done.Wait()
	return true
}

// Close implements transport.Server.
func (s *Server) Close() {
	s.Shutdown()
	for _, l := range s.loops {
		l.stop()
	}
	s.runs.Wait()
	s.release.Do(s.limit.release)
}
