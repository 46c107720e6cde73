//go:build unix

package handover

import (
	"fmt"
	"io/fs"
	"net"
	"os"
)

// Listener waits for the process that is to take this one's place.
type Listener struct {
	l    *net.UnixListener
	path string
}

// Listen makes the socket at path, for this user alone. It takes the place of a
// socket that is there, whose process hears nothing more, in one step: there is
// always somebody to call.
func Listen(path string) (*Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there and is no socket", path)
	}
	own := fmt.Sprintf("%s.%d", path, os.Getpid())
	os.Remove(own) // of a process of the same number that was killed
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: own, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err = os.Chmod(own, 0o600); err == nil {
		err = os.Rename(own, path)
	}
	if err != nil {
		l.Close()
		os.Remove(own)
		return nil, err
	}
	return &Listener{l, path}, nil
}

// Accept waits for the next caller. After Close its error is net.ErrClosed.
func (l *Listener) Accept() (*Conn, error) {
	c, err := l.l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &Conn{c}, nil
}

// Close ends Accept. The file stays, since it may be a successor's by now.
func (l *Listener) Close() error { return l.l.Close() }

// Remove removes the file. It is for who knows that there is no successor.
func (l *Listener) Remove() error { return os.Remove(l.path) }
