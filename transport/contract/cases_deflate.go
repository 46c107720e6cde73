package contract

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

var deflateCases = []testCase{
	{"compression (PROTOCOL 1.6)", compression},
	{"compression that is off, or not offered", noCompression},
	{"compressed messages in", compressedIn},
	{"compressed form is shared", sharedForm},
	{"broken compressed messages (PROTOCOL 1.36)", brokenCompression},
	{"more than a turn may bring", muchInflated},
	{"bytes are counted as they travel", compressedBytes},
}

const deflateAnswer = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"

// connectDeflate is connect with an offer, that must be taken.
func (n *node) connectDeflate() (*client, *peer) {
	n.t.Helper()
	c := n.dial()
	c.write(deflateRequest)
	r, _ := c.response()
	if got := r.Header.Get("Sec-WebSocket-Extensions"); got != deflateAnswer {
		n.t.Fatalf("the offer was answered with %q", got)
	}
	c.deflate = true
	return c, n.established(c)
}

const deflateRequest = "GET /app/key HTTP/1.1\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" + upgradeHeaders + "\r\n"

// deflated is a message's data as a client sends it, and inflate the inverse.
func deflated(text string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, text)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

func inflate(data []byte) ([]byte, error) {
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
}

// sayDeflated sends a compressed text message.
func (c *client) sayDeflated(payload string) {
	c.t.Helper()
	c.write(frame(fin|rsv1|opText, deflated(payload)))
}

// noise is text that does not get smaller.
func noise(size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.IntN(128))
	}
	return string(b)
}

func compression(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{CompressFrom: 200}})
	c, p := n.connectDeflate()
	if !p.handshake.Deflate {
		t.Error("the session was not told")
	}
	for _, m := range []struct {
		text       string
		compressed int
	}{
		{"short", 0}, {repeat("x", 199), 0}, {repeat("x", 200), 1}, {noise(300), 0},
		{repeat("ä€😀", 1000), 1}, {repeat("x", 90_000), 1}, {"", 0},
	} {
		before := c.compressed
		c.say(m.text)
		c.hears(m.text)
		if got := c.compressed - before; got != m.compressed {
			t.Errorf("%.20q, %d bytes: %d compressed messages, want %d", m.text, len(m.text), got, m.compressed)
		}
	}
	c.write(frame(fin|opPing, "p"))
	if got := c.next(opPong); got != "p" {
		t.Errorf("pong %q", got)
	}
	p.do(func() { p.conn.Close(protocol.ErrReconnect) })
	c.closing(protocol.ErrReconnect.Code, protocol.ErrReconnect.Message)
}

func noCompression(t *testing.T, listen Listen) {
	off := start(t, listen, config{})
	on := start(t, listen, config{options: transport.Options{CompressFrom: 1}})
	for _, c := range []struct {
		n       *node
		request string
	}{{off, deflateRequest}, {on, upgradeRequest("/app/key")}} {
		conn := c.n.dial()
		conn.write(c.request)
		if r, _ := conn.response(); r.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("extensions in the answer: %v", r.Header)
		}
		if p := c.n.established(conn); p.handshake.Deflate {
			t.Error("the session was told of compression")
		}
		conn.say(repeat("x", 5000))
		conn.hears(repeat("x", 5000)) // the client takes no compressed message
		conn.sayDeflated("hello")
		conn.closing(4200, "Invalid frame: reserved bits set")
	}
}

func compressedIn(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{CompressFrom: 100, MaxMessageBytes: 100_000}})
	c, _ := n.connectDeflate()
	for _, m := range []string{"hello", "", "ä€😀", repeat("x", 100_000), noise(100_000)} {
		c.sayDeflated(m)
		c.hears(m)
		c.say(m)
		c.hears(m)
	}
	one := deflated("one, two, three")
	stream := frame(rsv1|opText, one[:5]) + frame(fin|opPing, "p") + frame(opContinuation, "") + frame(fin|opContinuation, one[5:]) +
		frame(fin|rsv1|opText, deflated("next")) + frame(fin|opText, "plain")
	for cut := 1; cut < len(stream); cut++ {
		c.write(stream[:cut])
		c.write(stream[cut:])
		if got := c.next(opPong); got != "p" {
			t.Fatalf("pong %q", got)
		}
		c.hears("one, two, three", "next", "plain")
	}
}

// sharedForm sends the same frames, some in one turn, to connections that have
// negotiated compression and others: each gets its own form.
func sharedForm(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1, CompressFrom: 50}})
	var clients []*client
	var peers []*peer
	for i := range 9 {
		c, p := (*client)(nil), (*peer)(nil)
		if i%3 == 1 {
			c, p = n.connect()
		} else {
			c, p = n.connectDeflate()
		}
		clients, peers = append(clients, c), append(peers, p)
	}
	for _, count := range []int{1, 2, 16, 300} {
		var frames []*protocol.Frame
		var want []string
		for i := range count {
			want = append(want, repeat(fmt.Sprint("event ", i, " "), 1+i%40))
			frames = append(frames, protocol.NewFrame([]byte(want[i])))
		}
		peers[0].do(func() {
			for _, f := range frames {
				for _, p := range peers {
					p.conn.Send(f)
				}
			}
		})
		for _, c := range clients {
			c.hears(want...)
		}
	}
	for i, c := range clients {
		if (c.compressed > 0) != c.deflate || c.compressed != clients[i%3].compressed {
			t.Errorf("client %d got %d compressed messages", i, c.compressed)
		}
	}
}

func brokenCompression(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{CompressFrom: 100, MaxMessageBytes: 50_000}})
	healthy, _ := n.connectDeflate()
	hello := deflated("hello")
	for _, c := range []brokenFrame{
		{"bomb", frame(fin|rsv1|opText, deflated(repeat("x", 5_000_000))), 1009, "Message too big", metrics.DropTooBig},
		{"bomb in fragments", frame(rsv1|opText, deflated(repeat("x", 50_001))) + frame(fin|opContinuation, ""), 1009, "Message too big", metrics.DropTooBig},
		{"malformed", frame(fin|rsv1|opText, "no deflate data"), 4200, "Invalid frame: malformed deflate data", metrics.DropFraming},
		{"cut off", frame(fin|rsv1|opText, hello[:4]), 4200, "Invalid frame: malformed deflate data", metrics.DropFraming},
		{"bad utf-8", frame(fin|rsv1|opText, deflated("\xff")), 1007, "Invalid UTF-8", metrics.DropUTF8},
		{"bit on a continuation", frame(rsv1|opText, hello[:3]) + frame(fin|rsv1|opContinuation, hello[3:]), 4200, "Invalid frame: reserved bits set", metrics.DropFraming},
		{"bit on a ping", frame(fin|rsv1|opPing, ""), 4200, "Invalid frame: reserved bits set", metrics.DropFraming},
		{"other bit", frame(fin|0x20|opText, "a"), 4200, "Invalid frame: reserved bits set", metrics.DropFraming},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, p := n.connectDeflate()
			n.breaks(t, conn, p, frame(fin|rsv1|opText, deflated("fine")), c)
			healthy.sayDeflated("served")
			healthy.hears("served")
		})
	}
}

// muchInflated sends in few bytes what inflates to more than a turn may bring, the
// first of it with the upgrade: all is heard, in order, and others in between.
func muchInflated(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1, CompressFrom: 100, MaxMessageBytes: 50_000}})
	healthy, _ := n.connect()
	const many = 100
	message := func(i int) string { return fmt.Sprintf("%03d%s", i, repeat(" ", 20_000)) }
	var stream strings.Builder
	stream.WriteString(deflateRequest)
	for i := range many {
		stream.WriteString(frame(fin|rsv1|opText, deflated(message(i))))
	}
	if stream.Len() > 60_000 {
		t.Fatalf("%d bytes: too many for one turn", stream.Len())
	}
	c := n.dial()
	c.deflate = true
	c.write(stream.String() + frame(fin|opClose, "\x03\xe8"))
	c.switched()
	p := n.established(c)
	for i := range many {
		c.hears(message(i))
		if i%20 == 0 {
			healthy.say("served")
			healthy.hears("served")
		}
	}
	c.closeFrame(1000, "")
	p.endedOnce(t)
}

// compressedBytes holds that what is counted is what the sockets have taken.
func compressedBytes(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1, CompressFrom: 100}})
	c := n.dial()
	got := &bytes.Buffer{}
	c.br.Reset(io.TeeReader(c.nc, got))
	c.write(deflateRequest)
	c.switched()
	c.deflate = true
	n.established(c)
	out, in := n.metrics.Loop(0).BytesOut.Load, n.metrics.Loop(0).BytesIn.Load
	before := in()
	message := frame(fin|rsv1|opText, deflated(repeat("hello ", 1000)))
	for range 10 {
		c.write(message)
		c.hears(repeat("hello ", 1000))
	}
	if got.Len() > 6000 {
		t.Errorf("%d bytes were received for 60,000 of text", got.Len())
	}
	eventually(t, func() error {
		if out() != uint64(got.Len()) || in()-before != uint64(10*len(message)) {
			return fmt.Errorf("%d bytes out and %d in were counted, there were %d and %d", out(), in()-before, got.Len(), 10*len(message))
		}
		return nil
	})
}
