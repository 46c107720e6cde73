package load

import (
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"dunlin/protocol"
)

// swarm is all WebSocket connections of a run, on one edge-triggered epoll. It
// belongs to one goroutine, locked to its thread.
type swarm struct {
	// Static after construction
	r       *run
	ep      int
	timer   int // a timerfd: epoll_wait counts in milliseconds, schedules do not
	to      unix.Sockaddr
	family  int
	sources sources
	upgrade []byte // the upgrade request of every client
	secret  *protocol.Secret
	hooks   hooks

	clients []client
	events  []unix.EpollEvent
	buf     []byte            // what one read may take
	scratch []byte            // what is being sent
	armed   int64             // when the timer rings
	now     int64             // of the last read
	alive   int64             // when keepAlive last looked
	texts   map[string][]byte // of compressed messages that came lately

	ready       int // that are
	settled     int // that were ready, or failed before
	lost        int // that were ready
	compressing int // that have negotiated it
}

// hooks are what a scenario wants to know of its clients. Any may be nil; they
// are called on the loop, and payloads are valid until they return.
type hooks struct {
	subscriptions func(i int) []subscription         // of client i, once it is connected
	ready         func(c *client)                    // all subscriptions were answered
	joined        func(c *client, payload []byte)    // each answer to a subscribe
	event         func(c *client, payload []byte)    // an event that is not the server's own
	member        func(c *client, payload []byte)    // member_added
	refused       func(c *client, e *protocol.Error) // pusher:error to a client that is ready
}

// subscription is a channel to subscribe to.
type subscription struct {
	channel string
	data    string // channel_data, for presence channels
}

// Sizes of one turn.
const (
	eventsPerTurn = 1024
	readBytes     = 256 << 10
)

const timerIndex = -1 // stands for the timer where a client's index would

func (r *run) newSwarm(n int, h hooks) (*swarm, error) {
	s := &swarm{
		r: r, hooks: h, secret: r.o.Secret, upgrade: r.upgradeRequest(), sources: newSources(r.o.Sources, r.target.ip, localPorts()),
		clients: make([]client, n), events: make([]unix.EpollEvent, eventsPerTurn), buf: make([]byte, readBytes),
		texts: make(map[string][]byte),
	}
	s.to, s.family = socketAddress(r.target.ip, r.target.port)
	var err error
	if s.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	r.closers = append(r.closers, s.close)
	if s.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return s, s.watch(s.timer, timerIndex, unix.EPOLLIN)
}

// watch adds a descriptor to the epoll. Edge-triggered, it never has to be
// changed, and the timer never read.
func (s *swarm) watch(fd, index int, events uint32) error {
	e := unix.EpollEvent{Events: events | unix.EPOLLET, Fd: int32(index)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.ep, unix.EPOLL_CTL_ADD, fd, &e))
}

// socketAddress is an address as the system takes it.
func socketAddress(ip net.IP, port int) (unix.Sockaddr, int) {
	if v4 := ip.To4(); v4 != nil {
		return &unix.SockaddrInet4{Port: port, Addr: [4]byte(v4)}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Port: port, Addr: [16]byte(ip.To16())}, unix.AF_INET6
}

// close ends all connections and the loop.
func (s *swarm) close() {
	for i := range s.clients {
		if c := &s.clients[i]; c.live() {
			unix.Close(c.fd)
			*c = client{state: gone}
		}
	}
	unix.Close(s.ep)
	if s.timer > 0 {
		unix.Close(s.timer)
	}
}

// dial begins client i; at is from when it is timed.
func (s *swarm) dial(i int, at int64) {
	c := &s.clients[i]
	*c = client{index: int32(i), state: connecting, at: at, last: at}
	fd, err := s.socket(i)
	if err == nil {
		c.fd = fd
		err = s.watch(fd, i, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP)
	}
	if err != nil {
		s.fail(c, "connect failed", err.Error())
	}
}

// socket returns a socket that is being connected.
func (s *swarm) socket(i int) (fd int, err error) {
	fd, err = unix.Socket(s.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if i >= s.r.o.Connections { // one that will not read: the less its socket takes, the sooner that shows
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
	}
	if ip := s.sources.of(i); ip.IsValid() {
		// The port is chosen when connecting, by the whole pair of addresses.
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
		from, _ := socketAddress(ip.AsSlice(), 0)
		if err := unix.Bind(fd, from); err != nil {
			return 0, fmt.Errorf("bind to %s: %w", ip, err)
		}
	}
	if err := unix.Connect(fd, s.to); err != nil && err != unix.EINPROGRESS {
		return 0, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// poll takes a turn: it waits for input until then, and serves what came.
func (s *swarm) poll(until int64) {
	wait := 0
	if now := s.r.now(); until > now {
		s.arm(now, until)
		wait = -1
	}
	n, err := unix.EpollWait(s.ep, s.events, wait)
	if err != nil {
		return // EINTR: the caller looks around and comes again
	}
	for i := range s.events[:n] {
		if e := &s.events[i]; e.Fd != timerIndex {
			s.serve(&s.clients[e.Fd], e.Events)
		}
	}
}

// arm has the timer ring at until, unless it rings before.
func (s *swarm) arm(now, until int64) {
	if s.armed > now && s.armed <= until {
		return
	}
	s.armed = until
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(until - now)}
	if err := unix.TimerfdSettime(s.timer, 0, &spec, nil); err != nil {
		panic("setting a timer: " + err.Error()) // its own descriptor and a positive time
	}
}

// sysRead and sysWrite are raw system calls on sockets that never block. Not
// inlined, they are points at which the runtime can stop the loop.
//
//go:noinline
func sysRead(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

//go:noinline
func sysWrite(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_NOSIGNAL, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}
