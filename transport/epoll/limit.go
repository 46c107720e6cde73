//go:build linux

package epoll

import (
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// fileLimit is what a server does when the process may open no more files. A few
// descriptors are kept for that: one is closed, which lets one connection be
// accepted. It is told that there is no room, and when it ends its descriptor
// goes back to the kept ones. While all are in use, loops that find no descriptor
// stop listening; they look again in every tick, and so never spin.
//
// A descriptor that was closed may be taken by another loop before the one that
// closed it accepts. So it does not matter who has it: as long as one is owed,
// whichever connection is accepted next is the surplus one.
type fileLimit struct {
	missing atomic.Int32 // owed: closed, and neither back nor used by a surplus connection

	// Guarded by mu
	mu   sync.Mutex
	null int // what kept ones are duplicates of
	kept []int32
}

// reserved is how many connections can be turned away at a time, for each loop.
const reserved = 4

func newFileLimit(loops int) (*fileLimit, error) {
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	f := &fileLimit{null: null}
	f.missing.Store(int32(reserved * loops))
	if err := f.refill(); err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

// spend closes one descriptor, so that one can be opened.
func (f *fileLimit) spend() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.kept)
	if n == 0 {
		return false
	}
	f.missing.Add(1) // before it can be taken
	sysClose(f.kept[n-1])
	f.kept = f.kept[:n-1]
	return true
}

// owed reports whether a new descriptor is one that was spent, and settles that.
func (f *fileLimit) owed() bool {
	for {
		n := f.missing.Load()
		if n == 0 {
			return false
		}
		if f.missing.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// back closes a surplus connection and keeps its descriptor, in one step: nobody
// can come in between.
func (f *fileLimit) back(fd int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := unix.Dup3(f.null, int(fd), unix.O_CLOEXEC); err != nil {
		f.missing.Add(1)
		sysClose(fd)
		return
	}
	f.kept = append(f.kept, fd)
}

// refill opens what is owed, as far as the limit allows.
func (f *fileLimit) refill() error {
	if f.missing.Load() == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.owed() {
		fd, err := unix.FcntlInt(uintptr(f.null), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			f.missing.Add(1)
			return os.NewSyscallError("fcntl", err)
		}
		f.kept = append(f.kept, int32(fd))
	}
	return nil
}

func (f *fileLimit) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.kept) > 0
}

func (f *fileLimit) release() {
	for f.spend() {
	}
	unix.Close(f.null)
}

// goDeaf stops listening until a descriptor is back.
func (l *loop) goDeaf() {
	if !l.limited { // once, not in every tick that it lasts
		l.limited = true
		l.o.Log.Warn("out of file descriptors: turning connections away", "loop", l.index)
	}
	for i := range l.listeners {
		sysControl(l.ep, unix.EPOLL_CTL_DEL, l.listeners[i].fd, nil) // is in there
	}
	l.deaf = true
}

// hearAgain listens again once there is a descriptor to turn connections away
// with. It is called in every tick, and when one has come back.
func (l *loop) hearAgain() {
	l.limit.refill() // as far as it goes; there is a next tick
	if !l.deaf || !l.limit.any() {
		return
	}
	l.deaf = false
	for i := range l.listeners {
		if err := l.listen(i); err != nil {
			l.o.Log.Error("listening again failed", "error", err)
		}
	}
}
