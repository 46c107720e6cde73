//go:build linux

package epoll

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"dunlin/transport/wire"
)

// BenchmarkRead is a subscribe frame from the socket to the session: read(2), the
// frame taken apart and unmasked. The peer's write is in it, and by itself in
// BenchmarkReadBare.
func BenchmarkRead(b *testing.B) {
	s := newSink(b, 1)
	s.l.buf = make([]byte, readBytes)
	c := s.conns[0]
	c.session = silent{}
	b.ReportAllocs()
	for b.Loop() {
		sysWrite(int32(s.peers[0]), subscribeFrame)
		s.l.serve(c, unix.EPOLLIN)
	}
	if got := s.l.tally.messagesIn; got != uint64(b.N) {
		b.Fatalf("%d messages in %d rounds", got, b.N)
	}
}

// BenchmarkReadBare is the system calls of BenchmarkRead.
func BenchmarkReadBare(b *testing.B) {
	s := newSink(b, 1)
	buf := make([]byte, readBytes)
	for b.Loop() {
		sysWrite(int32(s.peers[0]), subscribeFrame)
		sysRead(s.conns[0].fd, buf)
	}
}

var subscribeFrame = wire.AppendMasked(nil, wire.Text,
	[]byte(`{"event":"pusher:subscribe","data":{"auth":"app-key:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","channel":"private-room"}}`))

// BenchmarkDoor is a connection that turns out to be an API request, from its
// first bytes until HTTP has it as a net.Conn; making and closing the socket is in it.
func BenchmarkDoor(b *testing.B) {
	s := newSink(b, 0)
	s.l.buf = make([]byte, readBytes)
	s.l.door = wire.NewDoor("")
	handed := 0
	s.l.o.HTTP = func(nc net.Conn) { handed++; nc.Close() }
	request := []byte("POST /apps/app-id/events HTTP/1.1\r\n")
	b.ReportAllocs()
	for b.Loop() {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		sysWrite(int32(pair[1]), request)
		s.l.serve(s.l.add(int32(pair[0]), 0), unix.EPOLLIN)
		unix.Close(pair[1])
	}
	if handed != b.N {
		b.Fatalf("%d of %d were handed over", handed, b.N)
	}
}
