//go:build redis

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"dunlin/internal/testkit"
)

// host is where a node runs: on this machine, or in a network namespace, which is a
// host of its own with a cable to the clients and one to Redis.
type host struct {
	listen string   // address of the node, without its port
	port   int      // 0: any
	hooks  string   // URL of the receiver of webhooks
	wrap   []string // runs the node there
	link   link
}

func (w *world) newHost() host {
	if *hostsFlag {
		return w.namespaceHost()
	}
	return host{
		listen: "127.0.0.1", port: testkit.FreePort(w.t), hooks: w.receiver("127.0.0.1"),
		link: testkit.StartTCPProxy(w.t, "", w.redis.Socket),
	}
}

// hosts numbers the namespaces of this process.
var hosts atomic.Int64

// cable is a link that can be pulled out: nothing passes and nobody is told.
type cable struct {
	*testkit.Proxy // of which only the delay is used

	t   testing.TB
	dev string
}

func (c *cable) Cut()  { ip(c.t, "link", "set", c.dev, "down") }
func (c *cable) Hold() { c.Cut() }
func (c *cable) Heal() {
	ip(c.t, "link", "set", c.dev, "up")
	c.Proxy.Heal()
}

// namespaceHost makes a host. Its addresses are of the range for benchmarks between
// networks (RFC 2544), which nothing else uses.
func (w *world) namespaceHost() host {
	n := hosts.Add(1)
	name := fmt.Sprintf("dunlin%d-%d", os.Getpid(), n)
	address := func(cable, end int64) string {
		net := (int64(os.Getpid())*32 + n*2 + cable) % 512 // another run may be under way
		return fmt.Sprintf("198.%d.%d.%d", 18+net/256, net%256, end)
	}
	ip(w.t, "netns", "add", name)
	w.t.Cleanup(func() { ip(w.t, "netns", "del", name) }) // and with it its cables
	ip(w.t, "-n", name, "link", "set", "lo", "up")
	var devs []string
	for i, kind := range []string{"c", "r"} {
		dev := fmt.Sprintf("d%s%d-%d", kind, os.Getpid()%100_000, n)
		ip(w.t, "link", "add", dev, "type", "veth", "peer", "name", kind, "netns", name)
		ip(w.t, "addr", "add", address(int64(i), 1)+"/24", "dev", dev)
		ip(w.t, "link", "set", dev, "up")
		ip(w.t, "-n", name, "addr", "add", address(int64(i), 2)+"/24", "dev", kind)
		ip(w.t, "-n", name, "link", "set", kind, "up")
		devs = append(devs, dev)
	}
	return host{
		listen: address(0, 2), hooks: w.receiver(address(0, 1)), port: 6001,
		wrap: []string{"ip", "netns", "exec", name},
		link: &cable{testkit.StartTCPProxy(w.t, address(1, 1)+":0", w.redis.Socket), w.t, devs[1]},
	}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
