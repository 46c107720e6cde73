//go:build unix

// Package handover passes messages and open files between a process and the one
// that takes its place, over a unix socket that only their user may use.
package handover

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is one side of a conversation. It is not safe for several goroutines.
type Conn struct{ c *net.UnixConn }

// Dial calls the process that listens at path. An error that is fs.ErrNotExist says
// that there is none.
func Dial(path string) (*Conn, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, syscall.ECONNREFUSED) { // a process that was killed left the file behind
		err = fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return &Conn{c}, nil
}

// Close ends the conversation; the other side's Receive returns io.EOF.
func (c *Conn) Close() error { return c.c.Close() }

// SetDeadline bounds Send and Receive; zero: not any more.
func (c *Conn) SetDeadline(t time.Time) error { return c.c.SetDeadline(t) }

// A message is any number of portions of files, then its text:
//
//	'F' with descriptors beside it
//	'T' length (4 bytes, big endian) JSON
const (
	markFiles = 'F'
	markText  = 'T'
	portion   = 200     // SCM_MAX_FD is 253
	maxText   = 1 << 30 // millions of channels, and of webhooks; what is longer is nonsense
)

// Send sends a value, as JSON, and duplicates of files.
func (c *Conn) Send(v any, files ...*os.File) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > maxText {
		return fmt.Errorf("a message of %d bytes is too long", len(text))
	}
	for len(files) > 0 {
		n := min(portion, len(files))
		if err := c.sendFiles(files[:n]); err != nil {
			return fmt.Errorf("passing files on: %w", err)
		}
		files = files[n:]
	}
	head := binary.BigEndian.AppendUint32([]byte{markText}, uint32(len(text)))
	_, err = c.c.Write(append(head, text...))
	return err
}

func (c *Conn) sendFiles(files []*os.File) error {
	fds := make([]int, 0, len(files))
	return withDescriptors(files, fds, func(fds []int) error {
		_, _, err := c.c.WriteMsgUnix([]byte{markFiles}, unix.UnixRights(fds...), nil)
		return err
	})
}

// withDescriptors calls f while all files are kept open. File.Fd would make them
// blocking, and the sockets with them that the other process gets.
func withDescriptors(files []*os.File, fds []int, f func([]int) error) error {
	if len(files) == 0 {
		return f(fds)
	}
	rc, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = rc.Control(func(fd uintptr) { inner = withDescriptors(files[1:], append(fds, int(fd)), f) })
	return errors.Join(err, inner)
}

// Receive takes one message: its value into v, and its files, which are the
// caller's. At the other side's end it returns io.EOF.
func (c *Conn) Receive(v any) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	for {
		mark, got, err := c.receiveMark()
		files = append(files, got...)
		if err != nil {
			return files, err
		}
		if mark == markText {
			return files, c.receiveText(v)
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// receiveMark reads one byte and what files came beside it.
func (c *Conn) receiveMark() (mark byte, files []*os.File, err error) {
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(portion*4))
	n, oobn, _, _, err := c.c.ReadMsgUnix(b[:], oob)
	if err != nil {
		return 0, nil, err
	}
	if n == 0 {
		return 0, nil, io.EOF
	}
	controls, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, nil, os.NewSyscallError("recvmsg", err)
	}
	for i := range controls {
		fds, err := unix.ParseUnixRights(&controls[i])
		if err != nil {
			return 0, files, os.NewSyscallError("recvmsg", err)
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "inherited"))
		}
	}
	if b[0] != markText && b[0] != markFiles {
		return 0, files, fmt.Errorf("a message begins with %q", b[0])
	}
	return b[0], files, nil
}

func (c *Conn) receiveText(v any) error {
	var head [4]byte
	if _, err := io.ReadFull(c.c, head[:]); err != nil {
		return fmt.Errorf("reading a message: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxText {
		return fmt.Errorf("a message of %d bytes is too long", n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(c.c, text); err != nil {
		return fmt.Errorf("reading a message: %w", err)
	}
	return json.Unmarshal(text, v)
}
