package transport

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// CloseFiles closes what Server.Listeners returned.
func CloseFiles(files map[Address][]*os.File) {
	for _, of := range files {
		for _, f := range of {
			f.Close()
		}
	}
}

// RemoveDeserted removes the socket file of a unix address that somebody listened
// on and nobody listens on now: a process that was killed left it behind. It
// reports whether it did. Anything but a socket stays: connecting to an ordinary
// file is refused in the same way, and that file is somebody's.
func RemoveDeserted(a Address) bool {
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
