package httpapi

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// lingering is a listener whose connections can be closed gently.
type lingering struct {
	net.Listener
	wait time.Duration
}

func (l lingering) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc, wait: l.wait}, nil
}

// conn is a connection that may be told to linger. A socket closed with bytes
// unread resets the connection, and the reset overtakes the answer: a backend
// that sends too large a body would see a broken pipe instead of the 413.
type conn struct {
	net.Conn
	wait   time.Duration
	refuse atomic.Bool
}

// maxLinger bounds what is read to be thrown away.
const maxLinger = 64 << 20

// Close closes at once, or after a refusal sends its end first and reads on
// until the peer has closed too.
func (c *conn) Close() error {
	if c.refuse.Swap(false) {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		c.Conn.SetReadDeadline(time.Now().Add(c.wait))
		io.Copy(io.Discard, io.LimitReader(c.Conn, maxLinger))
	}
	return c.Conn.Close()
}
