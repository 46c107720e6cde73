package load

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"golang.org/x/sys/unix"

	"dunlin/protocol"
	"dunlin/transport/wire"
)

// client is one connection. Its states follow each other.
type client struct {
	index    int32
	fd       int
	state    state
	deaf     bool  // it reads no more
	waiting  int   // subscribes without an answer
	at       int64 // from when its opening is timed
	asked    int64 // when it last subscribed
	last     int64 // when it last sent anything
	silence  int64 // how long it may be silent
	socketID string
	in       []byte // a frame of which a part has come
	out      []byte // what the socket refused
}

type state uint8

const (
	unused     state = iota
	connecting       // the socket is
	upgrading        // waits for 101
	greeting         // waits for connection_established
	joining          // waits for answers to subscribes
	ready
	gone
)

func (c *client) live() bool { return c.state > unused && c.state < gone }

// upgradeRequest is what every client begins with.
func (r *run) upgradeRequest() []byte {
	path := r.target.prefix + "/app/" + url.PathEscape(r.o.Key) + "?protocol=7&client=dunlin-bench&version=1.0.0"
	if r.o.Compress {
		return wire.AppendUpgrade(nil, r.target.host, path, wire.OfferDeflate)
	}
	return wire.AppendUpgrade(nil, r.target.host, path)
}

// serve takes what epoll says of a client.
func (s *swarm) serve(c *client, events uint32) {
	if c.state == connecting && events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		if e, _ := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR); e != 0 {
			s.fail(c, "connect failed", unix.Errno(e).Error())
			return
		}
		c.state = upgrading
		s.write(c, s.upgrade)
	}
	if len(c.out) > 0 && events&unix.EPOLLOUT != 0 {
		out := c.out
		c.out = nil
		s.write(c, out)
	}
	const end = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&(unix.EPOLLIN|end) != 0 {
		s.read(c, events&end != 0)
	}
}

// read takes all that the socket has. ended says that its end has come, behind
// what is still in it.
func (s *swarm) read(c *client, ended bool) {
	for c.live() && !c.deaf {
		n, e := sysRead(c.fd, s.buf)
		switch {
		case e == unix.EAGAIN:
			return
		case e != 0 || n == 0:
			text := "end of the connection"
			if e != 0 {
				text = e.Error()
			}
			s.fail(c, "socket closed", text)
			return
		}
		s.now = s.r.now()
		s.r.received += int64(n)
		s.input(c, s.buf[:n])
		if n < len(s.buf) && !ended {
			return // the socket is empty; what comes from now on is a new edge
		}
	}
}

// input takes apart what came, and keeps what is not complete.
func (s *swarm) input(c *client, chunk []byte) {
	if len(c.in) > 0 {
		c.in = append(c.in, chunk...)
		chunk = c.in
	}
	if c.state == upgrading {
		if chunk = s.upgraded(c, chunk); chunk == nil {
			return
		}
	}
	for c.live() {
		e, rest, bad := wire.ServerFrame(chunk)
		if bad != nil {
			s.fail(c, "broken frame", bad.Message)
			return
		}
		chunk = rest
		if e.Kind == wire.None {
			break
		}
		s.frame(c, e)
	}
	if c.live() {
		c.keep(chunk)
	}
}

// keep keeps the beginning of what is not complete.
func (c *client) keep(rest []byte) {
	if len(rest) == 0 {
		c.in = nil
		return
	}
	c.in = append([]byte(nil), rest...)
}

// upgraded takes the answer to the upgrade and returns what follows it, nil when
// that was not all or not it.
func (s *swarm) upgraded(c *client, chunk []byte) []byte {
	n := wire.HeaderEnd(chunk, 0)
	if n == 0 {
		c.keep(chunk)
		return nil
	}
	head := chunk[:n]
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	if f := bytes.Fields(line); len(f) < 2 || string(f[1]) != "101" || !bytes.Contains(head, []byte(wire.SampleAccept)) {
		s.fail(c, "upgrade refused", string(line))
		return nil
	}
	if bytes.Contains(head, []byte("permessage-deflate")) {
		s.compressing++
	}
	c.state, c.in = greeting, nil
	return chunk[n:]
}

func (s *swarm) frame(c *client, e wire.Event) {
	switch e.Kind {
	case wire.Text:
		if e.Deflate {
			s.deflated(c, e.Payload)
			return
		}
		s.message(c, e.Payload)
	case wire.Ping:
		s.send(c, wire.Pong, e.Payload)
	case wire.Close:
		s.fail(c, "close "+strconv.Itoa(e.Code), string(e.Payload))
	}
}

const (
	maxInflated = 64 << 20
	keepTexts   = 256
)

// deflated takes a compressed message. What many get is inflated once.
func (s *swarm) deflated(c *client, data []byte) {
	text, known := s.texts[string(data)]
	if !known {
		var bad *protocol.Error
		if text, bad = wire.Inflate(data, maxInflated); bad != nil || !s.r.o.Compress {
			s.fail(c, "broken frame", "compressed, and not as it was offered")
			return
		}
		if len(s.texts) >= keepTexts {
			clear(s.texts)
		}
		s.texts[string(data)] = text
	}
	s.message(c, text)
}

var eventKey = []byte(`{"event":"`)

// nameOf returns a message's event name. Servers write it first; it is looked for
// only in messages of those that do not.
func nameOf(payload []byte) []byte {
	if rest, ok := bytes.CutPrefix(payload, eventKey); ok {
		if i := bytes.IndexByte(rest, '"'); i >= 0 {
			return rest[:i]
		}
	}
	return []byte(gjson.GetBytes(payload, "event").Str)
}

func (s *swarm) message(c *client, payload []byte) {
	name := nameOf(payload)
	if !bytes.HasPrefix(name, []byte("pusher")) {
		if s.hooks.event != nil {
			s.hooks.event(c, payload)
		}
		return
	}
	switch string(name) {
	case "pusher:connection_established":
		s.greet(c, payload)
	case "pusher_internal:subscription_succeeded":
		s.succeeded(c, payload)
	case "pusher_internal:member_added":
		if s.hooks.member != nil {
			s.hooks.member(c, payload)
		}
	case "pusher:ping":
		s.send(c, wire.Text, []byte(`{"event":"pusher:pong","data":{}}`))
	case "pusher:error", "pusher:subscription_error":
		s.complained(c, payload)
	}
}

// greet takes connection_established and subscribes.
func (s *swarm) greet(c *client, payload []byte) {
	data := gjson.Parse(gjson.GetBytes(payload, "data").String())
	c.socketID = strings.Clone(data.Get("socket_id").Str)
	c.silence = data.Get("activity_timeout").Int() * int64(time.Second)
	c.state = joining
	var list []subscription
	if s.hooks.subscriptions != nil {
		list = s.hooks.subscriptions(int(c.index))
	}
	s.subscribe(c, list)
}

// subscribe asks for channels; the client is ready once all were answered.
func (s *swarm) subscribe(c *client, list []subscription) {
	c.waiting += len(list)
	c.asked = s.r.now()
	for _, sub := range list {
		s.send(c, wire.Text, s.subscribeMessage(c, sub))
	}
	if c.waiting == 0 && c.state == joining {
		s.arrived(c)
	}
}

func (s *swarm) subscribeMessage(c *client, sub subscription) []byte {
	b := append(make([]byte, 0, 256), `{"event":"pusher:subscribe","data":{"channel":`...)
	b = protocol.AppendString(b, sub.channel)
	if protocol.KindOf(sub.channel).Is(protocol.Private) {
		signed := c.socketID + ":" + sub.channel
		if sub.data != "" {
			signed += ":" + sub.data
			b = protocol.AppendString(append(b, `,"channel_data":`...), sub.data)
		}
		b = protocol.AppendString(append(b, `,"auth":`...), s.r.o.Key+":"+s.secret.Sign([]byte(signed)))
	}
	return append(b, "}}"...)
}

// succeeded counts an answer to a subscribe.
func (s *swarm) succeeded(c *client, payload []byte) {
	if c.waiting == 0 {
		return
	}
	c.waiting--
	if s.hooks.joined != nil {
		s.hooks.joined(c, payload)
	}
	if c.waiting == 0 && c.state == joining {
		s.arrived(c)
	}
}

func (s *swarm) arrived(c *client) {
	c.state = ready
	s.ready++
	s.settled++
	if s.hooks.ready != nil {
		s.hooks.ready(c)
	}
}

// complained takes pusher:error and pusher:subscription_error. Before a client is
// ready they are its end: it will not get what it was opened for.
func (s *swarm) complained(c *client, payload []byte) {
	data := gjson.GetBytes(payload, "data")
	if data.Type == gjson.String { // so says Soketi
		data = gjson.Parse(data.Str)
	}
	e := &protocol.Error{Code: int(data.Get("code").Int()), Message: data.Get("message").Str}
	kind := "error " + strconv.Itoa(e.Code)
	if status := data.Get("status"); status.Exists() {
		kind, e.Message = "subscription error "+status.Raw, data.Get("error").Str
	}
	if c.state != ready || c.waiting > 0 {
		s.fail(c, kind, e.Message)
		return
	}
	s.r.errors.add(kind, e.Message)
	if s.hooks.refused != nil {
		s.hooks.refused(c, e)
	}
}

// send sends a frame.
func (s *swarm) send(c *client, kind wire.Kind, payload []byte) {
	s.scratch = wire.AppendMasked(s.scratch[:0], kind, payload)
	s.write(c, s.scratch)
}

// write sends bytes and keeps those that the socket refuses.
func (s *swarm) write(c *client, b []byte) {
	if len(c.out) > 0 {
		c.out = append(c.out, b...)
		return
	}
	n, e := sysWrite(c.fd, b)
	switch {
	case e == unix.EAGAIN:
		n = 0
	case e != 0:
		return // the read that follows says why
	}
	if n < len(b) {
		c.out = append([]byte(nil), b[n:]...)
	}
	c.last = s.now
}

// fail ends a client that should have lived.
func (s *swarm) fail(c *client, kind, text string) {
	s.r.errors.add(kind, text)
	if c.state == ready {
		s.ready--
		s.lost++
	} else {
		s.settled++
	}
	s.hangUp(c)
}

// hangUp closes a client's socket.
func (s *swarm) hangUp(c *client) {
	if c.fd > 0 {
		unix.Close(c.fd)
	}
	c.fd, c.state, c.in, c.out, c.waiting = 0, gone, nil, nil, 0
}

// keepAlive has clients that were silent for most of what the server allows say
// that they are there.
func (s *swarm) keepAlive(now int64) {
	if now-s.alive < int64(time.Second) {
		return
	}
	s.alive = now
	for i := range s.clients {
		c := &s.clients[i]
		if c.state == ready && !c.deaf && c.silence > 0 && now-c.last > c.silence*3/4 {
			c.last = now
			s.send(c, wire.Text, []byte(`{"event":"pusher:ping","data":{}}`))
		}
	}
}
