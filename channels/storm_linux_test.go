package channels_test

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/cluster/memory"
	"dunlin/internal/load"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/epoll"
	"dunlin/transport/stream"
)

type listen func([]transport.Address, transport.Options, transport.NewHandler) (transport.Server, error)

var listeners = map[string]listen{
	"epoll": func(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
		return epoll.Listen(a, o, h)
	},
	"stream": func(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
		return stream.Listen(a, o, h)
	},
}

// made counts frames that a hub made, each once however often it was sent.
type made struct {
	mu     sync.Mutex
	frames map[*protocol.Frame]bool
}

func (m *made) note(f *protocol.Frame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frames[f] = true
}

// of is how many frames of a kind there are.
func (m *made) of(event string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f := range m.frames {
		if bytes.HasPrefix(f.Payload(), []byte(`{"event":"pusher_internal:`+event)) {
			n++
		}
	}
	return n
}

// watched is a handler whose connections note what they are sent.
type watched struct {
	transport.Handler
	made *made
}

type watchedConn struct {
	transport.Conn
	made *made
}

func (w watched) Open(c transport.Conn, h transport.Handshake) (transport.Session, *protocol.Error) {
	return w.Handler.Open(watchedConn{c, w.made}, h)
}

func (c watchedConn) Send(f *protocol.Frame) {
	c.made.note(f)
	c.Conn.Send(f)
}

// serve starts a hub on sockets, ends it with the test, and returns its URL.
func serve(tb testing.TB, listen listen, m *made) string {
	tb.Helper()
	counters, engine := metrics.New(), memory.New(memory.Options{})
	app := &apps.App{ID: "app-id", Key: "app-key", Secrets: []*protocol.Secret{protocol.NewSecret("secret")}, Enabled: true}
	hub := channels.New(channels.Options{
		Engine: engine, Counters: counters, ActivityTimeout: 2 * time.Minute,
		Apps: apps.NewRegistry(app), Log: slog.New(slog.DiscardHandler),
	})
	s, err := listen([]transport.Address{{Network: "tcp", Address: "127.0.0.1:0"}}, transport.Options{Loops: 2, Counters: counters.Loop},
		func(l transport.Loop) transport.Handler { return watched{hub.Shard(l), m} })
	if err == nil {
		err = engine.Start(hub)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close(); engine.Close() })
	return "http://" + s.Addrs()[0].String()
}

// storm has n clients join one presence channel at once, over real sockets, and
// sees that each heard of each other exactly once.
func storm(tb testing.TB, url string, n int) *load.Report {
	tb.Helper()
	o := load.Defaults(load.Presence)
	o.URL, o.Secret, o.Connections, o.Channels, o.Patience = url, protocol.NewSecret("secret"), n, 1, time.Minute
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
			m := &made{frames: map[*protocol.Frame]bool{}}
			storm(t, serve(t, listen, m), n)
			added, snapshots := m.of("member_added"), m.of("subscription_succeeded")
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
			m := &made{frames: map[*protocol.Frame]bool{}}
			url := serve(b, listen, m)
			for b.Loop() {
				storm(b, url, n)
			}
			joins := float64(b.N * n)
			b.ReportMetric(float64(m.of("subscription_succeeded"))/joins, "snapshots/join")
			b.ReportMetric(float64(m.of("member_added"))/joins, "member_added/join")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/joins, "µs/join")
		})
	}
}
