//go:build linux

package epoll

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poller is a loop's epoll, and how the loop sleeps on it.
type poller struct {
	// Static after construction
	ep     int
	events []unix.EpollEvent
	file   *os.File        // of ep, known to Go's netpoller; nil when Blocking
	raw    syscall.RawConn // of file
	look   func(uintptr) bool

	// Owned by the loop
	found    int       // what look found
	timeup   time.Time // the deadline that file has
	yielding bool      // look is to let go of the P, whatever there is
	parked   bool      // it did
	slept    time.Time // until when

	wanted   atomic.Bool // a turn is to come: somebody called Wake
	sleeping atomic.Bool // the bell must be rung

	// Guarded by mu
	mu   sync.Mutex
	bell int // an eventfd; -1 once closed
}

const eventsPerTurn = 512

func (p *poller) open(how Sleep) error {
	p.ep, p.bell = -1, -1
	p.events = make([]unix.EpollEvent, eventsPerTurn)
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	p.ep = ep
	if p.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	// Edge-triggered, the eventfd need never be read.
	ring := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Pad: ofBell}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, p.bell, &ring); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	if how == Blocking {
		return nil
	}
	if err := unix.SetNonblock(ep, true); err != nil { // what makes os.NewFile use the netpoller
		return os.NewSyscallError("fcntl", err)
	}
	p.file = os.NewFile(uintptr(ep), "epoll")
	if err := p.file.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	p.raw, err = p.file.SyscallConn()
	p.look = p.lookAround
	return err
}

// lookAround takes what has happened. On false the loop's goroutine is parked until
// something does.
func (p *poller) lookAround(uintptr) bool {
	if p.yielding {
		p.yielding, p.parked = false, true
		p.ring() // ends the park at once
		return false
	}
	p.found = sysEvents(p.ep, p.events)
	p.parked = p.parked || p.found == 0
	return p.found > 0
}

// wait returns events. It sleeps when there are none, unless more or Wake say
// that there is work, and at most until a moment that is zero for no limit.
func (p *poller) wait(more bool, until time.Time) []unix.EpollEvent {
	if more && p.file != nil && time.Since(p.slept) > yieldAfter {
		p.yielding = true
		return p.events[:p.park(until)]
	}
	if more || p.wanted.Load() {
		return p.events[:sysEvents(p.ep, p.events)]
	}
	p.sleeping.Store(true)
	n := 0
	if p.wanted.Load() { // Wake came before it could see that we sleep
		n = sysEvents(p.ep, p.events)
	} else if p.file == nil {
		n = p.block(until)
	} else {
		n = p.park(until)
	}
	p.sleeping.Store(false)
	return p.events[:n]
}

// yieldAfter is for how long a loop with more to do keeps others' sockets from being
// looked at. The runtime does that when a P has nothing to run, and with as many such
// loops as Ps that is never: those of the HTTP API would wait for sysmon, which looks
// around every 10 ms.
const yieldAfter = time.Millisecond

// park sleeps in Go's netpoller: the runtime's epoll holds ours.
func (p *poller) park(until time.Time) int {
	if !until.Equal(p.timeup) {
		p.timeup = until
		p.file.SetReadDeadline(until) // of an open file: cannot fail
	}
	p.found, p.parked = 0, false
	if err := p.raw.Read(p.look); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		panic("waiting for events: " + err.Error())
	}
	if p.yielding = false; p.parked {
		p.slept = time.Now()
	}
	return p.found
}

// block sleeps in the system call.
func (p *poller) block(until time.Time) int {
	ms := -1
	if !until.IsZero() {
		ms = int(max(time.Until(until)+time.Millisecond-1, 0) / time.Millisecond)
	}
	n, err := unix.EpollWait(p.ep, p.events, ms)
	if err != nil {
		return 0 // EINTR
	}
	return n
}

// wake makes the loop take a turn. The first of many callers rings.
func (p *poller) wake() {
	if p.wanted.Load() || p.wanted.Swap(true) || !p.sleeping.Load() {
		return
	}
	p.ring()
}

func (p *poller) ring() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bell >= 0 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		unix.Write(p.bell, one[:]) // fails when 2^64 calls have come
	}
}

func (p *poller) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bell >= 0 {
		unix.Close(p.bell)
		p.bell = -1
	}
	switch {
	case p.file != nil:
		p.file.Close()
	case p.ep >= 0:
		unix.Close(p.ep)
	}
	p.file, p.ep = nil, -1
}
