//go:build linux

package epoll

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

// TestQueueConsume takes random bites from queues of random contents: what is
// left must be the rest of what there was.
func TestQueueConsume(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		q := randomQueue(rnd)
		want := q.appendTo(nil)
		if len(want) != q.size {
			t.Fatalf("size %d, holds %d bytes", q.size, len(want))
		}
		for q.size > 0 {
			n := 1 + rnd.IntN(q.size)
			q.consume(n)
			want = want[n:]
			if q.offset == 0 && len(q.last) == 0 && rnd.IntN(4) == 0 { // a pong comes in between
				q.control = append(q.control, "\x8a\x00"...)
				q.size += 2
				want = q.appendTo(nil)
			}
			if got := q.appendTo(nil); !bytes.Equal(got, want) || q.size != len(want) {
				t.Fatalf("size %d, left %q, want %q", q.size, got, want)
			}
		}
	}
}

func randomQueue(rnd *rand.Rand) *queue {
	q := &queue{}
	for i := range rnd.IntN(5) {
		f := protocol.NewFrame(bytes.Repeat([]byte{byte('a' + i)}, rnd.IntN(200)))
		q.frames = append(q.frames, f)
		q.size += f.Size()
	}
	if len(q.frames) > 0 && rnd.IntN(2) == 0 {
		q.offset = rnd.IntN(q.frames[0].Size())
		q.size -= q.offset
	}
	q.control = bytes.Repeat([]byte("C"), rnd.IntN(3)*rnd.IntN(20))
	q.last = bytes.Repeat([]byte("L"), rnd.IntN(2)*rnd.IntN(20))
	q.size += len(q.control) + len(q.last)
	return q
}

// TestQueueDrop holds that only what has not begun to leave is lost.
func TestQueueDrop(t *testing.T) {
	t.Parallel()
	a, b := protocol.NewFrame([]byte("aaaa")), protocol.NewFrame([]byte("b"))
	for _, c := range []struct {
		offset int
		want   string
	}{{0, "control"}, {3, "aaacontrol"}} {
		q := &queue{frames: []*protocol.Frame{a, b}, offset: c.offset, control: []byte("control")}
		q.size = a.Size() - c.offset + b.Size() + len(q.control)
		q.drop()
		if got := string(q.appendTo(nil)); got != c.want || q.size != len(c.want) {
			t.Errorf("offset %d: left %q of size %d, want %q", c.offset, got, q.size, c.want)
		}
	}
}

// TestTable holds that events of a connection that is gone find nothing, not
// even the one that has its place.
func TestTable(t *testing.T) {
	t.Parallel()
	table := newTable()
	first, second, third := &conn{}, &conn{}, &conn{}
	table.add(first)
	table.add(second)
	e := table.event(first, unix.EPOLLIN)
	if table.find(&e) != first {
		t.Error("an event did not find its connection")
	}
	table.remove(first)
	if table.find(&e) != nil {
		t.Error("an event found a connection that is gone")
	}
	table.add(third)
	if third.place != first.place {
		t.Error("the place was not reused")
	}
	if got := table.find(&e); got != nil {
		t.Error("an event found the successor of its connection")
	}
	e = table.event(third, unix.EPOLLIN)
	if table.find(&e) != third || table.used != 2 || len(table.places) != 2 {
		t.Errorf("used %d of %d places", table.used, len(table.places))
	}
	table.places[third.place].generation = ^uint32(0)
	table.remove(third)
	if g := table.places[third.place].generation; g < firstGeneration {
		t.Errorf("generation %d is not a connection's", g)
	}
}

// TestWheel walks through time by hand: every connection expires in its tick.
func TestWheel(t *testing.T) {
	t.Parallel()
	l := testLoop(transport.Options{})
	ats := []uint32{1, 2, 2, 3, 255, 256, 257, 300, 1000, 5000}
	conns := map[*conn]uint32{}
	for _, at := range ats {
		c := &conn{loop: l, fd: -1, state: stateDoor, mark: at - l.timeout.handshake}
		l.table.add(c)
		l.put(c, at)
		conns[c] = at
	}
	moved := &conn{loop: l, fd: -1, state: stateDoor, mark: 700 - l.timeout.handshake}
	l.table.add(moved)
	l.put(moved, 3)
	l.put(moved, 700) // puts it off
	conns[moved] = 700
	for tick := uint32(1); tick <= 5000; tick++ {
		l.tick = tick
		l.advance(tick)
		for c, at := range conns {
			if (c.state == stateGone) != (tick >= at) {
				t.Fatalf("tick %d: a connection due at %d: gone is %v", tick, at, c.state == stateGone)
			}
		}
	}
	if l.table.used != 0 {
		t.Errorf("%d places are used", l.table.used)
	}
}

// TestWheelSleeps lets the machine sleep for longer than the wheel goes round.
func TestWheelSleeps(t *testing.T) {
	t.Parallel()
	l := testLoop(transport.Options{})
	c := &conn{loop: l, fd: -1, state: stateDoor}
	l.table.add(c)
	l.put(c, 10)
	l.tick = 100_000
	l.advance(l.tick)
	if c.state != stateGone || l.wheel.now != l.tick {
		t.Errorf("state %d, wheel at %d", c.state, l.wheel.now)
	}
}

// testLoop is a loop without descriptors, whose time is moved by hand.
func testLoop(o transport.Options) *loop {
	o = o.WithDefaults()
	l := &loop{o: o, table: newTable(), tickLen: o.Tick(), start: time.Now(), count: new(metrics.Loop), requests: map[*conn][]byte{}, limit: &fileLimit{}}
	l.up, l.timeout = wire.NewUpgrader("", false), timeouts(o)
	l.wheel.reset()
	return l
}

// TestIdleSize holds the memory of an idle connection in this package: its
// struct, by the size class of the allocator, and its place in the table.
func TestIdleSize(t *testing.T) {
	t.Parallel()
	conn, place := unsafe.Sizeof(conn{}), unsafe.Sizeof(place{})
	if conn > 80 || place > 24 {
		t.Errorf("conn has %d bytes, want at most 80; place %d, at most 24", conn, place)
	}
}

// sink is a loop with connections whose peers are read by the test itself.
type sink struct {
	l     *loop
	conns []*conn
	peers []int
	buf   []byte
}

func newSink(t testing.TB, n int) *sink {
	t.Helper()
	s := &sink{l: testLoop(transport.Options{}), buf: make([]byte, 1<<20)}
	var err error
	if s.l.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.l.ep) })
	for range n {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := s.l.add(int32(pair[0]), 0)
		c.state = stateOpen
		s.conns, s.peers = append(s.conns, c), append(s.peers, pair[1])
		t.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	}
	return s
}

// turn sends frames to all, as a fan-out does, and writes them.
func (s *sink) turn(frames []*protocol.Frame) {
	for _, f := range frames {
		for _, c := range s.conns {
			c.Send(f)
		}
	}
	s.l.settle()
}

// drain reads what the peers have got.
func (s *sink) drain() (n int) {
	for _, fd := range s.peers {
		for {
			k, errno := sysRead(int32(fd), s.buf)
			if errno != 0 {
				break
			}
			n += k
		}
	}
	return n
}

func makeFrames(n, size int) []*protocol.Frame {
	frames := make([]*protocol.Frame, n)
	for i := range frames {
		frames[i] = protocol.NewFrame(bytes.Repeat([]byte{'x'}, size))
	}
	return frames
}

func TestSendAllocatesNothing(t *testing.T) {
	for _, c := range []struct{ frames, size int }{{1, 100}, {16, 100}, {16, 2000}, {4, 20_000}} {
		t.Run(fmt.Sprintf("%dx%d", c.frames, c.size), func(t *testing.T) {
			s := newSink(t, 100)
			frames := makeFrames(c.frames, c.size)
			want := 100 * c.frames * frames[0].Size()
			if n := testing.AllocsPerRun(50, func() {
				s.turn(frames)
				if got := s.drain(); got != want {
					t.Fatalf("%d bytes arrived, want %d", got, want)
				}
			}); n != 0 {
				t.Errorf("%v allocations for 100 connections, want 0", n)
			}
		})
	}
}

// TestQueuesAreGivenBack holds that memory used by one fan-out does not stay.
func TestQueuesAreGivenBack(t *testing.T) {
	t.Parallel()
	s := newSink(t, 100)
	s.turn(makeFrames(1, 10))
	if n := len(s.l.output.spare); n != 100 {
		t.Fatalf("%d spare queues after a fan-out to 100", n)
	}
	for range 10 {
		s.l.output.trim()
	}
	if n := len(s.l.output.spare); n != 0 {
		t.Errorf("%d spare queues ten ticks later", n)
	}
}

func BenchmarkFlush(b *testing.B) {
	for _, c := range []struct{ frames, size int }{{1, 200}, {16, 200}, {64, 200}, {300, 200}, {16, 2000}} {
		b.Run(fmt.Sprintf("%dx%d", c.frames, c.size), func(b *testing.B) {
			s := newSink(b, 100)
			frames := makeFrames(c.frames, c.size)
			b.ReportAllocs()
			for b.Loop() {
				s.turn(frames)
				b.StopTimer()
				s.drain()
				b.StartTimer()
			}
			per := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / 100
			b.ReportMetric(per, "ns/conn")
			b.ReportMetric(per/float64(c.frames), "ns/delivery")
		})
	}
}

// A socket that somebody else has bound sends at once too, what the loops accept
// from it inherits that.
func TestInheritedSocketsDoNotDelay(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, sockets, err := inherit(transport.Address{Network: "tcp", Address: "127.0.0.1:0"}, []*os.File{f}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer closeListeners(sockets)
	for _, s := range sockets {
		if on, err := unix.GetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
			t.Errorf("TCP_NODELAY %d, %v", on, err)
		}
	}
}
