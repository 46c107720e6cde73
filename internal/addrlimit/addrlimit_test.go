package addrlimit

import (
	"encoding/binary"
	"net"
	"testing"
	"time"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func tcp(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }

// TestEnter: PITFALLS 30.
func TestEnter(t *testing.T) {
	t.Parallel()
	c := &clock{time.Unix(1000, 0)}
	l := New(Limits{PerAddress: 2, NewPerAddressSecond: 3, NewPerSecond: 5}, c.now)
	unix := &net.UnixAddr{Name: "x", Net: "unix"}
	var seats []*Seat
	for i, v := range []struct {
		after time.Duration
		from  net.Addr
		want  Verdict
	}{
		{0, tcp("10.0.0.1"), Admitted},
		{0, tcp("::ffff:10.0.0.1"), Admitted}, // the same
		{0, tcp("10.0.0.1"), TooMany},
		{0, tcp("10.0.0.1"), AddressTooFast},
		{0, tcp("2001:db8:0:1::1"), Admitted},
		{0, tcp("2001:db8:0:1:ffff::2"), Admitted}, // of one /64
		{0, tcp("2001:db8:0:1::3"), TooMany},
		{0, unix, Admitted},
		{0, tcp("10.0.0.3"), TooFast}, // those that were refused took nothing of the five
		{time.Second / 5, tcp("10.0.0.3"), Admitted},
		{0, nil, TooFast},
		{time.Second, tcp("2001:db8:0:2::3"), Admitted},
		{0, tcp("10.0.0.1"), TooMany},
	} {
		c.at = c.at.Add(v.after)
		s, got := l.Enter(v.from)
		if got != v.want {
			t.Errorf("%d: %v: verdict %d, want %d", i, v.from, got, v.want)
		}
		seats = append(seats, s)
	}
	if n, _ := l.Taken(); n != 4 {
		t.Errorf("%d addresses have connections, want 4", n)
	}
	for _, s := range seats {
		s.Leave()
	}
	if n, _ := l.Taken(); n != 0 {
		t.Errorf("%d addresses are kept", n)
	}
	if _, v := l.Enter(tcp("10.0.0.1")); v != Admitted {
		t.Errorf("after all left: %d", v)
	}
}

// TestMemory: more addresses than the table has places come and go; nothing is kept,
// and those that are refused cost nothing at all.
//
// PITFALLS 26, 29.
func TestMemory(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	l := New(Limits{PerAddress: 1, NewPerAddressSecond: 1}, c.now)
	from := &net.TCPAddr{IP: make(net.IP, 4)}
	for i := range uint32(2 * sets * places) {
		binary.BigEndian.PutUint32(from.IP, i)
		s, v := l.Enter(from)
		if v != Admitted {
			t.Fatalf("%v is refused: %d", from, v)
		}
		s.Leave()
	}
	if n, _ := l.Taken(); n != 0 {
		t.Errorf("%d addresses are kept", n)
	}
	if _, v := l.Enter(from); v != AddressTooFast {
		t.Errorf("the last one is not known any more: %d", v)
	}
	open, _ := l.Enter(tcp("::1"))
	defer open.Leave()
	if n := testing.AllocsPerRun(1000, func() { l.Enter(from); l.Enter(tcpLoopback) }); n > 0 {
		t.Errorf("%v allocations to refuse", n)
	}
}

var tcpLoopback = tcp("::1")

func BenchmarkEnter(b *testing.B) {
	l := New(Limits{PerAddress: 100, NewPerAddressSecond: 1 << 30, NewPerSecond: 1 << 30}, nil)
	from := &net.TCPAddr{IP: make(net.IP, 4)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		binary.BigEndian.PutUint32(from.IP, uint32(i))
		s, _ := l.Enter(from)
		s.Leave()
	}
}
