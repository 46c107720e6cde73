//go:build linux

// Command proto is what a fan-out costs a Go program that does nothing else: one
// goroutine on one thread with an epoll of its own, raw reads and writes. With
// -coalesce all events that came before the input ran dry leave in one write for
// each subscriber, as dunlin has it at the end of a turn.
//
// It is the floor that `dunlin bench` is compared with for many publishers and for
// connects. It is not a server: it takes what one read returns for one whole
// request or message, does not look at what messages say, checks no signature,
// knows one channel, and loses what a full socket refuses.
//
//	go build -o proto ./test/floor/proto && ./proto [-coalesce] [-port N]
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	upgrade = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	established = `{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.1\",\"activity_timeout\":120}"}`
	succeeded   = `{"event":"pusher_internal:subscription_succeeded","channel":"bench","data":"{}"}`
	answer      = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
)

type server struct {
	ep, listener int
	coalesce     bool
	upgraded     []bool // by descriptor
	subscribers  []int
	pending      []byte // frames that leave when the input runs dry
	in           []byte
}

func main() {
	port := flag.Int("port", 0, "port; 0 is any free one")
	coalesce := flag.Bool("coalesce", false, "write what a turn gathered once")
	flag.Parse()
	runtime.LockOSThread()
	s := &server{coalesce: *coalesce, upgraded: make([]bool, 1<<20), in: make([]byte, 1<<20)}
	if err := s.listen(*port); err != nil {
		log.Fatal(err)
	}
	s.run()
}

func (s *server) listen(port int) (err error) {
	if s.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0); err != nil {
		return err
	}
	if err := unix.Bind(s.listener, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(s.listener, 4096); err != nil {
		return err
	}
	if s.ep, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	bound, err := unix.Getsockname(s.listener)
	if err != nil {
		return err
	}
	fmt.Printf("listening on 127.0.0.1:%d\n", bound.(*unix.SockaddrInet4).Port)
	return s.watch(s.listener)
}

func (s *server) watch(fd int) error {
	return unix.EpollCtl(s.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// run looks for input without waiting as long as there is some.
func (s *server) run() {
	events := make([]unix.EpollEvent, 1024)
	for busy := false; ; {
		n := 0
		if busy {
			n = look(s.ep, events)
		} else {
			n, _ = unix.EpollWait(s.ep, events, -1)
		}
		if n <= 0 {
			s.flush()
			if busy {
				runtime.Gosched()
			}
			busy = false
			continue
		}
		busy = true
		for i := range events[:n] {
			if fd := int(events[i].Fd); fd == s.listener {
				s.accept()
			} else {
				s.serve(fd)
			}
		}
	}
}

func (s *server) flush() {
	if len(s.pending) > 0 {
		s.all(s.pending)
		s.pending = s.pending[:0]
	}
}

func (s *server) all(b []byte) {
	for _, fd := range s.subscribers {
		put(fd, b)
	}
}

func (s *server) accept() {
	for {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		s.upgraded[fd] = false
		if err := s.watch(fd); err != nil {
			log.Fatal(err)
		}
	}
}

func (s *server) serve(fd int) {
	n, err := unix.Read(fd, s.in)
	if err == unix.EAGAIN {
		return
	}
	if n <= 0 {
		s.drop(fd)
		return
	}
	switch request := s.in[:n]; {
	case s.upgraded[fd]: // only subscribes come
		put(fd, frame(nil, succeeded))
		s.subscribers = append(s.subscribers, fd)
	case bytes.HasPrefix(request, []byte("GET ")):
		put(fd, frame([]byte(upgrade), established))
		s.upgraded[fd] = true
	default:
		s.publish(request)
		put(fd, []byte(answer))
	}
}

// publish splices the request's data, which it has last, into the message.
func (s *server) publish(request []byte) {
	i := bytes.Index(request, []byte(`"data":`))
	if i < 0 {
		return
	}
	f := frame(nil, `{"event":"bench","channel":"bench",`+string(request[i:]))
	if s.coalesce {
		s.pending = append(s.pending, f...)
	} else {
		s.all(f)
	}
}

func (s *server) drop(fd int) {
	unix.Close(fd)
	for i, other := range s.subscribers {
		if other == fd {
			last := len(s.subscribers) - 1
			s.subscribers[i] = s.subscribers[last]
			s.subscribers = s.subscribers[:last]
			return
		}
	}
}

// frame appends an unmasked text frame (RFC 6455, section 5.2).
func frame(b []byte, payload string) []byte {
	if n := len(payload); n < 126 {
		b = append(b, 0x81, byte(n))
	} else {
		b = append(b, 0x81, 126, byte(n>>8), byte(n))
	}
	return append(b, payload...)
}

// look is epoll_wait with timeout 0, and put is write. Neither blocks, so neither
// tells the scheduler.
//
//go:noinline
func look(ep int, events []unix.EpollEvent) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

//go:noinline
func put(fd int, b []byte) {
	unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
}
