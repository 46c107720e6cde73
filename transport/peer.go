package transport

import (
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
)

// Peer is what is known of a connection's other end.
type Peer struct {
	Addr   net.Addr
	Secure bool // it came over TLS, here or to a proxy that is trusted
}

// PeerOf is the other end of a connection: what a proxy said of it, where
// ReplayOf was told, else what the socket says.
func PeerOf(nc net.Conn) Peer {
	switch c := nc.(type) {
	case *replay:
		return c.peer
	case *tls.Conn:
		p := PeerOf(c.NetConn())
		p.Secure = true
		return p
	}
	return Peer{Addr: nc.RemoteAddr()}
}

// OverTLS reports whether a connection is this server's TLS.
func OverTLS(nc net.Conn) bool {
	if r, ok := nc.(*replay); ok {
		nc = r.Conn
	}
	_, ok := nc.(*tls.Conn)
	return ok
}

// Proxies is whose word about others counts. The zero value trusts nobody.
type Proxies struct {
	Trusted []netip.Prefix
	Unix    bool // whoever comes by a unix socket
	Header  bool // connections from those who are trusted begin with a PROXY header
}

// Trust reports whether an address is one of a trusted proxy.
func (p *Proxies) Trust(a net.Addr) bool {
	switch a := a.(type) {
	case *net.UnixAddr:
		return p.Unix
	case *net.TCPAddr:
		return p.trusts(a.AddrPort().Addr())
	}
	return false
}

func (p *Proxies) trusts(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, t := range p.Trusted {
		if t.Contains(ip) {
			return true
		}
	}
	return false
}

// Any reports whether anybody is trusted.
func (p *Proxies) Any() bool { return p.Unix || len(p.Trusted) > 0 }

// Client is who a request is from that came from peer with these X-Forwarded-For
// and X-Forwarded-Proto headers, "" for none. A client can write what it likes in
// front of what the proxies add: the last address that no trusted proxy has counts.
func (p *Proxies) Client(peer Peer, forwardedFor, proto string) Peer {
	if !p.Trust(peer.Addr) {
		return peer
	}
	if proto != "" {
		first, _, _ := strings.Cut(proto, ",")
		first = strings.ToLower(strings.TrimSpace(first))
		peer.Secure = first == "https" || first == "wss"
	}
	for rest := forwardedFor; rest != ""; {
		var last string
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, last = rest[:i], rest[i+1:]
		} else {
			rest, last = "", rest
		}
		ap, ok := parseForwarded(strings.TrimSpace(last))
		if !ok {
			break
		}
		peer.Addr = net.TCPAddrFromAddrPort(ap)
		if !p.trusts(ap.Addr()) {
			break
		}
	}
	return peer
}

// Introduce notes in a handshake whom it is from, when the socket says peer.
func (p *Proxies) Introduce(h *Handshake, peer Peer) {
	if p.Any() {
		peer = p.Client(peer, h.ForwardedFor, h.ForwardedProto)
	}
	h.Remote, h.Secure = peer.Addr, peer.Secure
}

// parseForwarded reads an address as proxies write them, with a port or without.
func parseForwarded(s string) (netip.AddrPort, bool) {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), 0), true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap, err == nil
}
