package deliver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errTarget is why a connection was not made.
var errTarget = errors.New("webhooks may not go to this address")

// metadata are addresses that no webhook ever goes to: with them, whoever may set
// a webhook could read the machine's credentials from its cloud.
var metadata = prefixes(
	"100.100.100.200/32", // Alibaba Cloud
	"168.63.129.16/32",   // Azure
	"192.0.0.192/32",     // Oracle Cloud
	"fd00:ec2::/32",      // Amazon: metadata, and credentials of EKS
	"fd20:ce::254/128",   // Google
)

// private are the addresses beside Go's IsPrivate and IsLoopback that do not lead
// to the public internet (IANA's special-purpose registries).
var private = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10",
)

// embedded are addresses of IPv6 that stand for one of IPv4, with the place of its bytes.
var embedded = []struct {
	in netip.Prefix
	at int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64 (RFC 6052)
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // NAT64 within a network (RFC 8215), as /96
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // translated (RFC 2765)
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// refusal says why webhooks may not go to an address; "": they may.
func refusal(ip netip.Addr, allowPrivate bool) string {
	ip = ip.WithZone("").Unmap()
	for _, e := range embedded {
		if e.in.Contains(ip) {
			b := ip.As16()
			v4, _ := netip.AddrFromSlice(b[e.at : e.at+4]) // 4 bytes are an address
			if why := refusal(v4, allowPrivate); why != "" {
				return why
			}
		}
	}
	switch {
	case ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is not the address of one machine"
	case ip.IsLinkLocalUnicast():
		return "is link-local"
	}
	contains := func(p netip.Prefix) bool { return p.Contains(ip) }
	switch {
	case slices.ContainsFunc(metadata, contains):
		return "is a cloud's metadata service"
	case allowPrivate:
		return ""
	case ip.IsLoopback() || ip.IsPrivate():
		return "is private, and webhooks.allow_private_targets is off"
	case slices.ContainsFunc(private, contains):
		return "is not public, and webhooks.allow_private_targets is off"
	}
	return ""
}

// dialer connects with endpoints. The address is judged when it is known for
// good, after the name was resolved and for each address that is tried, so that a
// name whose address changes gets nobody further.
func dialer(allowPrivate bool) func(addr string, timeout time.Duration) (net.Conn, error) {
	control := func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: %w", errTarget, err)
		}
		if why := refusal(ap.Addr(), allowPrivate); why != "" {
			return fmt.Errorf("%w: %s %s", errTarget, ap.Addr(), why)
		}
		return nil
	}
	return func(addr string, timeout time.Duration) (net.Conn, error) {
		d := net.Dialer{Timeout: timeout, Control: control}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			return nil, err
		}
		return &conn{TCPConn: c.(*net.TCPConn)}, nil
	}
}
