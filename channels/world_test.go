package channels

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"runtime"
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

// world is a hub with loops that take a turn only when the test says so.
type world struct {
	t     testing.TB
	hub   *Hub
	app   *apps.App
	loops []*handLoop
}

type handLoop struct {
	index int
	woken atomic.Int64
	shard transport.Handler
}

func (l *handLoop) Index() int { return l.index }
func (l *handLoop) Wake()      { l.woken.Add(1) }

// tab is a client on a loop, and its own transport.Conn.
type tab struct {
	w       *world
	loop    *handLoop
	id      protocol.SocketID
	session transport.Session
	got     []string
	closed  *protocol.Error
	paused  bool
}

func (c *tab) ID() protocol.SocketID   { return c.id }
func (c *tab) Send(f *protocol.Frame)  { c.got = append(c.got, string(f.Payload())) }
func (c *tab) Close(e *protocol.Error) { c.closed = e }
func (c *tab) Pause()                  { c.paused = true }
func (c *tab) Resume()                 { c.paused = false }

func newWorld(t testing.TB, loops int, change func(*Options, *apps.App)) *world {
	t.Helper()
	app := &apps.App{
		ID: "1", Key: "key", Secrets: []*protocol.Secret{protocol.NewSecret("secret")},
		Enabled: true, ClientEvents: true, SubscriptionErrors: true, Limits: apps.DefaultLimits(),
	}
	o := Options{
		Engine:          memory.New(memory.Options{}),
		Apps:            apps.NewRegistry(app),
		Counters:        metrics.New(),
		Log:             slog.New(slog.NewTextHandler(io.Discard, nil)),
		ActivityTimeout: 120 * time.Second,
	}
	if change != nil {
		change(&o, app)
	}
	w := &world{t: t, hub: New(o), app: app}
	for i := range loops {
		l := &handLoop{index: i}
		l.shard = w.hub.Shard(l)
		w.loops = append(w.loops, l)
	}
	if err := o.Engine.Start(w.hub); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Engine.Close() })
	return w
}

// open connects a tab on a loop.
func (w *world) open(loop int) *tab {
	w.t.Helper()
	c, bad := w.try(loop, transport.Handshake{OnPath: true, Key: "key", Query: "protocol=7"})
	if bad != nil {
		w.t.Fatalf("refused: %v", bad)
	}
	c.got = nil
	return c
}

func (w *world) try(loop int, h transport.Handshake) (*tab, *protocol.Error) {
	c := &tab{w: w, loop: w.loops[loop], id: protocol.NewSocketID()}
	s, bad := c.loop.shard.Open(c, h)
	c.session = s
	return c, bad
}

func (c *tab) say(frame string) { c.session.Message([]byte(frame)) }

func (c *tab) leaveAll() { c.session.Closed(nil) }

func (c *tab) sign(text string) string {
	m := hmac.New(sha256.New, []byte("secret"))
	m.Write([]byte(text))
	return "key:" + hex.EncodeToString(m.Sum(nil))
}

// subscribe sends pusher:subscribe, signed where the channel needs it.
func (c *tab) subscribe(channel, channelData string) { c.say(c.subscribing(channel, channelData)) }

func (c *tab) subscribing(channel, channelData string) string {
	data := `{"channel":"` + channel + `"`
	if protocol.KindOf(channel).Is(protocol.Private) {
		text := c.id.String() + ":" + channel
		if channelData != "" {
			text += ":" + channelData
			data += `,"channel_data":` + string(protocol.AppendString(nil, channelData))
		}
		data += `,"auth":"` + c.sign(text) + `"`
	}
	return `{"event":"pusher:subscribe","data":` + data + `}}`
}

func (c *tab) unsubscribe(channel string) {
	c.say(`{"event":"pusher:unsubscribe","data":{"channel":"` + channel + `"}}`)
}

// turn gives every loop turns until none has more to do.
func (w *world) turn() {
	for _, l := range w.loops {
		for l.shard.Turn(time.Time{}) {
		}
	}
}

// until takes turns until ok, which the engine's goroutine may have a part in.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for w.turn(); !ok(); w.turn() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not in time: %s", what)
		}
		runtime.Gosched()
	}
}

// len counts the channels of the node.
func (d *directory) len() (n int) {
	for i := range d.stripes {
		s := &d.stripes[i]
		s.mu.RLock()
		n += len(s.entries)
		s.mu.RUnlock()
	}
	return n
}

// settle waits until the engine has told everything that was asked of it so far,
// and the loops have dealt with it.
func (w *world) settle() {
	w.t.Helper()
	w.told()
	w.turn()
}

// told waits for the engine alone.
func (w *world) told() {
	w.t.Helper()
	told := make(chan struct{})
	w.hub.engine.Last(protocol.ChannelKey{}, func(*cluster.Last, error) { close(told) })
	select {
	case <-told:
	case <-time.After(5 * time.Second):
		w.t.Fatal("the engine does not answer")
	}
}

// expect waits for a tab's frames, compares them, and sees that no more come.
func (c *tab) expect(want ...string) {
	c.w.t.Helper()
	c.w.until("frames "+strings.Join(want, "\n"), func() bool { return len(c.got) >= len(want) })
	for i := range want {
		if c.got[i] != want[i] {
			c.w.t.Fatalf("frame %d:\n got %s\nwant %s", i, c.got[i], want[i])
		}
	}
	if c.w.settle(); len(c.got) > len(want) {
		c.w.t.Fatalf("too many frames: %q", c.got[len(want):])
	}
	c.got = nil
}

func (w *world) publish(channel, event, data string, except protocol.SocketID) {
	w.t.Helper()
	f := protocol.ChannelEvent(event, protocol.StringLiteral(protocol.AppendString(nil, data)), channel, "")
	_, err := w.hub.Publish(context.Background(), []cluster.Publication{{
		Channel: protocol.ChannelKey{App: "1", Name: channel},
		Message: cluster.Message{Frame: f, Except: except},
	}})
	if err != nil {
		w.t.Fatal(err)
	}
}
