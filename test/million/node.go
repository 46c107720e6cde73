//go:build linux && simulated

package main

import (
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"dunlin/apps"
	"dunlin/channels"
	"dunlin/cluster/memory"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/transport/epoll"
)

// node is a server as cmd/dunlin builds it, without HTTP and listeners.
type node struct {
	counters *metrics.Set
	hub      *channels.Hub
	engine   *memory.Engine
	server   *epoll.Server
	loops    []*stopwatch
}

const (
	appID  = "app-id"
	appKey = "app-key"
)

func newNode() (*node, error) {
	app := &apps.App{ID: appID, Key: appKey, Secrets: []*protocol.Secret{protocol.NewSecret("app-secret")}, Enabled: true, Limits: apps.DefaultLimits()}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	n := &node{counters: metrics.New(), engine: memory.New(memory.Options{})}
	n.hub = channels.New(channels.Options{
		Engine: n.engine, Apps: apps.NewRegistry(app), Counters: n.counters, Log: log, ActivityTimeout: 120 * time.Second,
	})
	err := n.engine.Start(n.hub)
	if err != nil {
		return nil, err
	}
	n.server, err = epoll.Listen(nil, transport.Options{Log: log, Counters: n.counters.Loop}, func(l transport.Loop) transport.Handler {
		w := &stopwatch{Handler: n.hub.Shard(l)}
		n.loops = append(n.loops, w)
		return w
	})
	return n, err
}

// stopwatch times the turns of a loop, from what woke it to the next look for
// events: reading, the shard, writing.
type stopwatch struct {
	transport.Handler

	began time.Time                 // owned by the loop
	times atomic.Pointer[turnTimes] // nil: not wanted
}

// Turn implements transport.Handler. now is when the turn began.
func (w *stopwatch) Turn(now time.Time) bool {
	w.began = now
	return w.Handler.Turn(now)
}

// stop ends a turn, if there was one.
func (w *stopwatch) stop() {
	if w.began.IsZero() {
		return
	}
	took := time.Since(w.began)
	w.began = time.Time{}
	if t := w.times.Load(); t != nil {
		t.add(took)
	}
}

// close ends the node.
func (n *node) close() error {
	n.server.Close()
	return n.engine.Close()
}
