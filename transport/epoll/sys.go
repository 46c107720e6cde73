//go:build linux && !simulated

package epoll

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The helpers below are raw system calls on descriptors that never block. They
// do not tell the scheduler, which costs several times the call. They must not be
// inlined, whatever the inliner thinks of their size: the call is what gives a
// busy loop points at which the runtime can stop it, and without them a
// stop-the-world waits for as long as the loop is busy. TestStopTheWorld guards it.

//go:noinline
func sysRead(fd int32, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// sysWrite is write(2) without SIGPIPE.
//
//go:noinline
func sysWrite(fd int32, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_NOSIGNAL, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// sysWritev is writev(2) without SIGPIPE. m is passed in since it would escape.
//
//go:noinline
func sysWritev(fd int32, m *unix.Msghdr) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(m)), unix.MSG_NOSIGNAL)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// sysEvents is epoll_wait(2) with timeout 0.
//
//go:noinline
func sysEvents(ep int, events []unix.EpollEvent) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if e != 0 {
		return 0 // EINTR: the next turn looks again
	}
	return int(n)
}

// sysAccept is accept4(2) without asking for the peer's address.
//
//go:noinline
func sysAccept(fd int32) (int32, unix.Errno) {
	n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int32(n), e
}

func sysClose(fd int32) {
	unix.Close(int(fd)) // nothing is buffered in user space: no error could matter
}

// sysControl is epoll_ctl(2).
//
//go:noinline
func sysControl(ep, op int, fd int32, e *unix.EpollEvent) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(ep), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(e)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// sysShutdown says that nothing more will be written.
func sysShutdown(fd int32) {
	unix.Shutdown(int(fd), unix.SHUT_WR) // an error means that the peer is gone: input says so
}

// sysPeer is getpeername(2). The library's asks for the protocol of an address too,
// which is a second call for each connection.
//
//go:noinline
func sysPeer(fd int32) (unix.Sockaddr, error) {
	a := new(unix.RawSockaddrAny)
	size := uint32(unix.SizeofSockaddrAny)
	_, _, errno := unix.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return nil, os.NewSyscallError("getpeername", errno)
	}
	switch a.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return &unix.SockaddrInet4{Port: networkOrder(&in.Port), Addr: in.Addr}, nil
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(a))
		return &unix.SockaddrInet6{Port: networkOrder(&in.Port), ZoneId: in.Scope_id, Addr: in.Addr}, nil
	}
	return unix.Getpeername(int(fd))
}

// networkOrder reads a port.
func networkOrder(port *uint16) int {
	return int(binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:]))
}
