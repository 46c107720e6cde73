//go:build linux && simulated

package epoll

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// In a build with the tag "simulated" the calls of sys.go end here, and loops have
// sockets that no kernel knows: a process may then have more of them than open
// files, and what is measured is dunlin alone. Everything else is the code of every
// build. test/million is what it is for; a test of it in the ordinary suite keeps
// this file honest.

// Peers are the other ends of simulated sockets. All but Connect and Ready of
// Simulation are called on the goroutine of the socket's loop.
type Peers struct {
	// Read copies what the peer of a socket that is ready has sent, and returns how
	// much; 0 says that it has closed.
	Read func(loop, socket int, b []byte) int
	// Wrote takes what the loop wrote, always all of it.
	Wrote func(loop, socket int, b []byte)
	// Turned says that a loop is through with a turn.
	Turned func(loop int)
}

// Simulation is the sockets of one server. As the kernel's table of descriptors,
// there is one for the process.
type Simulation struct {
	peers   Peers
	loops   []simulatedLoop
	sockets []simulatedSocket // by number; not Go's memory, which is measured
}

type simulatedLoop struct {
	*loop
	mu sync.Mutex
	// Guarded by mu
	ready []int32 // sockets with input, in the order in which it came
	taken int     // of ready
}

// simulatedSocket is what epoll_ctl has said of a socket.
type simulatedSocket struct {
	data unix.EpollEvent
	loop int32
}

// firstSimulated is the descriptor of socket 0: no kernel gives out such.
const firstSimulated = 1 << 30

var simulation atomic.Pointer[Simulation]

// Simulate gives a server, which listens nowhere, that many sockets.
func (s *Server) Simulate(sockets int, p Peers) (*Simulation, error) {
	size := sockets * int(unsafe.Sizeof(simulatedSocket{}))
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	m := &Simulation{peers: p, loops: make([]simulatedLoop, len(s.loops))}
	m.sockets = unsafe.Slice((*simulatedSocket)(unsafe.Pointer(unsafe.SliceData(memory))), sockets)
	for i, l := range s.loops {
		m.loops[i].loop = l
	}
	simulation.Store(m)
	return m, nil
}

// Connect has a loop accept count sockets from first on, as many in a turn as it
// would of the kernel's.
func (m *Simulation) Connect(loop, first, count int) {
	l := m.loops[loop].loop
	l.post(func() {
		for range min(count, acceptsPerTurn) {
			l.count.Accepted.Add(1)
			l.welcome(int32(firstSimulated + first))
			first, count = first+1, count-1
		}
		if count > 0 {
			m.Connect(loop, first, count)
		}
	})
}

// Ready says that the peer of a socket has sent something, or closed.
func (m *Simulation) Ready(socket int) {
	l := &m.loops[m.sockets[socket].loop]
	l.mu.Lock()
	l.ready = append(l.ready, int32(socket))
	l.mu.Unlock()
	l.wake()
}

func sysRead(fd int32, b []byte) (int, unix.Errno) {
	m, socket := simulation.Load(), int(fd-firstSimulated)
	return m.peers.Read(int(m.sockets[socket].loop), socket, b), 0
}

func sysWrite(fd int32, b []byte) (int, unix.Errno) {
	m, socket := simulation.Load(), int(fd-firstSimulated)
	m.peers.Wrote(int(m.sockets[socket].loop), socket, b)
	return len(b), 0
}

func sysWritev(fd int32, h *unix.Msghdr) (n int, _ unix.Errno) {
	for _, v := range unsafe.Slice(h.Iov, h.Iovlen) {
		k, _ := sysWrite(fd, unsafe.Slice(v.Base, v.Len))
		n += k
	}
	return n, 0
}

// sysControl knows sockets; the bell is the kernel's.
func sysControl(ep, op int, fd int32, e *unix.EpollEvent) error {
	m := simulation.Load()
	s := &m.sockets[fd-firstSimulated]
	s.data = *e
	if op != unix.EPOLL_CTL_ADD {
		return nil
	}
	for i := range m.loops {
		if m.loops[i].ep == ep {
			s.loop = int32(i)
		}
	}
	m.Ready(int(fd - firstSimulated)) // the request came with the connection
	return nil
}

func sysEvents(ep int, events []unix.EpollEvent) int {
	n, err := unix.EpollWait(ep, events, 0)
	m := simulation.Load()
	if err != nil {
		n = 0 // EINTR: the next turn looks again
	}
	if m == nil {
		return n
	}
	for i := range m.loops {
		if l := &m.loops[i]; l.ep == ep {
			m.peers.Turned(i)
			n += m.take(l, events[n:])
		}
	}
	return n
}

// take moves what is ready to events.
func (m *Simulation) take(l *simulatedLoop, events []unix.EpollEvent) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(events), len(l.ready)-l.taken)
	for i, socket := range l.ready[l.taken:][:n] {
		events[i] = m.sockets[socket].data
		events[i].Events = unix.EPOLLIN
	}
	if l.taken += n; l.taken == len(l.ready) {
		l.ready, l.taken = l.ready[:0], 0
	}
	return n
}

func sysClose(fd int32) {
	if fd < firstSimulated {
		unix.Close(int(fd))
	}
}

func sysAccept(int32) (int32, unix.Errno) { return -1, unix.EAGAIN }

func sysShutdown(int32) {}

func sysPeer(int32) (unix.Sockaddr, error) {
	return &unix.SockaddrInet4{Port: 40000, Addr: [4]byte{127, 0, 0, 1}}, nil
}
