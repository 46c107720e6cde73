// Package addrlimit bounds what one network address, and all of them together, may
// take of connections. Its memory is bounded by the connections that are open and a
// table of fixed size, however many addresses there ever were.
package addrlimit

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"dunlin/internal/bucket"
)

// Limits of a Limiter. 0 is no limit.
type Limits struct {
	PerAddress          int // open connections of an address
	NewPerAddressSecond int // new connections of an address, per second and at once
	NewPerSecond        int // new connections in all, per second and at once
}

// Any reports whether there is anything to limit.
func (l Limits) Any() bool { return l != Limits{} }

// Verdict says whether a connection may enter, and if not why.
type Verdict int

const (
	Admitted       Verdict = iota
	TooMany                // Limits.PerAddress
	AddressTooFast         // Limits.NewPerAddressSecond
	TooFast                // Limits.NewPerSecond
)

// Limiter judges connections. Its methods may be called from any goroutine. Make
// one with New.
type Limiter struct {
	limits Limits
	now    func() time.Time

	mu sync.Mutex
	// Guarded by mu
	seats  map[netip.Addr]*Seat // of addresses with open connections
	recent *table               // nil: not limited
	all    bucket.Bucket
}

// Seat is the connections of one address. A nil Seat belongs to no address.
type Seat struct {
	limiter *Limiter
	address netip.Addr
	taken   int // guarded by limiter.mu
}

// New returns a limiter that knows of no connection. A nil now is time.Now.
func New(l Limits, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	r := &Limiter{limits: l, now: now, seats: make(map[netip.Addr]*Seat)}
	if l.NewPerAddressSecond > 0 {
		r.recent = newTable()
	}
	return r
}

// Enter judges a new connection. What it admits has to Leave. Connections without
// an address, such as those of unix sockets, are only limited together. What one
// address may not have any more is not taken from the others' share.
func (l *Limiter) Enter(from net.Addr) (*Seat, Verdict) {
	address, known := groupOf(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if known && l.recent != nil && !l.recent.of(address).Take(now, l.limits.NewPerAddressSecond) {
		return nil, AddressTooFast
	}
	seat := l.seats[address]
	if known && l.limits.PerAddress > 0 && seat != nil && seat.taken >= l.limits.PerAddress {
		return nil, TooMany
	}
	if l.limits.NewPerSecond > 0 && !l.all.Take(now, l.limits.NewPerSecond) {
		return nil, TooFast
	}
	if !known || l.limits.PerAddress == 0 {
		return nil, Admitted
	}
	if seat == nil {
		seat = &Seat{limiter: l, address: address}
		l.seats[address] = seat
	}
	seat.taken++
	return seat, Admitted
}

// Leave ends what Enter began.
func (s *Seat) Leave() {
	if s == nil {
		return
	}
	l := s.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.taken--; s.taken == 0 {
		delete(l.seats, s.address)
	}
}

// Taken is how many addresses have open connections, and how many those are, as far
// as they are limited.
func (l *Limiter) Taken() (addresses, connections int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.seats {
		connections += s.taken
	}
	return len(l.seats), connections
}

// groupOf is what is limited together: an IPv4 address, or the /64 that an IPv6
// address is in, since whoever has one of its addresses has them all.
func groupOf(a net.Addr) (group netip.Addr, known bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return group, false
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return group, false
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip, true
	}
	p, err := ip.WithZone("").Prefix(64)
	return p.Addr(), err == nil
}
