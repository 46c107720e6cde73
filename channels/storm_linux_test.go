package channels_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"dunlin/internal/load"
	"dunlin/protocol"
)

// census counts the frames that a hub made, each once however often it was sent.
type census struct {
	mu     sync.Mutex
	frames map[*protocol.Frame]bool
}

func (c *census) note(f *protocol.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frames == nil {
		c.frames = map[*protocol.Frame]bool{}
	}
	c.frames[f] = true
}

// of is how many frames of a kind there are.
func (c *census) of(event string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.frames {
		if bytes.HasPrefix(f.Payload(), []byte(`{"event":"pusher_internal:`+event)) {
			n++
		}
	}
	return n
}

// storm has n clients join one presence channel at once, over real sockets, and
// sees that each heard of each other exactly once.
func storm(tb testing.TB, addr net.Addr, n int) *load.Report {
	tb.Helper()
	o := load.Defaults(load.Presence)
	o.URL, o.Secret, o.Connections, o.Channels, o.Patience = "http://"+addr.String(), protocol.NewSecret("secret"), n, 1, time.Minute
	r, err := load.Run(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	if r.Joins.Succeeded != int64(n) || r.Members.Lost != 0 || r.Members.Repeated != 0 || len(r.Errors) > 0 {
		tb.Errorf("%+v %+v %v", r.Joins, r.Members, r.Errors)
	}
	return r
}

// TestJoinStormOnSockets: n joins take O(n) encodes, however they fall into turns:
// no more than a member_added and a snapshot each, though there are n² members to
// tell of.
func TestJoinStormOnSockets(t *testing.T) {
	t.Parallel()
	const n = 300
	for name, listen := range listeners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c census
			_, addr := serve(t, listen, onLoopback, 2, spy{sent: c.note})
			storm(t, addr, n)
			added, snapshots := c.of("member_added"), c.of("subscription_succeeded")
			if added > n || snapshots > n || snapshots == 0 {
				t.Errorf("%d joins made %d member_added and %d snapshots", n, added, snapshots)
			}
		})
	}
}

// BenchmarkJoinStormOnSockets counts in the clients, which are in the same process.
func BenchmarkJoinStormOnSockets(b *testing.B) {
	const n = 1000
	for name, listen := range listeners {
		b.Run(name, func(b *testing.B) {
			var c census
			_, addr := serve(b, listen, onLoopback, 2, spy{sent: c.note})
			for b.Loop() {
				storm(b, addr, n)
			}
			joins := float64(b.N * n)
			b.ReportMetric(float64(c.of("subscription_succeeded"))/joins, "snapshots/join")
			b.ReportMetric(float64(c.of("member_added"))/joins, "member_added/join")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/joins, "µs/join")
		})
	}
}
