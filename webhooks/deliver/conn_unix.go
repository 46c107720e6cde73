//go:build unix

package deliver

import (
	"net"
	"syscall"
)

// readable reports whether there is anything to read: the end, an error, or what
// nobody has asked for.
func readable(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	var peeked error
	err = raw.Control(func(fd uintptr) { // not Read, which minds the last deadline
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
	})
	return err != nil || peeked != syscall.EAGAIN
}
