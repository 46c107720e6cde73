// Package wire is WebSocket (RFC 6455) over bytes, without I/O: what a new
// connection is, its upgrade, frames in and control frames out. Nothing outside
// it knows the library that helps with them.
package wire

import "bytes"

// Verdict says what a new connection turned out to be.
type Verdict uint8

const (
	Undecided Verdict = iota // all bytes so far fit a WebSocket connection
	WebSocket                // begins with "GET PREFIX/app/"
	HTTP                     // anything else
)

// Door tells WebSocket connections from others by their first bytes.
type Door struct{ want []byte }

// NewDoor returns the door of a server whose WebSocket paths begin with
// prefix + "/app/".
func NewDoor(prefix string) Door { return Door{[]byte("GET " + prefix + "/app/")} }

// Classify judges the first bytes of a connection. The first byte that differs
// decides, so at most len(prefix)+9 bytes are ever needed.
func (d Door) Classify(b []byte) Verdict {
	n := min(len(b), len(d.want))
	switch {
	case !bytes.Equal(b[:n], d.want[:n]):
		return HTTP
	case n < len(d.want):
		return Undecided
	}
	return WebSocket
}

// MaxHeader is how many bytes an upgrade request may have, its empty line
// included. Cookies of the page's site come along, so less is not enough.
const MaxHeader = 16 << 10

var emptyLine = []byte("\r\n\r\n")

// HeaderEnd returns the length of the request in b up to and with its empty
// line, or 0 while that has not come. The first searched bytes are known not to
// hold all of it.
func HeaderEnd(b []byte, searched int) int {
	from := max(searched-len(emptyLine)+1, 0)
	i := bytes.Index(b[from:], emptyLine)
	if i < 0 {
		return 0
	}
	return from + i + len(emptyLine)
}
