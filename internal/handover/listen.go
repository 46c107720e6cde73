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
	// Static after construction
	l    *net.UnixListener
	own  string // where the socket is until Publish
	path string
	file fs.FileInfo // of the socket

	published bool // owned by who calls Publish, Close and Remove
}

// Listen makes a socket for this user alone, beside path. Nobody finds it there
// before Publish.
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
	file, err := os.Lstat(own)
	if err == nil {
		err = os.Chmod(own, 0o600)
	}
	if err != nil {
		l.Close()
		os.Remove(own)
		return nil, err
	}
	return &Listener{l: l, own: own, path: path, file: file}, nil
}

// Publish puts the socket at its path. It takes the place of a socket that is there,
// whose process hears nothing more, in one step: there is always somebody to call.
func (l *Listener) Publish() error {
	err := os.Rename(l.own, l.path)
	l.published = err == nil
	return err
}

// Accept waits for the next caller. After Close its error is net.ErrClosed.
func (l *Listener) Accept() (*Conn, error) {
	c, err := l.l.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return &Conn{c}, nil
}

// Close ends Accept. A file that was published stays: there is always somebody to
// call, or something to take the place of.
func (l *Listener) Close() error {
	if !l.published {
		os.Remove(l.own) // somebody may have done it: no error could matter
	}
	return l.l.Close()
}

// Remove removes the file, unless it is another process's by now.
func (l *Listener) Remove() {
	if there, err := os.Lstat(l.path); err == nil && os.SameFile(there, l.file) {
		os.Remove(l.path)
	}
}
