package contract

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

var proxyCases = []testCase{
	{"a PROXY header says who comes", proxyHeaders},
	{"a PROXY header in pieces", proxyHeaderInPieces},
	{"a proxy without its header", badProxyHeaders},
	{"half a PROXY header", halfAProxyHeader},
	{"a PROXY header of a stranger", proxyHeaderOfAStranger},
	{"a PROXY header before http", proxyHeaderBeforeHTTP},
	{"forwarded headers", forwardedHeaders},
}

// behind is a server that trusts whoever is on this machine.
func behind(header bool) transport.Options {
	return transport.Options{Proxies: transport.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: header}}
}

// version2 is a PROXY header of version 2: command and family in one, then what its
// length counts.
func version2(command, family byte, rest string) string {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(rest)))
	return string(b) + rest
}

const (
	v4Addresses = "\x0a\x01\x02\x03\x7f\x00\x00\x01\x10\x01\x17\x71" // 10.1.2.3:4097 to 127.0.0.1:6001
	sslTLV      = "\x20\x00\x05\x01\x00\x00\x00\x00"                 // PP2_TYPE_SSL, with PP2_CLIENT_SSL
	plainTLV    = "\x20\x00\x05\x00\x00\x00\x00\x00"
)

func proxyHeaders(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: behind(true)})
	v6 := strings.Repeat("\x00", 15) + "\x05" + strings.Repeat("\x00", 15) + "\x01\x10\x01\x17\x71"
	for header, want := range map[string]struct {
		remote string
		secure bool
	}{
		"PROXY TCP4 10.1.2.3 127.0.0.1 4097 6001\r\n": {"10.1.2.3:4097", false},
		"PROXY TCP6 ::5 ::1 4097 6001\r\n":            {"[::5]:4097", false},
		"PROXY UNKNOWN\r\n":                           {"", false},
		"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n":       {"", false},
		version2(1, 0x11, v4Addresses):                {"10.1.2.3:4097", false},
		version2(1, 0x11, v4Addresses+sslTLV):         {"10.1.2.3:4097", true},
		version2(1, 0x11, v4Addresses+plainTLV):       {"10.1.2.3:4097", false},
		version2(1, 0x21, v6):                         {"[::5]:4097", false},
		version2(0, 0x11, v4Addresses):                {"", false}, // LOCAL: the proxy asks for itself
		version2(0, 0x00, ""):                         {"", false},
	} {
		c := n.dial()
		c.write(header + upgradeRequest("/app/key") + frame(fin|opText, "one"))
		c.switched()
		h := n.established(c).handshake
		if want.remote == "" {
			want.remote = c.nc.LocalAddr().String()
		}
		if h.Remote.String() != want.remote || h.Secure != want.secure || h.Key != "key" {
			t.Errorf("%q: %v, %v, want %+v", header, h.Remote, h.Secure, want)
		}
		c.hears("one")
	}
}

func proxyHeaderInPieces(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: behind(true)})
	for _, header := range []string{"PROXY TCP4 10.1.2.3 127.0.0.1 4097 6001\r\n", version2(1, 0x11, v4Addresses)} {
		c := n.dial()
		for _, b := range []byte(header + upgradeRequest("/app/key")) {
			c.write(string(b))
		}
		c.switched()
		if h := n.established(c).handshake; h.Remote.String() != "10.1.2.3:4097" {
			t.Errorf("%q: %v", header, h.Remote)
		}
	}
}

func badProxyHeaders(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: behind(true)})
	bad := []string{
		upgradeRequest("/app/key"),
		"GET / HTTP/1.1\r\n\r\n",
		"\x16\x03\x01\x00\x05",
		"PROXY TCP4 10.1.2.3 127.0.0.1 4097\r\n",
		"PROXY TCP4 10.1.2.300 127.0.0.1 4097 6001\r\n",
		"PROXY TCP4 10.1.2.3 127.0.0.1 4097 99999\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY " + repeat("x", 200),
		"PROXY TCP4 " + repeat("1", 120) + "\r\n",
		"PROXX",
		version2(1, 0x11, "short"),
		version2(1, 0x41, v4Addresses),
		version2(7, 0x11, v4Addresses),
		version2(1, 0x11, v4Addresses+repeat("x", 60_000)),
		"\r\n\r\n\x00\r\nQUIT\n\x11\x11\x00\x00",
		"\r\n\r\n\x00\r\nQUID\n",
	}
	for _, b := range bad {
		c := n.dial()
		c.write(b)
		c.cut()
	}
	n.drops(metrics.DropProxy, uint64(len(bad)))
	n.goodProxy()
}

// goodProxy sees that the server serves one that does it right.
func (n *node) goodProxy() {
	n.t.Helper()
	c := n.dial()
	c.write("PROXY TCP4 10.1.2.3 127.0.0.1 4097 6001\r\n" + upgradeRequest("/app/key"))
	c.switched()
	n.established(c)
}

func halfAProxyHeader(t *testing.T, listen Listen) {
	o := behind(true)
	o.HandshakeTimeout = 100 * time.Millisecond
	n := start(t, listen, config{options: o})
	half := []string{"P", "PROXY TCP4 10.1.2.3", "\r\n\r\n\x00\r\nQUIT\n", version2(1, 0x11, v4Addresses)[:20]}
	for _, b := range half {
		c := n.dial()
		c.write(b)
		c.cut()
	}
	n.drops(metrics.DropHandshake, uint64(len(half)))
	c := n.dial() // gone in the middle
	c.write("PROXY TCP4")
	c.nc.Close()
	n.goodProxy()
}

func proxyHeaderOfAStranger(t *testing.T, listen Listen) {
	o := behind(true)
	o.Proxies.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	n := start(t, listen, config{options: o})
	c := n.dial()
	c.write("PROXY TCP4 10.1.2.3 127.0.0.1 4097 6001\r\n" + upgradeRequest("/app/key"))
	c.cut() // it is a bad request, which nobody takes here
	c = n.dial()
	c.write(strings.Replace(upgradeRequest("/app/key"), "Host", "X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\nHost", 1))
	c.switched()
	if h := n.established(c).handshake; h.Remote.String() != c.nc.LocalAddr().String() || h.Secure {
		t.Errorf("a stranger's word counts: %+v", h)
	}
}

func proxyHeaderBeforeHTTP(t *testing.T, listen Listen) {
	q := newQueue()
	o := behind(true)
	o.HTTP = q.push
	n := start(t, listen, config{options: o})
	c := n.dial()
	c.write(version2(1, 0x11, v4Addresses+sslTLV) + "GET /live HTTP/1.1\r\nHost: h\r\n\r\n")
	nc, err := q.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if p := transport.PeerOf(nc); p.Addr.String() != "10.1.2.3:4097" || !p.Secure || nc.RemoteAddr() != p.Addr {
		t.Errorf("peer %+v, remote %v", p, nc.RemoteAddr())
	}
	buf := make([]byte, 64)
	nc.SetDeadline(time.Now().Add(patience))
	if m, err := nc.Read(buf); err != nil || !strings.HasPrefix(string(buf[:m]), "GET /live") {
		t.Errorf("%q, %v", buf[:m], err)
	}
	if err := n.server.Adopt(nc, []byte(upgradeRequest("/app/key"))); err != nil {
		t.Fatal(err)
	}
	c.switched()
	if h := n.established(c).handshake; h.Remote.String() != "10.1.2.3:4097" || !h.Secure {
		t.Errorf("adopted: %v, %v", h.Remote, h.Secure)
	}
}

func forwardedHeaders(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: behind(false), refuse: func(h transport.Handshake) *protocol.Error {
		if h.ForwardedFor == "" {
			return protocol.ErrReconnect
		}
		return nil
	}})
	c := n.dial()
	c.write(strings.Replace(upgradeRequest("/app/key"), "Host",
		"x-forwarded-for: 6.6.6.6\r\nX-Forwarded-For: 10.1.2.3, 127.0.0.9\r\nX-Forwarded-Proto: https\r\nHost", 1))
	c.switched()
	if h := n.established(c).handshake; h.Remote.String() != "10.1.2.3:0" || !h.Secure {
		t.Errorf("%+v", h)
	}
}
