package deliver

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestRefusal(t *testing.T) {
	t.Parallel()
	const always, private, never = 2, 1, 0
	for address, want := range map[string]int{
		"169.254.169.254": always, "169.254.0.1": always, "fe80::1": always, "fe80::1%eth0": always, "100.100.100.200": always,
		"168.63.129.16": always, "fd00:ec2::254": always, "192.0.0.192": always, "0.0.0.0": always, "::": always,
		"224.0.0.1": always, "ff02::1": always, "255.255.255.255": always,
		"::ffff:169.254.169.254": always, "64:ff9b::a9fe:a9fe": always, "2002:a9fe:a9fe::1": always, "64:ff9b:1::a9fe:a9fe": always,
		"64:ff9b:1:a:b::a9fe:a9fe": always, "::ffff:0:a9fe:a9fe": always, "fd00:ec2::23": always, "169.254.170.2": always,

		"127.0.0.1": private, "127.8.8.8": private, "::1": private, "10.1.2.3": private, "172.16.0.1": private, "192.168.1.1": private,
		"fc00::1": private, "fd12::1": private, "100.64.0.1": private, "0.1.2.3": private, "198.18.0.1": private, "240.0.0.1": private,
		"192.0.2.1": private, "fec0::1": private, "2001:db8::1": private, "::ffff:127.0.0.1": private, "::ffff:10.0.0.1": private,
		"64:ff9b::7f00:1": private, "2002:7f00:1::": private, "::127.0.0.1": private,
		"64:ff9b:1::7f00:1": private, "64:ff9b:1::808:808": private, "::ffff:0:a00:1": private,

		"8.8.8.8": never, "172.32.0.1": never, "192.167.1.1": never, "2a00:1450::1": never, "64:ff9b::808:808": never, "::ffff:8.8.8.8": never,
	} {
		ip := netip.MustParseAddr(address)
		if off := refusal(ip, false) != ""; off != (want >= private) {
			t.Errorf("%s with private targets off: refused %v (%s)", address, off, refusal(ip, false))
		}
		if on := refusal(ip, true) != ""; on != (want == always) {
			t.Errorf("%s with private targets allowed: refused %v (%s)", address, on, refusal(ip, true))
		}
	}
}

// The name is resolved first: what counts is where the connection would go.
func TestDialJudgesTheResolvedAddress(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	name := net.JoinHostPort("localhost", port)
	if _, err := dialer(false)(name, time.Second); !errors.Is(err, errTarget) {
		t.Errorf("localhost with private targets off: %v", err)
	}
	c, err := dialer(true)(name, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := dialer(true)("169.254.169.254:80", time.Second); !errors.Is(err, errTarget) {
		t.Errorf("metadata: %v", err)
	}
}
