package channels

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

const okPublic = `{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":"room"}`

func event(n int) string {
	return fmt.Sprintf(`{"event":"e","data":"%d","channel":"room"}`, n)
}

// PROTOCOL 2.7, 2.8, 2.11, 2.25–2.27, 2.30
func TestSubscribePublishUnsubscribe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, nil)
	a, b := w.open(0), w.open(1)
	w.publish("room", "e", "0", protocol.SocketID{})
	a.subscribe("room", "")
	b.subscribe("room", "")
	a.expect(okPublic)
	b.expect(okPublic)
	w.publish("room", "e", "1", protocol.SocketID{})
	w.publish("room", "e", "2", b.id)
	w.publish("room", "e", "3", protocol.SocketID{})
	a.expect(event(1), event(2), event(3))
	b.expect(event(1), event(3))
	a.subscribe("room", "")
	a.expect(`{"event":"pusher:error","data":{"code":null,"message":"Existing subscription to channel room"}}`)
	a.unsubscribe("room")
	w.publish("room", "e", "4", protocol.SocketID{})
	b.expect(event(4))
	a.expect()
	a.unsubscribe("room")
	a.expect(`{"event":"pusher:error","data":{"code":null,"message":"No current subscription to channel room, or subscription in progress"}}`)
}

// What was published before a subscribe is not for it, although it was still in
// the loop's mailbox (PROTOCOL 2.11).
func TestEventsBeforeSubscribeAreNotDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a, b := w.open(0), w.open(0)
	a.subscribe("room", "")
	a.expect(okPublic)
	w.publish("room", "e", "1", protocol.SocketID{})
	b.subscribe("room", "")
	w.publish("room", "e", "2", protocol.SocketID{})
	a.expect(event(1), event(2))
	b.expect(okPublic, event(2))
}

func member(id string) string { return `{"user_id":"` + id + `"}` }

func added(id string) string {
	return `{"event":"pusher_internal:member_added","data":"{\"user_id\":\"` + id + `\",\"user_info\":{}}","channel":"presence-p"}`
}

func removed(id string) string {
	return `{"event":"pusher_internal:member_removed","data":"{\"user_id\":\"` + id + `\"}","channel":"presence-p"}`
}

func snapshot(ids ...string) string {
	var hash []string
	for i, id := range ids {
		ids[i] = `\"` + id + `\"`
		hash = append(hash, ids[i]+":{}")
	}
	return `{"event":"pusher_internal:subscription_succeeded","data":"{\"presence\":{\"count\":` + fmt.Sprint(len(ids)) +
		`,\"ids\":[` + strings.Join(ids, ",") + `],\"hash\":{` + strings.Join(hash, ",") + `}}}","channel":"presence-p"}`
}

// PROTOCOL 2.33, 2.34, 2.36, 2.37, 2.39a, 2.39b; PITFALLS 7, 10
func TestPresence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(_ *Options, a *apps.App) { a.Limits.PresenceMembers = 2 })
	ann, bob, bob2, cy := w.open(0), w.open(1), w.open(0), w.open(1)
	ann.subscribe("presence-p", member("ann"))
	ann.expect(snapshot("ann"))
	bob.subscribe("presence-p", member("bob"))
	bob.expect(snapshot("ann", "bob"))
	ann.expect(added("bob"))
	bob2.subscribe("presence-p", member("bob"))
	bob2.expect(snapshot("ann", "bob"))
	cy.subscribe("presence-p", member("cy"))
	cy.expect(`{"event":"pusher:subscription_error","data":{"type":"LimitReached","error":"The maximum members per presence channel limit was reached (2 members)","status":4004},"channel":"presence-p"}`,
		`{"event":"pusher:error","data":{"code":null,"message":"The maximum members per presence channel limit was reached (2 members)"}}`)
	bob.leaveAll()
	bob2.unsubscribe("presence-p")
	ann.expect(removed("bob"))
	cy.subscribe("presence-p", member("cy"))
	cy.expect(snapshot("ann", "cy"))
	ann.expect(added("cy"))
	bob2.expect()
}

// A node that was taken for dead hears that its own users have left, before it can tell
// again that they are here: who comes meanwhile as one of them waits, and is in its own
// snapshot (PROTOCOL 2.33).
func TestJoinAsATakenUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, nil)
	ann, bob, ann2 := w.open(0), w.open(1), w.open(1)
	ann.subscribe("presence-p", member("ann"))
	ann.expect(snapshot("ann"))
	bob.subscribe("presence-p", member("bob"))
	bob.expect(snapshot("ann", "bob"))
	ann.expect(added("bob"))
	change := cluster.MemberChange{Version: 1 << 40, Member: protocol.Member{ID: "ann"}}
	ch := protocol.ChannelKey{App: "1", Name: "presence-p"}
	w.hub.Member(ch, change)
	bob.expect(removed("ann"))
	ann.expect(removed("ann"))
	ann2.subscribe("presence-p", member("ann"))
	ann2.expect()
	change.Version, change.Added, change.Member.Data = change.Version+1, true, member("ann")
	w.hub.Member(ch, change)
	ann2.expect(snapshot("bob", "ann"))
	bob.expect(`{"event":"pusher_internal:member_added","data":"{\"user_id\":\"ann\"}","channel":"presence-p"}`)
}

// PROTOCOL 2.35: the id keeps its JSON type, user_info its text.
func TestNumericUserID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a, b := w.open(0), w.open(0)
	a.subscribe("presence-p", member("1"))
	a.expect(snapshot("1"))
	b.subscribe("presence-p", `{"user_id":10,"user_info":{"name":"Ü"}}`)
	b.expect(`{"event":"pusher_internal:subscription_succeeded","data":"{\"presence\":{\"count\":2,\"ids\":[\"1\",\"10\"],\"hash\":{\"1\":{},\"10\":{\"name\":\"Ü\"}}}}","channel":"presence-p"}`)
	a.expect(`{"event":"pusher_internal:member_added","data":"{\"user_id\":10,\"user_info\":{\"name\":\"Ü\"}}","channel":"presence-p"}`)
}

// A member that joins while others do is in everybody's view exactly once
// (PROTOCOL 2.38).
func TestJoinStorm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, nil)
	var tabs []*tab
	const n = 60
	for i := range n {
		c := w.open(i % 3)
		c.subscribe("presence-p", member(fmt.Sprint("u", i)))
		tabs = append(tabs, c)
		if i%7 == 0 {
			w.turn()
		}
	}
	w.until("all joined and told", func() bool {
		for _, c := range tabs {
			if len(c.got) == 0 || strings.Count(c.got[0], `:{}`)+len(c.got)-1 < n {
				return false
			}
		}
		return true
	})
	for i, c := range tabs {
		if have := strings.Count(c.got[0], `:{}`) + len(c.got) - 1; have != n {
			t.Errorf("tab %d knows %d members, want %d", i, have, n)
		}
	}
	for _, c := range tabs {
		c.leaveAll()
	}
	w.until("the channel to be forgotten", func() bool { return w.hub.dir.len() == 0 })
}

// Unsubscribing while joining cancels the join: the late answer begins nothing.
func TestUnsubscribeWhileJoining(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a, b := w.open(0), w.open(0)
	a.subscribe("presence-p", member("a"))
	a.unsubscribe("presence-p")
	a.subscribe("presence-p", member("a"))
	a.expect(snapshot("a"))
	b.subscribe("presence-p", member("b"))
	b.unsubscribe("presence-p")
	b.leaveAll()
	a.unsubscribe("presence-p")
	w.until("the channel to be forgotten", func() bool { return w.hub.dir.len() == 0 })
	m, err := w.hub.Members(context.Background(), protocol.ChannelKey{App: "1", Name: "presence-p"})
	if err != nil || len(m) != 0 {
		t.Fatalf("members left: %v %v", m, err)
	}
}

// PROTOCOL 1.3, 1.9–1.12, 1.35
func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		h    transport.Handshake
		code int
	}{
		{"no such path", transport.Handshake{}, 4005},
		{"unknown key", transport.Handshake{OnPath: true, Key: "nobody", Query: "protocol=7"}, 4001},
		{"no protocol", transport.Handshake{OnPath: true, Key: "key", Query: "client=js"}, 4008},
		{"empty protocol", transport.Handshake{OnPath: true, Key: "key", Query: "protocol="}, 4008},
		{"not a number", transport.Handshake{OnPath: true, Key: "key", Query: "protocol=abc"}, 4006},
		{"old", transport.Handshake{OnPath: true, Key: "key", Query: "protocol=3"}, 4007},
		{"too new", transport.Handshake{OnPath: true, Key: "key", Query: "protocol=8"}, 4007},
		{"oldest", transport.Handshake{OnPath: true, Key: "key", Query: "protocol=4"}, 0},
		{"java", transport.Handshake{OnPath: true, Key: "key", Query: "client=java-client&protocol=5&version=2.4.4"}, 0},
		{"js", transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7&client=js&version=8.6.0&flash=false"}, 0},
		{"odd version", transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7&version=0.0.0-dev"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, nil)
			_, bad := w.try(0, tt.h)
			if code := codeOf(bad); code != tt.code {
				t.Fatalf("code %d, want %d (%v)", code, tt.code, bad)
			}
		})
	}
	t.Run("disabled", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1, func(_ *Options, a *apps.App) { a.Enabled = false })
		if _, bad := w.try(0, transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7"}); codeOf(bad) != 4003 {
			t.Fatalf("got %v", bad)
		}
	})
}

func codeOf(e *protocol.Error) int {
	if e == nil {
		return 0
	}
	return e.Code
}

// A big fan-out is served in slices, in order, while subscribers come and go.
func TestFanOutInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	var tabs []*tab
	for range 2*turnBudget + 100 {
		c := w.open(0)
		c.subscribe("room", "")
		c.got = nil
		tabs = append(tabs, c)
	}
	for i := range 3 {
		w.publish("room", "e", fmt.Sprint(i), protocol.SocketID{})
	}
	if !w.loops[0].shard.Turn(time.Time{}) {
		t.Fatal("one turn served everybody")
	}
	first, last := tabs[0], tabs[len(tabs)-1]
	if len(first.got) != 3 || len(last.got) != 0 {
		t.Fatalf("after one slice: first has %d, last has %d", len(first.got), len(last.got))
	}
	gone := tabs[turnBudget+7]
	gone.unsubscribe("room")
	late := w.open(0)
	late.subscribe("room", "")
	w.publish("room", "e", "3", protocol.SocketID{})
	w.turn()
	if len(gone.got) != 0 {
		t.Fatalf("events after unsubscribing: %q", gone.got)
	}
	late.expect(okPublic, event(3))
	for _, c := range tabs {
		if c != gone {
			c.expect(event(0), event(1), event(2), event(3))
		}
	}
	if w.hub.shards[0].box.Weight() != 0 {
		t.Fatalf("weight %d left in the mailbox", w.hub.shards[0].box.Weight())
	}
}

// A full mailbox: publishes are refused with 503's error, client events with
// 4301 and their sender is not read from, until there is room.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(o *Options, _ *apps.App) { o.MailboxBytes, o.PublishWait = 300, time.Millisecond })
	a, b := w.open(0), w.open(1)
	a.subscribe("private-r", "")
	b.subscribe("private-r", "")
	w.turn()
	a.got, b.got = nil, nil
	for range 4 {
		a.say(`{"event":"client-x","channel":"private-r","data":{}}`)
	}
	if !a.paused || len(a.got) == 0 || !strings.Contains(a.got[0], `"code":4301`) {
		t.Fatalf("paused %v, frames %q", a.paused, a.got)
	}
	p := []cluster.Publication{{Channel: protocol.ChannelKey{App: "1", Name: "private-r"}, Message: cluster.Message{Frame: protocol.Pong}}}
	if _, err := w.hub.Publish(context.Background(), p); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("publish into a full mailbox: %v", err)
	}
	w.until("reading to go on", func() bool { return !a.paused })
	if _, err := w.hub.Publish(context.Background(), p); err != nil {
		t.Fatalf("publish with room again: %v", err)
	}
	if n := w.hub.counters.Drops(metrics.DropClientBacklog); n == 0 {
		t.Fatal("not counted")
	}
}

// brokenEngine panics where no shared state is half changed.
type brokenEngine struct{ cluster.Engine }

func (brokenEngine) Offer(cluster.Publication) bool { panic("boom") }

// PITFALLS 33
func TestPanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(o *Options, _ *apps.App) { o.Engine = brokenEngine{o.Engine} })
	a, b := w.open(0), w.open(0)
	a.subscribe("private-r", "")
	b.subscribe("private-r", "")
	a.say(`{"event":"client-x","channel":"private-r","data":{}}`)
	if codeOf(a.closed) != 4200 || b.closed != nil {
		t.Fatalf("a closed with %v, b with %v", a.closed, b.closed)
	}
	if n := w.hub.counters.Drops(metrics.DropPanic); n != 1 {
		t.Fatalf("counted %d", n)
	}
	b.got = nil
	b.say(`{"event":"pusher:ping","data":{}}`)
	b.expect(`{"event":"pusher:pong","data":"{}"}`)
}

func TestResyncTellsTheDifferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a := w.open(0)
	a.subscribe("presence-p", member("a"))
	a.expect(snapshot("a"))
	ch := protocol.ChannelKey{App: "1", Name: "presence-p"}
	am, _ := protocol.DecodeMember(member("a"), 0, 0)
	xm, _ := protocol.DecodeMember(member("x"), 0, 0)
	w.hub.Resync(ch, cluster.Roster{Version: 100, Members: []protocol.Member{am, xm}})
	a.expect(added("x"))
	w.hub.Resync(ch, cluster.Roster{Version: 99})
	w.hub.Resync(ch, cluster.Roster{Version: 101, Members: []protocol.Member{am}})
	a.expect(removed("x"))
}

// A connection may have any number of channels (PROTOCOL 2.5).
func TestManyChannelsOnOneConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, nil)
	a := w.open(0)
	const n = 2000
	name := func(i int) string { return fmt.Sprint("room-", i) }
	for i := range n {
		a.subscribe(name(i), "")
	}
	w.until("all subscribed", func() bool { return len(a.got) == n })
	a.got = nil
	for i := 0; i < n; i += 2 {
		a.unsubscribe(name(i))
	}
	var want []string
	for i := range n {
		w.publish(name(i), "e", "x", protocol.SocketID{})
		if i%2 == 1 {
			want = append(want, `{"event":"e","data":"x","channel":"`+name(i)+`"}`)
		}
	}
	a.expect(want...)
	a.leaveAll()
	if n := w.hub.dir.len(); n != 0 {
		t.Errorf("%d channels are left", n)
	}
}
