package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"

	"github.com/pires/go-proxyproto"

	"dunlin/transport"
)

// The PROXY protocol, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

var (
	proxyV1   = []byte("PROXY ")
	proxyV2   = []byte("\r\n\r\n\x00\r\nQUIT\n")
	proxyLine = []byte("\r\n")
)

const (
	maxProxyV1 = 107     // §2.1: with its line's end
	maxProxyV2 = 4 << 10 // §2.2: addresses take 216 bytes at most; the rest is what proxies add
	proxyV2Fix = 16      // before what its length counts
)

// ErrProxyHeader is why a connection from a proxy is ended that does not begin as
// agreed.
var ErrProxyHeader = errors.New("no valid PROXY header")

// ProxyHeader reads the header that b begins with, of version 1 or 2, from a socket
// whose other end is proxy. It returns the header's length, 0 while it is not
// whole, and whom the connection is from: the proxy itself when it says that it
// speaks for nobody.
func ProxyHeader(b []byte, proxy transport.Peer) (n int, from transport.Peer, err error) {
	if n, err = proxyLength(b); n == 0 || err != nil {
		return 0, proxy, err
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(b[:n])))
	if err != nil {
		return 0, proxy, ErrProxyHeader
	}
	source, ok := h.SourceAddr.(*net.TCPAddr)
	if h.Command.IsLocal() || !ok {
		return n, proxy, nil
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return 0, proxy, ErrProxyHeader
	}
	return n, transport.Peer{Addr: source, Secure: overTLS(tlvs)}, nil
}

// overTLS reports whether the client came to the proxy over TLS (§2.2.5).
func overTLS(tlvs []proxyproto.TLV) bool {
	const clientSSL = 1
	for _, t := range tlvs {
		if t.Type == proxyproto.PP2_TYPE_SSL && len(t.Value) > 0 {
			return t.Value[0]&clientSSL != 0
		}
	}
	return false
}

// proxyLength is the length of the header that b begins with; 0: more of it is to
// come.
func proxyLength(b []byte) (int, error) {
	switch {
	case begins(b, proxyV2):
		if len(b) < proxyV2Fix {
			return 0, nil
		}
		n := proxyV2Fix + int(binary.BigEndian.Uint16(b[14:]))
		if n > maxProxyV2 {
			return 0, ErrProxyHeader
		}
		if len(b) < n {
			return 0, nil
		}
		return n, nil
	case begins(b, proxyV1):
		line := b[:min(len(b), maxProxyV1)]
		if i := bytes.Index(line, proxyLine); i >= 0 {
			return i + len(proxyLine), nil
		}
		if len(line) < maxProxyV1 {
			return 0, nil
		}
	}
	return 0, ErrProxyHeader
}

// begins reports whether b and want agree as far as the shorter goes.
func begins(b, want []byte) bool {
	n := min(len(b), len(want))
	return bytes.Equal(b[:n], want[:n])
}
