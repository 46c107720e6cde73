package deliver

import (
	"errors"
	"net"
	"time"
)

// errStale is why a request was not sent on a connection that had been kept.
var errStale = errors.New("the endpoint has closed the connection meanwhile")

// conn is a connection with an endpoint. Many servers close what was idle for some
// seconds; a request that is written then is lost, and counts as a failure. So the
// client hears of it before it writes, when it sets its deadline, and connects anew.
type conn struct {
	*net.TCPConn
	used bool // a request was sent; before, there may be what TLS has still to read
}

// SetWriteDeadline is called before each request.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.used && readable(c.TCPConn) {
		return errStale
	}
	return c.TCPConn.SetWriteDeadline(t)
}

// SetReadDeadline is called after each request.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.used = true
	return c.TCPConn.SetReadDeadline(t)
}
