package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"dunlin/protocol"
)

const established = `{"event":"pusher:connection_established","data":"{\"socket_id\":\"12.34\",\"activity_timeout\":120}"}`

// peer is the server's side of one connection, as a script uses it.
type peer struct {
	t   *testing.T
	ws  *websocket.Conn
	req *http.Request
}

func (p peer) send(text string) {
	if err := p.ws.Write(p.req.Context(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Errorf("server: write: %v", err)
	}
}

func (p peer) expect(want string) {
	_, got, err := p.ws.Read(p.req.Context())
	if err != nil {
		p.t.Errorf("server: read: %v", err)
	} else if string(got) != want {
		p.t.Errorf("server got  %s\nit expected %s", got, want)
	}
}

func (p peer) close(code int, reason string) {
	if err := p.ws.Close(websocket.StatusCode(code), reason); err != nil {
		p.t.Errorf("server: close: %v", err)
	}
}

// serve runs script for each connection and returns the server's base URL. The
// test ends after every script has.
func serve(t *testing.T, script func(peer)) string {
	t.Helper()
	running := make(chan struct{}, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Errorf("server: accept: %v", err)
			return
		}
		running <- struct{}{}
		defer func() { ws.CloseNow(); <-running }()
		script(peer{t, ws, r})
	}))
	t.Cleanup(func() {
		s.Close()
		for range cap(running) { // hijacked connections outlive s.Close
			running <- struct{}{}
		}
	})
	return s.URL
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestDialSendsPathAndQuery(t *testing.T) {
	base := serve(t, func(p peer) {
		if got := p.req.URL.Path; got != "/soup/app/key one" {
			t.Errorf("path %q", got)
		}
		if got := p.req.URL.Query(); got.Get("protocol") != "7" || got.Get("client") == "" {
			t.Errorf("query %v", got)
		}
		p.send(established)
		p.ws.Read(p.req.Context())
	})
	c, err := Dial(deadline(t), base+"/soup/", "key one", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	if c.SocketID() != "12.34" || c.ActivityTimeout() != 2*time.Minute {
		t.Errorf("socket id %q, activity timeout %v", c.SocketID(), c.ActivityTimeout())
	}
}

func TestDialRefused(t *testing.T) {
	base := serve(t, func(p peer) {
		if got := p.req.URL.RawQuery; got != "protocol=3" {
			t.Errorf("query %q", got)
		}
		p.send(`{"event":"pusher:error","data":{"code":4007,"message":"Unsupported protocol version"}}`)
		p.close(4007, "Unsupported protocol version")
	})
	_, err := Dial(deadline(t), base, "key", Options{Query: url.Values{"protocol": {"3"}}})
	var end *CloseError
	if !errors.As(err, &end) {
		t.Fatalf("error %v, want a CloseError", err)
	}
	if end.Code != 4007 || end.Reason != "Unsupported protocol version" || end.Err != nil {
		t.Errorf("close %+v", end)
	}
	if end.Cause == nil || *end.Cause != *protocol.ErrOldProtocol {
		t.Errorf("cause %v", end.Cause)
	}
}

func TestDialFirstMessageIsAnother(t *testing.T) {
	base := serve(t, func(p peer) {
		p.send(`{"event":"hello","data":"{}"}`)
		p.ws.Read(p.req.Context())
	})
	if _, err := Dial(deadline(t), base, "key", Options{}); err == nil || !strings.Contains(err.Error(), `"hello"`) {
		t.Errorf("error %v", err)
	}
}

func TestDialNotAWebSocket(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	if _, err := Dial(deadline(t), s.URL, "key", Options{}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("error %v", err)
	}
}

func TestConversation(t *testing.T) {
	base := serve(t, func(p peer) {
		p.send(established)
		p.expect(`{"event":"pusher:subscribe","data":{"auth":"k:s","channel_data":"{\"user_id\":1}","channel":"presence-a"}}`)
		p.send(`{"event":"pusher_internal:subscription_succeeded","data":"{\"presence\":{\"count\":1}}","channel":"presence-a"}`)
		p.expect(`{"event":"client-hi","data":{"n":1},"channel":"presence-a"}`)
		p.send(`{"event":"client-ho","data":"{\"n\":2}","channel":"presence-a","user_id":"u"}`)
		p.expect(`{"event":"pusher:unsubscribe","data":{"channel":"presence-a"}}`)
		p.expect(`{"event":"pusher:ping","data":{}}`)
		p.send(`{"event":"pusher:pong","data":"{}"}`)
		p.expect(`not json`)
		p.send(`{"event":"pusher:error","data":{"code":null,"message":"Received invalid JSON"}}`)
		p.close(4200, "Please reconnect immediately")
	})
	ctx := deadline(t)
	c, err := Dial(ctx, base, "key", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	ok(t, c.Subscribe(ctx, "presence-a", Authorization{Auth: "k:s", ChannelData: `{"user_id":1}`}))
	joined, err := c.Await(ctx, SubscriptionSucceeded, "presence-a")
	ok(t, err)
	var roster struct{ Presence struct{ Count int } }
	ok(t, joined.Decode(&roster))
	if roster.Presence.Count != 1 {
		t.Errorf("roster %+v", roster)
	}
	ok(t, c.Trigger(ctx, "presence-a", "client-hi", map[string]int{"n": 1}))
	e, err := c.Next(ctx)
	ok(t, err)
	if e.Name != "client-ho" || e.Channel != "presence-a" || e.UserID != "u" || e.Text() != `{"n":2}` {
		t.Errorf("event %+v", e)
	}
	ok(t, c.Unsubscribe(ctx, "presence-a"))
	ok(t, c.Ping(ctx))
	_, err = c.Await(ctx, Pong, "")
	ok(t, err)
	ok(t, c.Send(ctx, "not json"))
	var refusal *protocol.Error
	if _, err = c.Await(ctx, Pong, ""); !errors.As(err, &refusal) || *refusal != *protocol.ErrInvalidJSON {
		t.Errorf("error %v", err)
	}
	for range 2 { // the end of the connection is final
		var end *CloseError
		if _, err = c.Next(ctx); !errors.As(err, &end) || end.Code != 4200 || end.Cause == nil {
			t.Errorf("error %v", err)
		}
	}
}

func TestPingIsAnsweredAndHidden(t *testing.T) {
	base := serve(t, func(p peer) {
		p.send(established)
		p.send(`{"event":"pusher:ping","data":"{}"}`)
		p.expect(`{"event":"pusher:pong","data":{}}`)
		p.send(`{"event":"after","data":"1"}`)
		p.ws.Read(p.req.Context())
	})
	ctx := deadline(t)
	c, err := Dial(ctx, base, "key", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	if e, err := c.Next(ctx); err != nil || e.Name != "after" {
		t.Errorf("event %+v, error %v", e, err)
	}
}

func TestEndedContextLosesNothing(t *testing.T) {
	base := serve(t, func(p peer) {
		p.send(established)
		p.expect("go on")
		p.send(`{"event":"late","data":"1"}`)
		p.ws.Read(p.req.Context())
	})
	ctx := deadline(t)
	c, err := Dial(ctx, base, "key", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := c.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	ok(t, c.Send(ctx, "go on"))
	if e, err := c.Next(ctx); err != nil || e.Name != "late" {
		t.Errorf("event %+v, error %v", e, err)
	}
}

func TestLostConnection(t *testing.T) {
	base := serve(t, func(p peer) {
		p.send(established)
		p.expect("drop me")
		p.ws.CloseNow()
	})
	ctx := deadline(t)
	c, err := Dial(ctx, base, "key", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Drop()
	ok(t, c.Send(ctx, "drop me"))
	var end *CloseError
	if _, err := c.Next(ctx); !errors.As(err, &end) || end.Code != 1006 || end.Err == nil {
		t.Errorf("error %v", err)
	}
}

func TestCloseTellsTheServer(t *testing.T) {
	told := make(chan error, 1)
	base := serve(t, func(p peer) {
		p.send(established)
		for range 2 * held { // more than a client that takes nothing would read
			p.send(`{"event":"noise","data":"1"}`)
		}
		_, _, err := p.ws.Read(p.req.Context())
		told <- err
	})
	c, err := Dial(deadline(t), base, "key", Options{})
	if err != nil {
		t.Fatal(err)
	}
	ok(t, c.Close(4321, "bye"))
	var frame websocket.CloseError
	if err := <-told; !errors.As(err, &frame) || frame.Code != 4321 || frame.Reason != "bye" {
		t.Errorf("server saw %v", err)
	}
}

func TestUnreadableMessageEndsTheConnection(t *testing.T) {
	for _, message := range []string{"{", `{"data":"{}"}`} {
		base := serve(t, func(p peer) {
			p.send(established)
			p.send(message)
			p.ws.Read(p.req.Context())
		})
		ctx := deadline(t)
		c, err := Dial(ctx, base, "key", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := c.Next(ctx); err == nil {
			t.Errorf("%s: got event %+v", message, e)
		}
		c.Drop()
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
