package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/wire"
)

var (
	errTLS   = errors.New("TLS handshake")
	errPlain = &wire.Refusal{Status: http.StatusBadRequest, Text: "This port speaks TLS: use https:// and wss://"}
)

// recordHandshake is the first byte of a TLS connection (RFC 8446 §5.1).
const recordHandshake = 22

// arrive deals with what comes before the request: the header of a proxy, and TLS.
// It returns what was read beyond them. bad is what a client is to hear that came
// without TLS where there should be some.
func (c *conn) arrive(read []byte) (rest []byte, bad *protocol.Error, err error) {
	if c.adopted {
		return read, nil, nil
	}
	if p := &c.loop.o.Proxies; p.Header && p.Trust(c.peer.Addr) {
		if read, err = c.introduced(read); err != nil {
			return nil, nil, err
		}
	}
	if c.loop.o.TLS == nil {
		return read, nil, nil
	}
	if len(read) == 0 {
		if read, err = c.more(read); err != nil {
			return nil, nil, err
		}
	}
	if read[0] != recordHandshake {
		c.loop.count.Drop(metrics.DropPlain)
		return read, protocol.ErrTLSOnly, nil
	}
	secure := tls.Server(transport.ReplayOf(c.nc, read, c.peer), c.loop.o.TLS)
	if err := secure.Handshake(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errTLS, err)
	}
	c.nc, c.peer.Secure = secure, true
	return nil, nil, nil
}

// introduced reads the header with which a proxy says who the client is.
func (c *conn) introduced(read []byte) (rest []byte, err error) {
	for {
		n, from, err := wire.ProxyHeader(read, c.peer)
		if n > 0 || err != nil {
			c.peer = from
			return read[n:], err
		}
		if read, err = c.more(read); err != nil {
			return nil, err
		}
	}
}

// more appends what one read yields.
func (c *conn) more(read []byte) ([]byte, error) {
	var buf [1 << 10]byte
	n, err := c.nc.Read(buf[:])
	if n > 0 {
		return append(read, buf[:n]...), nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return nil, err
}
