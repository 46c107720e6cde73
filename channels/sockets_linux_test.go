package channels_test

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/cluster/memory"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/epoll"
	"dunlin/transport/stream"
)

type listen func([]transport.Address, transport.Options, transport.NewHandler) (transport.Server, error)

// listeners are the transports, which have to agree.
var listeners = map[string]listen{
	"epoll": func(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
		return epoll.Listen(a, o, h)
	},
	"stream": func(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
		return stream.Listen(a, o, h)
	},
}

var onLoopback = transport.Address{Network: "tcp", Address: "127.0.0.1:0"}

// spy sees, on the loops' goroutines, what a hub does. Its functions may be nil.
type spy struct {
	sent   func(*protocol.Frame)
	turned func(more bool) // after a turn
}

// serve starts a hub on sockets, and ends it with the test.
func serve(tb testing.TB, listen listen, at transport.Address, loops int, spy spy) (*channels.Hub, net.Addr) {
	tb.Helper()
	counters, engine := metrics.New(), memory.New(memory.Options{})
	app := &apps.App{ID: "app-id", Key: "app-key", Secrets: []*protocol.Secret{protocol.NewSecret("secret")}, Enabled: true}
	hub := channels.New(channels.Options{
		Engine: engine, Counters: counters, ActivityTimeout: 2 * time.Minute,
		Apps: apps.NewRegistry(app), Log: slog.New(slog.DiscardHandler),
	})
	s, err := listen([]transport.Address{at}, transport.Options{Loops: loops, Counters: counters.Loop, MaxPendingBytes: 1 << 30},
		func(l transport.Loop) transport.Handler { return spied{hub.Shard(l), spy} })
	if err == nil {
		err = engine.Start(hub)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close(); engine.Close() })
	return hub, s.Addrs()[0]
}

// spied is a handler with a spy in it.
type spied struct {
	transport.Handler
	spy
}

func (s spied) Open(c transport.Conn, h transport.Handshake) (transport.Session, *protocol.Error) {
	return s.Handler.Open(spiedConn{c, s.spy}, h)
}

func (s spied) Turn(now time.Time) (more bool) {
	more = s.Handler.Turn(now)
	if s.turned != nil {
		s.turned(more)
	}
	return more
}

type spiedConn struct {
	transport.Conn
	spy
}

func (c spiedConn) Send(f *protocol.Frame) {
	if c.sent != nil {
		c.sent(f)
	}
	c.Conn.Send(f)
}
