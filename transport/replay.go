package transport

import (
	"errors"
	"net"
	"syscall"
)

// Replay returns nc with bytes that were already read of it: Read yields them
// first. It copies read.
func Replay(nc net.Conn, read []byte) net.Conn { return ReplayOf(nc, read, PeerOf(nc)) }

// ReplayOf is Replay of a connection whose other end is not the socket's.
func ReplayOf(nc net.Conn, read []byte, from Peer) net.Conn {
	return &replay{Conn: nc, peer: from, read: append([]byte(nil), read...)}
}

type replay struct {
	net.Conn
	peer Peer
	read []byte // Owned by the goroutine that reads
}

// RemoteAddr is the other end's address, which a proxy may have told.
func (r *replay) RemoteAddr() net.Addr { return r.peer.Addr }

func (r *replay) Read(b []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.read)
	if r.read = r.read[n:]; len(r.read) == 0 {
		r.read = nil // an HTTP keep-alive connection lives on for long
	}
	return n, nil
}

// SyscallConn reaches the socket, so that Server.Adopt can take it over once the
// replayed bytes were read.
func (r *replay) SyscallConn() (syscall.RawConn, error) {
	sc, ok := r.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("connection has no file descriptor")
	}
	return sc.SyscallConn()
}
