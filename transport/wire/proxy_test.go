package wire

import (
	"net"
	"testing"

	"dunlin/transport"
)

// FuzzProxyHeader: whatever comes, the answer is the same however it is cut, no
// header is longer than its bound, and no proxy is made to speak for nobody.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		"PROXY TCP4 10.1.2.3 127.0.0.1 4097 6001\r\nGET /", "PROXY UNKNOWN\r\n", "PROXY TCP6 ::1 ::2 1 2\r\n", "PROXY ",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\x7f\x00\x00\x01\x10\x01\x17\x71rest",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "\r\n\r\n\x00\r\nQUIT\n\x21\x31\xff\xff", "GET / HTTP/1.1\r\n\r\n", "",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x14\x0a\x01\x02\x03\x7f\x00\x00\x01\x10\x01\x17\x71\x20\x00\x05\x01\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	proxy := transport.Peer{Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, from, err := ProxyHeader(b, proxy)
		switch {
		case n < 0 || n > len(b) || n > maxProxyV2:
			t.Fatalf("%d bytes of %d", n, len(b))
		case from.Addr == nil:
			t.Fatal("it is from nowhere")
		case err != nil && (n != 0 || from != proxy):
			t.Fatalf("%v, and %d %+v", err, n, from)
		}
		if n == 0 {
			return
		}
		for i := range n { // no part of it is a whole one
			if m, _, err := ProxyHeader(b[:i], proxy); m != 0 || err != nil {
				t.Fatalf("the first %d bytes of %d: %d, %v", i, n, m, err)
			}
		}
	})
}
