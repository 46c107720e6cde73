package load

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// sources are the addresses that connections come from. One address has no more
// connections to one server than it has ports.
type sources struct {
	list     []netip.Addr // round robin; empty: loopback
	loopback bool         // 127.0.1.1 and so on, as many as it takes
	each     int          // connections of one loopback address
}

// newSources takes the addresses that were given. Without any, connections to
// 127.0.0.0/8 come from as many addresses of it as they need, ports being what one
// has for itself, and all others from where the system thinks best.
func newSources(given []netip.Addr, target net.IP, ports int) sources {
	v4 := target.To4()
	return sources{list: given, loopback: len(given) == 0 && v4 != nil && v4.IsLoopback(), each: max(ports*3/4, 1)}
}

// of returns the address of connection i, none when the system chooses.
func (s sources) of(i int) netip.Addr {
	switch {
	case len(s.list) > 0:
		return s.list[i%len(s.list)]
	case s.loopback:
		const hosts = 254 // no .0 and no .255
		n := i / s.each
		return netip.AddrFrom4([4]byte{127, byte(n / (hosts * 254) % 255), byte(1 + n/hosts%254), byte(1 + n%hosts)})
	}
	return netip.Addr{}
}

// defaultPorts is what Linux has unless told otherwise.
const defaultPorts = 60999 - 32768 + 1

// localPorts is how many ports the system gives out for one address.
func localPorts() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return defaultPorts
	}
	return parsePorts(string(text))
}

func parsePorts(text string) int {
	f := strings.Fields(text)
	if len(f) != 2 {
		return defaultPorts
	}
	low, err := strconv.Atoi(f[0])
	high, err2 := strconv.Atoi(f[1])
	if err != nil || err2 != nil || high < low {
		return defaultPorts
	}
	return high - low + 1
}
