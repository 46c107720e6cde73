package channels

import (
	"context"
	"fmt"
	"testing"

	"dunlin/cluster"
	"dunlin/protocol"
	"dunlin/transport"
)

// The stages of a subscribe frame and of a trigger that stand in this package.
// docs/performance.md lists all of them.

// BenchmarkSubscribe is a subscribe message from its bytes until the subscriber
// stands in its room, and the unsubscribe that undoes it. One who stays keeps the
// channel.
func BenchmarkSubscribe(b *testing.B) {
	for _, c := range []struct{ kind, channel, data string }{
		{"public", "room", ""},
		{"private", "private-room", ""},
		{"presence", "presence-room", `{"user_id":"two","user_info":{"name":"Two"}}`},
	} {
		b.Run(c.kind, func(b *testing.B) {
			w := newWorld(b, 1, nil)
			stays := ""
			if c.data != "" {
				stays = `{"user_id":"one"}`
			}
			w.open(0).subscribe(c.channel, stays)
			x := w.open(0)
			sink := &sinkConn{tab: tab{id: x.id}}
			x.session.(*session).conn = sink
			subscribe := []byte(x.subscribing(c.channel, c.data))
			unsubscribe := []byte(`{"event":"pusher:unsubscribe","data":{"channel":"` + c.channel + `"}}`)
			b.ReportAllocs()
			for b.Loop() {
				x.session.Message(subscribe)
				x.session.Message(unsubscribe)
				if c.data != "" { // its answers come through the engine
					w.turn()
				}
			}
			if sink.frames < b.N && c.data == "" {
				b.Fatalf("%d answers to %d subscribes", sink.frames, b.N)
			}
		})
	}
}

// BenchmarkOpen is a connection from its handshake to connection_established, and
// its end.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b, 1, nil)
	sink := &sinkConn{tab: tab{id: protocol.NewSocketID()}}
	b.ReportAllocs()
	for b.Loop() {
		s, bad := w.loops[0].shard.Open(sink, transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7&client=js&version=8.4.0"})
		if bad != nil {
			b.Fatal(bad)
		}
		s.Closed(nil)
	}
}

// BenchmarkPublish is Hub.Publish: engine, directory, and the mailboxes of the
// loops with subscribers, among so many channels; and then the shard's turn, which
// serves the one subscriber.
func BenchmarkPublish(b *testing.B) {
	for _, loops := range []int{1, 2} {
		for _, others := range []int{0, 1000, 100_000} {
			b.Run(fmt.Sprintf("loops=%d/channels=%d", loops, others+1), func(b *testing.B) {
				w := newWorld(b, loops, nil)
				for loop := range loops {
					c := w.open(loop)
					c.subscribe("room", "")
					c.session.(*session).subs.list[0].conn = &sinkConn{}
				}
				crowd := w.open(0)
				for i := range others {
					crowd.subscribe(fmt.Sprintf("other-%d", i), "")
				}
				p := []cluster.Publication{{Channel: protocol.ChannelKey{App: "1", Name: "room"}, Message: cluster.Message{Frame: protocol.Pong}}}
				b.ReportAllocs()
				for b.Loop() {
					w.hub.Publish(context.Background(), p)
					w.turn()
				}
			})
		}
	}
}
