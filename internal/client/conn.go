package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"dunlin/protocol"
)

// Options of Dial. The zero value is a client of protocol 7.
type Options struct {
	Query      url.Values   // replaces protocol, client and version; nil: those of this client
	Header     http.Header  // for the handshake, such as Origin
	HTTPClient *http.Client // for TLS settings or a unix socket; nil: the default client
	ReadLimit  int64        // bytes of one message; 0: 16 MiB
}

// Conn is an open connection. Sending is safe for any number of goroutines.
type Conn struct {
	// Static after construction.
	ws       *websocket.Conn
	stop     context.CancelFunc
	events   chan Event // closed by the reader, which sets err first
	socketID string
	activity time.Duration

	// Written by the reader before it closes events.
	err error
}

// held is how many events wait for Next before the connection is read no
// further. Then the server sees a slow reader, as it would with any client.
const held = 256

// Dial opens {base}/app/{key} and returns once connection_established has come.
// base is an http, https, ws or wss URL, path prefix included. A refusal by the
// server is a *CloseError; the context bounds the handshake only.
func Dial(ctx context.Context, base, key string, o Options) (*Conn, error) {
	q := o.Query
	if q == nil {
		q = url.Values{"protocol": {"7"}, "client": {"dunlin-go"}, "version": {"1.0.0"}}
	}
	target := strings.TrimRight(base, "/") + "/app/" + url.PathEscape(key) + "?" + q.Encode()
	ws, _, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPHeader: o.Header, HTTPClient: o.HTTPClient})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", base, err)
	}
	ws.SetReadLimit(16 << 20)
	if o.ReadLimit > 0 {
		ws.SetReadLimit(o.ReadLimit)
	}
	life, stop := context.WithCancel(context.Background())
	c := &Conn{ws: ws, stop: stop, events: make(chan Event, held)}
	go c.read(life)
	if err := c.greet(ctx); err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

// greet takes the first message, which must be connection_established (PROTOCOL
// 1.15). After a pusher:error it waits for the close frame, to report both.
func (c *Conn) greet(ctx context.Context) error {
	e, err := c.Next(ctx)
	for err == nil && e.Name == Error {
		e, err = c.Next(ctx)
	}
	if err != nil {
		return err
	}
	var d struct {
		SocketID        string `json:"socket_id"`
		ActivityTimeout int    `json:"activity_timeout"`
	}
	if e.Name != Established {
		return fmt.Errorf("first message is %q, not %s", e.Name, Established)
	}
	if err := e.Decode(&d); err != nil {
		return err
	}
	c.socketID, c.activity = d.SocketID, time.Duration(d.ActivityTimeout)*time.Second
	return nil
}

// read is the reader goroutine: it answers pings while nobody waits in Next.
func (c *Conn) read(ctx context.Context) {
	defer close(c.events)
	var last *protocol.Error
	for {
		_, message, err := c.ws.Read(ctx)
		if err != nil {
			c.err = closed(err, last)
			return
		}
		e, err := parseEvent(message)
		if err != nil {
			c.err = err
			c.ws.CloseNow()
			return
		}
		last = e.Failure()
		if e.Name == "pusher:ping" {
			// A failed write shows in the next Read.
			_ = c.Send(ctx, `{"event":"pusher:pong","data":{}}`)
			continue
		}
		select {
		case c.events <- e:
		case <-ctx.Done():
			c.err = ctx.Err()
			return
		}
	}
}

// SocketID is the id that the server gave to this connection.
func (c *Conn) SocketID() string { return c.socketID }

// ActivityTimeout is how long the server lets the connection be silent.
func (c *Conn) ActivityTimeout() time.Duration { return c.activity }

// Next returns the next message. An ended context leaves the connection as it is
// and loses nothing. After the end of the connection every call returns the same
// error, a *CloseError when the other side ended it. The server's pusher:ping is
// answered and not returned.
func (c *Conn) Next(ctx context.Context) (Event, error) {
	select {
	case e, ok := <-c.events:
		if !ok {
			return Event{}, c.err
		}
		return e, nil
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}

// Await returns the next event of that name, on that channel if one is given, and
// drops those before it. A pusher:error that comes instead is returned as a
// *protocol.Error.
func (c *Conn) Await(ctx context.Context, name, channel string) (Event, error) {
	for {
		e, err := c.Next(ctx)
		if err != nil {
			return e, fmt.Errorf("waiting for %s: %w", name, err)
		}
		if e.Name == name && (channel == "" || e.Channel == channel) {
			return e, nil
		}
		if f := e.Failure(); f != nil {
			return e, f
		}
	}
}

// Send sends a text message as it is, well-formed or not.
func (c *Conn) Send(ctx context.Context, text string) error {
	return c.ws.Write(ctx, websocket.MessageText, []byte(text))
}

// SendBinary sends a binary message, which the protocol does not have.
func (c *Conn) SendBinary(ctx context.Context, b []byte) error {
	return c.ws.Write(ctx, websocket.MessageBinary, b)
}

// Authorization is what a backend's authorisation endpoint answers. The zero
// value suits public channels.
type Authorization struct {
	Auth        string `json:"auth"`
	ChannelData string `json:"channel_data,omitempty"`
}

// Subscribe asks for a channel. The answer is an event, see Await.
func (c *Conn) Subscribe(ctx context.Context, channel string, a Authorization) error {
	return c.sendJSON(ctx, "pusher:subscribe", "", struct {
		Authorization
		Channel string `json:"channel"`
	}{a, channel})
}

// Unsubscribe leaves a channel. There is no answer (PROTOCOL 2.8).
func (c *Conn) Unsubscribe(ctx context.Context, channel string) error {
	return c.sendJSON(ctx, "pusher:unsubscribe", "", map[string]string{"channel": channel})
}

// Trigger sends a client event; data is encoded as JSON. There is no answer when
// it succeeds (PROTOCOL 3.11).
func (c *Conn) Trigger(ctx context.Context, channel, event string, data any) error {
	return c.sendJSON(ctx, event, channel, data)
}

// Ping asks for a pusher:pong.
func (c *Conn) Ping(ctx context.Context) error {
	return c.Send(ctx, `{"event":"pusher:ping","data":{}}`)
}

func (c *Conn) sendJSON(ctx context.Context, event, channel string, data any) error {
	b, err := json.Marshal(struct {
		Event   string `json:"event"`
		Data    any    `json:"data"`
		Channel string `json:"channel,omitempty"`
	}{event, data, channel})
	if err != nil {
		return fmt.Errorf("encode %s: %w", event, err)
	}
	return c.Send(ctx, string(b))
}

// Close ends the connection with a close frame and waits for the server's, a few
// seconds at most. Events not yet taken are lost.
func (c *Conn) Close(code int, reason string) error {
	defer c.abandon()
	return c.ws.Close(websocket.StatusCode(code), reason)
}

// Drop ends the connection without a close frame, as a lost network would.
func (c *Conn) Drop() { c.abandon() }

// abandon ends the socket and waits until the reader is gone.
func (c *Conn) abandon() {
	c.stop()
	c.ws.CloseNow()
	for range c.events {
	}
}

// CloseError says how the server ended the connection.
type CloseError struct {
	Code   int             // of the close frame; 1006 when none came
	Reason string          // of the close frame
	Cause  *protocol.Error // the pusher:error right before it, if there was one
	Err    error           // what the socket said, when no close frame came
}

// closed makes a CloseError of a failed read.
func closed(err error, cause *protocol.Error) error {
	var frame websocket.CloseError
	if errors.As(err, &frame) {
		return &CloseError{Code: int(frame.Code), Reason: frame.Reason, Cause: cause}
	}
	return &CloseError{Code: int(websocket.StatusAbnormalClosure), Cause: cause, Err: err}
}

func (e *CloseError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("connection lost: %v", e.Err)
	}
	return fmt.Sprintf("connection closed by the server: %d %s", e.Code, e.Reason)
}

// Unwrap returns the socket's error.
func (e *CloseError) Unwrap() error { return e.Err }
