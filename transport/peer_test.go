package transport

import (
	"net"
	"net/netip"
	"testing"
)

func tcp(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestClient(t *testing.T) {
	t.Parallel()
	p := &Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, Unix: true}
	unix := &net.UnixAddr{Name: "@", Net: "unix"}
	for _, c := range []struct {
		peer       net.Addr
		list, over string
		addr       string
		secure     bool
	}{
		{tcp("10.0.0.1:1"), "", "", "10.0.0.1:1", false},
		{tcp("10.0.0.1:1"), "1.2.3.4", "https", "1.2.3.4:0", true},
		{tcp("10.0.0.1:1"), "1.2.3.4", "http", "1.2.3.4:0", false},
		{tcp("10.0.0.1:1"), "1.2.3.4", "WSS , http", "1.2.3.4:0", true},
		{tcp("10.0.0.1:1"), "6.6.6.6, 1.2.3.4", "", "1.2.3.4:0", false},               // the client wrote the first
		{tcp("10.0.0.1:1"), "6.6.6.6, 1.2.3.4, 10.0.0.2", "", "1.2.3.4:0", false},     // through two proxies
		{tcp("10.0.0.1:1"), "10.0.0.3,10.0.0.2", "", "10.0.0.3:0", false},             // from inside
		{tcp("10.0.0.1:1"), "1.2.3.4:5678", "", "1.2.3.4:5678", false},                // with a port
		{tcp("10.0.0.1:1"), "[2001:db8::1]:443", "", "[2001:db8::1]:443", false},      // of IPv6
		{tcp("10.0.0.1:1"), "2001:db8::1", "", "[2001:db8::1]:0", false},              // without
		{tcp("10.0.0.1:1"), "1.2.3.4, garbage, 10.0.0.2", "", "10.0.0.2:0", false},    // no further than that
		{tcp("10.0.0.1:1"), "garbage", "https", "10.0.0.1:1", true},                   // nor at all
		{tcp("10.0.0.1:1"), ",,,", "", "10.0.0.1:1", false},                           //
		{tcp("[::ffff:10.0.0.1]:1"), "1.2.3.4", "https", "1.2.3.4:0", true},           // on a socket for both
		{tcp("[fd00::1%eth0]:1"), "1.2.3.4", "", "1.2.3.4:0", false},                  //
		{unix, "1.2.3.4", "https", "1.2.3.4:0", true},                                 //
		{tcp("11.0.0.1:1"), "1.2.3.4", "https", "11.0.0.1:1", false},                  // a stranger
		{tcp("11.0.0.1:1"), "10.0.0.2, 10.0.0.1", "https", "11.0.0.1:1", false},       //
		{tcp("10.0.0.1:1"), "::ffff:1.2.3.4", "", "1.2.3.4:0", false},                 //
		{tcp("10.0.0.1:1"), "unknown, 1.2.3.4, _hidden", "https", "10.0.0.1:1", true}, // RFC 7239 §6.3
	} {
		got := p.Client(Peer{Addr: c.peer}, c.list, c.over)
		if got.Addr.String() != c.addr || got.Secure != c.secure {
			t.Errorf("%v, %q, %q: %v %v, want %s %v", c.peer, c.list, c.over, got.Addr, got.Secure, c.addr, c.secure)
		}
	}
	nobody := &Proxies{}
	if got := nobody.Client(Peer{Addr: unix}, "1.2.3.4", "https"); got.Secure || got.Addr != net.Addr(unix) || nobody.Any() {
		t.Errorf("nobody is trusted, but %+v", got)
	}
}
