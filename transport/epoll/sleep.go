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
	found  int       // what look found
	timeup time.Time // the deadline that file has

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
	p.look = func(uintptr) bool {
		p.found = sysEvents(p.ep, p.events)
		return p.found > 0
	}
	return err
}

// wait returns events. It sleeps when there are none, unless more or Wake say
// that there is work, and at most until a moment that is zero for no limit.
func (p *poller) wait(more bool, until time.Time) []unix.EpollEvent {
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

// park sleeps in Go's netpoller: the runtime's epoll holds ours.
func (p *poller) park(until time.Time) int {
	if !until.Equal(p.timeup) {
		p.timeup = until
		p.file.SetReadDeadline(until) // of an open file: cannot fail
	}
	p.found = 0
	if err := p.raw.Read(p.look); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		panic("waiting for events: " + err.Error())
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
