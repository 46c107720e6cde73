package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// Bind listens on an address. A unix socket that nobody listens on was left behind by
// a process that was killed, and is replaced.
func Bind(a Address) (net.Listener, error) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false) // its sockets are of another protocol and do not share ports
	l, err := lc.Listen(context.Background(), a.Network, a.Address)
	if strings.HasPrefix(a.Network, "unix") && errors.Is(err, syscall.EADDRINUSE) && removeDeserted(a) {
		l, err = lc.Listen(context.Background(), a.Network, a.Address)
	}
	return l, err
}

// Inherit listens on a socket that listens already. One that does not is an error:
// accepting from it would fail again and again. The file stays the caller's.
func Inherit(f *os.File) (net.Listener, error) {
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if err := listens(l.(syscall.Conn)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func listens(c syscall.Conn) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	on := 0
	if ctl := rc.Control(func(fd uintptr) {
		on, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	}); ctl != nil {
		return ctl
	}
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if on == 0 {
		return fmt.Errorf("the socket at %s does not listen", c.(net.Listener).Addr())
	}
	return nil
}

// CloseFiles closes what Server.Listeners returned.
func CloseFiles(files map[Address][]*os.File) {
	for _, of := range files {
		for _, f := range of {
			f.Close()
		}
	}
}

// removeDeserted removes the socket file of a unix address that somebody listened
// on and nobody listens on now. It reports whether it did. Anything but a socket
// stays: connecting to an ordinary file is refused in the same way, and that file is
// somebody's.
func removeDeserted(a Address) bool {
	info, err := os.Lstat(a.Address)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := net.Dial(a.Network, a.Address)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(a.Address) == nil
}
