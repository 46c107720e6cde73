package channels

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/internal/addrlimit"
	"dunlin/internal/testkit"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

func from(ip string) transport.Handshake {
	return transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7", Remote: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
}

// TestAddresses: connections of an address are refused with a code that has clients
// back off, counted by reason, and given back when they close, and when the app
// does not want them.
//
// PITFALLS 26, 30.
func TestAddresses(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(int64(time.Hour))
	w := newWorld(t, 2, func(o *Options, _ *apps.App) {
		o.Protection.Connections = addrlimit.Limits{PerAddress: 2, NewPerAddressSecond: 100, NewPerSecond: 100}
		o.Now = func() time.Time { return time.Unix(0, now.Load()) }
	})
	unknown := from("10.0.0.1")
	unknown.Key = "nobody"
	for range 10 {
		if _, bad := w.try(0, unknown); bad == nil || bad.Code != protocol.CodeNoApp {
			t.Fatalf("an unknown key: %v", bad)
		}
	}
	a, _ := w.try(0, from("10.0.0.1"))
	if _, bad := w.try(1, from("10.0.0.1")); bad != nil {
		t.Fatalf("the second one: %v", bad)
	}
	if _, bad := w.try(1, from("10.0.0.1")); bad != protocol.ErrOverCapacity {
		t.Errorf("the third one: %v", bad)
	}
	if _, bad := w.try(1, from("10.0.0.2")); bad != nil {
		t.Errorf("of another address: %v", bad)
	}
	a.leaveAll()
	if _, bad := w.try(0, from("10.0.0.1")); bad != nil {
		t.Errorf("after one has left: %v", bad)
	}
	for range 200 {
		w.try(0, from("10.0.0.3"))
		w.try(0, from("10.0.0.4"))
	}
	c := w.hub.counters
	for reason, want := range map[metrics.Drop]uint64{metrics.DropRefused: 10, metrics.DropAddress: 1 + 2*98, metrics.DropAddressRate: 2 * 100} {
		if got := c.Drops(reason); got != want {
			t.Errorf("%s: %d, want %d", reason, got, want)
		}
	}
	_, bad := w.try(0, from("10.0.0.5"))
	if n, _ := w.hub.addresses.Taken(); bad != nil || n != 5 {
		t.Errorf("%v, %d addresses", bad, n)
	}
	for _, l := range w.loops {
		shard := l.shard.(*Shard)
		for len(shard.sessions) > 0 {
			shard.sessions[0].Closed(nil)
		}
		if n := len(shard.guards); n > 0 {
			t.Errorf("%d guards are left", n)
		}
	}
	if n, _ := w.hub.addresses.Taken(); n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}

// TestMessageRate: who sends more than it may is not read from for a while, is then
// read from again, and has lost nothing.
//
// PITFALLS 29.
func TestMessageRate(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(int64(time.Hour))
	w := newWorld(t, 1, func(o *Options, _ *apps.App) {
		o.Protection.MessagesPerSecond = 5
		o.Now = func() time.Time { return time.Unix(0, now.Load()) }
	})
	c, _ := w.try(0, from("10.0.0.1"))
	for i := range 7 {
		c.say(`{"event":"pusher:ping"}`)
		if want := i >= 5; c.paused != want {
			t.Errorf("after %d messages: paused %v", i+1, c.paused)
		}
	}
	if len(c.got) != 1+7 {
		t.Errorf("%d answers to 7 messages", len(c.got))
	}
	now.Add(int64(time.Second))
	testkit.Until(t, "it is read from again", func() bool { w.turn(); return !c.paused })
	for range 6 {
		c.say(`{"event":"pusher:ping"}`)
	}
	if n := w.hub.counters.Drops(metrics.DropMessageRate); n != 2 || !c.paused {
		t.Errorf("held back %d times, paused %v", n, c.paused)
	}
	c.leaveAll() // while it is held
	if len(w.loops[0].shard.(*Shard).guards) != 0 {
		t.Error("a guard is left")
	}
}
