package channels

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/cluster/memory"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// signin signs in with exactly this user_data.
func (c *tab) signin(userData string) {
	data := string(protocol.AppendString(nil, userData))
	c.say(`{"event":"pusher:signin","data":{"auth":"` + c.sign(c.id.String()+"::user::"+userData) + `","user_data":` + data + `}}`)
}

func signedIn(id string) string {
	return `{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"` + id + `\\\"}\"}"}`
}

func watchEvent(name, id string) string {
	return `{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"` + name + `\",\"user_ids\":[\"` + id + `\"]}]}"}`
}

// PROTOCOL 4.1, 4.5–4.8, 4.12, 2.32, 2.58, 4.15, 4.20, 4.21
func TestSignin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, nil)
	a, b := w.open(0), w.open(1)
	const own = "#server-to-user-ann"
	a.subscribe(own, "")
	a.expect(`{"event":"pusher:error","data":{"code":null,"message":"Only the signed-in user may subscribe to #server-to-user-ann"}}`)
	a.signin(`{"id":"ann"}`)
	a.signin(`{"id":"ann"}`)
	a.signin(`{"id":"bob"}`)
	a.expect(signedIn("ann"), signedIn("ann"), `{"event":"pusher:error","data":{"code":null,"message":"The connection is already signed in as another user"}}`)
	b.signin(`{"id":"ann"}`)
	a.subscribe(own, "")
	a.expect(`{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":"#server-to-user-ann"}`)
	b.expect(signedIn("ann"))
	w.publish(own, "e", "x", protocol.SocketID{})
	a.expect(`{"event":"e","data":"x","channel":"#server-to-user-ann"}`)
	b.subscribe("presence-p", "")
	b.expect(snapshot("ann"))
	if err := w.hub.TerminateUser(context.Background(), "1", "ann"); err != nil {
		t.Fatal(err)
	}
	w.until("both ended", func() bool { return codeOf(a.closed) == 4009 && codeOf(b.closed) == 4009 })
	a.leaveAll()
	b.leaveAll()
	if n := len(w.hub.people.count) + len(w.hub.shards[0].signed) + len(w.hub.shards[1].signed); n != 0 {
		t.Errorf("%d traces of users who left", n)
	}
}

// PROTOCOL 4.25, 4.26, 4.28, 4.29
func TestWatchlist(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(_ *Options, a *apps.App) { a.WatchlistEvents = true })
	ann, bob, bob2, cy := w.open(0), w.open(1), w.open(0), w.open(1)
	bob.signin(`{"id":"bob"}`)
	bob.expect(signedIn("bob"))
	ann.signin(`{"id":"ann","watchlist":["bob","cy","bob"]}`)
	w.until("the first state", func() bool { return len(ann.got) == 2 })
	if want := `{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"bob\"]},{\"name\":\"offline\",\"user_ids\":[\"cy\"]}]}"}`; ann.got[1] != want {
		t.Fatalf("got  %s\nwant %s", ann.got[1], want)
	}
	ann.got = nil
	bob2.signin(`{"id":"bob"}`)
	bob2.expect(signedIn("bob"))
	cy.signin(`{"id":"cy"}`)
	ann.expect(watchEvent("online", "cy"))
	bob.leaveAll()
	bob2.leaveAll()
	ann.expect(watchEvent("offline", "bob"))
	ann.signin(`{"id":"ann","watchlist":[]}`)
	cy.leaveAll()
	w.settle()
	if len(ann.got) != 1 {
		t.Errorf("events of a watchlist that was replaced: %q", ann.got)
	}
	ann.leaveAll()
	if len(w.hub.people.watched) != 0 {
		t.Error("users are watched by nobody")
	}
}

// PROTOCOL 4.27
func TestWatchlistLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(_ *Options, a *apps.App) { a.WatchlistEvents = true })
	a := w.open(0)
	var list []string
	for i := range 101 {
		list = append(list, fmt.Sprintf(`"u%d"`, i))
	}
	a.signin(`{"id":"ann","watchlist":[` + strings.Join(list, ",") + `]}`)
	w.until("three frames", func() bool { return len(a.got) == 3 })
	if !strings.Contains(a.got[1], `"code":4302`) || strings.Count(a.got[2], `\"u`) != 1+100 { // "user_ids" is one of them
		t.Errorf("got %q", a.got[1:])
	}
}

// PROTOCOL 2.40, 2.41, 2.43, 2.45–2.47: the cached event stands right behind
// subscription_succeeded, on every kind of cache channel
func TestCacheChannels(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cache-c", "private-cache-c", "private-encrypted-cache-c", "presence-cache-c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hours atomic.Int64
			w := newWorld(t, 2, func(o *Options, _ *apps.App) {
				o.Now = func() time.Time { return time.Now().Add(time.Duration(hours.Load()) * time.Hour) }
			})
			miss := `{"event":"pusher:cache_miss","data":"{}","channel":"` + name + `"}`
			second := func(c *tab) string {
				t.Helper()
				c.subscribe(name, member("u"))
				w.until("two frames", func() bool { return len(c.got) >= 2 })
				got := c.got[1]
				c.got = nil
				return got
			}
			a := w.open(0)
			if got := second(a); got != miss {
				t.Fatalf("got %s", got)
			}
			f := protocol.ChannelEvent("e", `"1"`, name, "")
			p := cluster.Publication{Channel: protocol.ChannelKey{App: "1", Name: name}, Message: cluster.Message{Frame: f, Except: a.id, Keep: time.Hour}}
			if _, err := w.hub.Publish(context.Background(), []cluster.Publication{p}); err != nil {
				t.Fatal(err)
			}
			if got := second(w.open(1)); got != string(f.Payload()) {
				t.Errorf("got %s", got)
			}
			hours.Add(2)
			if got := second(w.open(1)); got != miss {
				t.Errorf("after its time: %s", got)
			}
		})
	}
}

// The bound of bytes holds for the events of occupied channels too, and what is
// dropped is counted and missed by all alike (PROTOCOL 2.43)
func TestCacheBound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(o *Options, _ *apps.App) { o.Engine = memory.New(memory.Options{CacheBytes: 1000}) })
	a := w.open(0)
	for i := range 10 {
		name := fmt.Sprint("cache-", i)
		a.subscribe(name, "")
		f := protocol.ChannelEvent("e", protocol.StringLiteral(`"`+strings.Repeat("x", 100)+`"`), name, "")
		p := cluster.Publication{Channel: protocol.ChannelKey{App: "1", Name: name}, Message: cluster.Message{Frame: f, Keep: time.Hour}}
		if _, err := w.hub.Publish(context.Background(), []cluster.Publication{p}); err != nil {
			t.Fatal(err)
		}
	}
	w.until("eight dropped", func() bool { return w.hub.counters.Drops(metrics.DropCache) == 8 })
	b := w.open(0)
	b.subscribe("cache-0", "")
	b.subscribe("cache-9", "")
	w.until("both answered", func() bool { return len(b.got) == 4 })
	if !strings.Contains(strings.Join(b.got, ""), `{"event":"pusher:cache_miss","data":"{}","channel":"cache-0"}`) {
		t.Errorf("the oldest event is still there: %q", b.got)
	}
}

// PROTOCOL 2.50–2.52
func TestSubscriptionCountEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(_ *Options, a *apps.App) { a.SubscriptionCountEvents = true })
	count := func(n int) string {
		return fmt.Sprintf(`{"event":"pusher_internal:subscription_count","data":"{\"subscription_count\":%d}","channel":"room"}`, n)
	}
	a, b := w.open(0), w.open(1)
	a.subscribe("room", "")
	a.expect(okPublic, count(1))
	b.subscribe("room", "")
	b.expect(okPublic, count(2))
	a.expect(count(2))
	b.unsubscribe("room")
	a.expect(count(1))
	a.subscribe("presence-p", member("u"))
	a.expect(snapshot("u"))
}

// PROTOCOL 1.40
func TestAuthorizedConnections(t *testing.T) {
	t.Parallel()
	var late atomic.Bool
	w := newWorld(t, 1, func(o *Options, a *apps.App) {
		a.AuthorizedConnections = true
		o.AuthorizeWithin = time.Millisecond
		o.Now = func() time.Time {
			if late.Load() {
				return time.Unix(2000, 0)
			}
			return time.Unix(1000, 0)
		}
	})
	stranger, member, user := w.open(0), w.open(0), w.open(0)
	stranger.subscribe("room", "")
	member.subscribe("private-r", "")
	user.signin(`{"id":"ann"}`)
	late.Store(true)
	w.until("the stranger is sent away", func() bool { return stranger.closed != nil })
	if *stranger.closed != *protocol.ErrUnauthorized || member.closed != nil || user.closed != nil {
		t.Errorf("closed: %v, %v, %v", stranger.closed, member.closed, user.closed)
	}
}

// PROTOCOL 1.35: 4000, 4004, and origins
func TestAppLimitsOnConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(_ *Options, a *apps.App) {
		a.ForceTLS, a.AllowedOrigins = true, []string{"ok.example"}
		a.Limits.Connections = 1
	})
	hs := transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7"}
	if _, bad := w.try(0, hs); codeOf(bad) != 4000 {
		t.Errorf("without TLS: %v", bad)
	}
	hs.Secure, hs.Origin = true, "https://evil.example"
	if _, bad := w.try(0, hs); codeOf(bad) != 4009 {
		t.Errorf("foreign origin: %v", bad)
	}
	hs.Origin = "https://ok.example"
	first, bad := w.try(0, hs)
	if bad != nil {
		t.Fatal(bad)
	}
	if _, bad := w.try(0, hs); codeOf(bad) != 4004 {
		t.Errorf("second connection: %v", bad)
	}
	first.leaveAll()
	if _, bad := w.try(0, hs); bad != nil {
		t.Errorf("after the first left: %v", bad)
	}
}

// What other nodes have counts, whichever node is asked.
func TestConnectionsElsewhereCount(t *testing.T) {
	t.Parallel()
	told := &countingEngine{Engine: memory.New(memory.Options{})}
	w := newWorld(t, 1, func(o *Options, a *apps.App) {
		o.Engine, a.Limits.Connections = told, 3
	})
	w.hub.Begin()
	w.hub.Elsewhere("1", 2)
	hs := transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7"}
	first, bad := w.try(0, hs)
	if bad != nil {
		t.Fatal(bad)
	}
	if _, bad := w.try(0, hs); codeOf(bad) != 4004 {
		t.Errorf("the fourth of all: %v", bad)
	}
	w.hub.Elsewhere("1", 1)
	if _, bad := w.try(0, hs); bad != nil {
		t.Errorf("after one left elsewhere: %v", bad)
	}
	first.leaveAll()
	if want := []int{0, 1, 2, 1}; !slices.Equal(told.counts, want) {
		t.Errorf("the engine was told %v, want %v", told.counts, want)
	}
}

// countingEngine notes what it is told of connections.
type countingEngine struct {
	cluster.Engine
	counts []int
}

func (e *countingEngine) Connections(_ string, count int) { e.counts = append(e.counts, count) }

// Local first: this node's subscribers do not wait for the engine, nor for its end.
func TestClientEventsLocalFirst(t *testing.T) {
	t.Parallel()
	away := &awayEngine{Engine: memory.New(memory.Options{})}
	w := newWorld(t, 2, func(o *Options, a *apps.App) {
		o.Engine, a.ClientEventsLocalFirst = away, true
	})
	sender, here, there := w.open(0), w.open(0), w.open(1)
	for _, c := range []*tab{sender, here, there} {
		c.subscribe("private-a", "")
	}
	w.turn()
	for _, c := range []*tab{sender, here, there} {
		c.got = nil
	}
	sender.say(`{"event":"client-n","channel":"private-a","data":"1"}`)
	w.turn()
	if len(here.got) != 1 || len(there.got) != 1 || len(sender.got) != 0 {
		t.Errorf("here %q, on the other loop %q, the sender %q", here.got, there.got, sender.got)
	}
	if away.offered != 1 {
		t.Errorf("other nodes were offered %d events", away.offered)
	}
}

// awayEngine takes no event.
type awayEngine struct {
	cluster.Engine
	offered int
}

func (e *awayEngine) Offer(p cluster.Publication) bool {
	if p.Elsewhere {
		e.offered++
	}
	return false
}

// A delivery allocates nothing.
func TestFanOutAllocations(t *testing.T) {
	w := newWorld(t, 1, nil)
	const n = 500
	sink := &sinkConn{}
	for range n {
		c, _ := w.try(0, transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7"})
		c.subscribe("room", "")
		for _, sub := range c.session.(*session).subs.list {
			sub.conn = sink
		}
	}
	p := []cluster.Publication{{Channel: protocol.ChannelKey{App: "1", Name: "room"}, Message: cluster.Message{Frame: protocol.Pong}}}
	per := testing.AllocsPerRun(100, func() {
		w.hub.Publish(context.Background(), p)
		w.turn()
	})
	if sink.frames < 100*n || per > 2 {
		t.Errorf("%v allocations for %d deliveries (%d in all)", per, n, sink.frames)
	}
}

// sinkConn counts what it is sent.
type sinkConn struct {
	tab
	frames int
}

func (c *sinkConn) Send(*protocol.Frame) { c.frames++ }

func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b, 1, nil)
			sink := &sinkConn{}
			for range n {
				c, _ := w.try(0, transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7"})
				c.subscribe("room", "")
				c.session.(*session).subs.list[0].conn = sink
			}
			p := []cluster.Publication{{Channel: protocol.ChannelKey{App: "1", Name: "room"}, Message: cluster.Message{Frame: protocol.Pong}}}
			b.ReportAllocs()
			for b.Loop() {
				w.hub.Publish(context.Background(), p)
				w.turn()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/delivery")
		})
	}
}
