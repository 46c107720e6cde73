//go:build linux

package epoll

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dunlin/transport"
)

// listener is one socket of one loop.
type listener struct {
	fd     int32
	shared bool // with other loops: unix sockets know no SO_REUSEPORT
}

// inherit takes over sockets that listen already: one for each loop as far as
// they go, else they are shared.
func inherit(a transport.Address, files []*os.File, loops int) (net.Addr, []listener, error) {
	var addr net.Addr
	var sockets []listener
	for i := range max(len(files), loops) {
		l, err := transport.Inherit(files[i%len(files)])
		if err == nil {
			addr = l.Addr()
			var fd int32
			fd, err = takeListener(l)
			sockets = append(sockets, listener{fd, len(files) < loops})
		}
		if err != nil {
			closeListeners(sockets)
			return nil, nil, fmt.Errorf("inheriting the listener of %s: %w", a.Address, err)
		}
	}
	if _, tcp := addr.(*net.TCPAddr); tcp {
		if err := noDelay(sockets); err != nil {
			closeListeners(sockets)
			return nil, nil, fmt.Errorf("inheriting the listener of %s: %w", a.Address, err)
		}
	}
	return addr, sockets, nil
}

// bind opens the sockets of one address, at least one for each loop. The first is bound
// without SO_REUSEPORT, so that a port that somebody else has is an error. It
// gets the option once it listens, and then lets the others in; a second start
// fails at its own first socket at any time.
func bind(a transport.Address, loops int) (net.Addr, []listener, error) {
	if strings.HasPrefix(a.Network, "unix") {
		return bindUnix(a, loops)
	}
	addr, first, err := open(a, false)
	if err != nil {
		return nil, nil, err
	}
	sockets := []listener{{fd: first}}
	host, _, _ := net.SplitHostPort(a.Address) // open has judged it
	_, port, _ := net.SplitHostPort(addr.String())
	err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(first), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	for err == nil && len(sockets) < loops {
		var fd int32
		if _, fd, err = open(transport.Address{Network: a.Network, Address: net.JoinHostPort(host, port)}, true); err == nil {
			sockets = append(sockets, listener{fd: fd})
		}
	}
	if err == nil {
		err = noDelay(sockets)
	}
	if err != nil {
		closeListeners(sockets)
		return nil, nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	return addr, sockets, nil
}

// noDelay has the sockets that are accepted send at once: they inherit it.
func noDelay(sockets []listener) error {
	for _, s := range sockets {
		if err := unix.SetsockoptInt(int(s.fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func closeListeners(sockets []listener) {
	for _, s := range sockets {
		sysClose(s.fd)
	}
}

// open listens by the standard library's rules for addresses.
func open(a transport.Address, reusePort bool) (net.Addr, int32, error) {
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		if !reusePort {
			return nil
		}
		return control(rc, func(fd int) error {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
	}}
	lc.SetMultipathTCP(false) // its sockets are of another protocol and do not share ports
	l, err := lc.Listen(context.Background(), a.Network, a.Address)
	if err != nil {
		return nil, 0, err // names the address
	}
	fd, err := takeListener(l)
	return l.Addr(), fd, err
}

// takeListener takes a listener's descriptor out of the standard library's hands.
func takeListener(l net.Listener) (int32, error) {
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	defer l.Close()
	return duplicate(l.(syscall.Conn))
}

// duplicate returns a descriptor of the same socket that the caller owns.
func duplicate(c syscall.Conn) (int32, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	dup := -1
	err = control(rc, func(fd int) (err error) {
		dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl", err)
	})
	return int32(dup), err
}

func control(rc syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := rc.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// bindUnix opens one socket that all loops share.
func bindUnix(a transport.Address, loops int) (net.Addr, []listener, error) {
	l, err := transport.Bind(a)
	if err != nil {
		return nil, nil, err
	}
	addr := l.Addr()
	fd, err := takeListener(l)
	if err != nil {
		return nil, nil, err
	}
	sockets := []listener{{fd, true}}
	for len(sockets) < loops {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeListeners(sockets)
			return nil, nil, fmt.Errorf("listening on %s: %w", addr, err)
		}
		sockets = append(sockets, listener{int32(dup), true})
	}
	return addr, sockets, nil
}
