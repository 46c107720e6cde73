package contract

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"dunlin/metrics"
	"dunlin/transport"
)

var frameCases = []testCase{
	{"echo", echo},
	{"order", order},
	{"big messages", bigMessages},
	{"fragments (PROTOCOL 1.8)", fragments},
	{"ping (PROTOCOL 1.22, 8.12)", ping},
	{"binary (PROTOCOL 1.7)", binaryMessage},
	{"broken frames (PROTOCOL 1.36)", brokenFrames},
	{"counters", counters},
}

func echo(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, _ := n.connect()
	for _, m := range []string{"hello", "", "ä€😀", repeat("x", 125), repeat("x", 126), repeat("x", 70_000)} {
		c.say(m)
		c.hears(m)
	}
}

func order(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	const many = 2000
	var all sync.WaitGroup
	for range 4 {
		c, _ := n.connect()
		all.Go(func() {
			for i := range many {
				if got := c.text(); got != fmt.Sprint("message ", i) {
					t.Errorf("got %q as number %d", got, i)
					return
				}
			}
		})
		all.Go(func() {
			var b strings.Builder
			for i := range many {
				b.WriteString(frame(fin|opText, fmt.Sprint("message ", i)))
				if b.Len() > rand.IntN(5000) {
					c.write(b.String())
					b.Reset()
				}
			}
			c.write(b.String())
		})
	}
	all.Wait()
}

func bigMessages(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{MaxMessageBytes: 300_000}})
	c, _ := n.connect()
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := range 10 {
			c.say(repeat(string(rune('a'+i)), 300_000))
		}
	})
	for i := range 10 {
		c.hears(repeat(string(rune('a'+i)), 300_000))
	}
	sender.Wait()
}

func fragments(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, _ := n.connect()
	stream := frame(opText, "one,") + frame(fin|opPing, "p") + frame(opContinuation, "") + frame(opContinuation, "two,") +
		frame(fin|opPong, "unasked") + frame(fin|opContinuation, "three") + frame(fin|opText, "next")
	for cut := 1; cut < len(stream); cut++ {
		c.write(stream[:cut])
		c.write(stream[cut:])
		if got := c.next(opPong); got != "p" {
			t.Fatalf("pong %q", got)
		}
		c.hears("one,two,three", "next")
	}
}

func ping(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	for _, payload := range []string{"", "x", repeat("y", 125)} {
		c.write(frame(fin|opPing, payload))
		if got := c.next(opPong); got != payload {
			t.Errorf("pong %q, want %q", got, payload)
		}
	}
	if p.heard.Load() != 0 {
		t.Error("the session heard of a ping")
	}
}

func binaryMessage(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	c.write(frame(fin|opBinary, "\xff\xfe") + frame(opBinary, "a") + frame(fin|opContinuation, "b"))
	c.say("text")
	c.hears("text")
	if b, m := p.binaries.Load(), p.heard.Load(); b != 2 || m != 1 {
		t.Errorf("%d binary and %d text messages, want 2 and 1", b, m)
	}
}

// brokenFrame is what ends a connection, and how.
type brokenFrame struct {
	name, frames string
	code         int
	reason       string
	counted      metrics.Drop
}

// breaks has a connection send a message "fine" and then what is broken.
func (n *node) breaks(t *testing.T, conn *client, p *peer, fine string, c brokenFrame) {
	before := n.metrics.Drops(c.counted)
	conn.t = t
	conn.write(fine + c.frames + frame(fin|opText, "never heard"))
	conn.hears("fine")
	conn.closing(c.code, c.reason)
	if err := p.endedOnce(t); err == nil {
		t.Error("Closed was told of no error")
	}
	if p.heard.Load() != 1 {
		t.Errorf("%d messages were heard, want 1", p.heard.Load())
	}
	n.drops(c.counted, before+1)
}

func brokenFrames(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{MaxMessageBytes: 1000}})
	for _, c := range []brokenFrame{
		{"too big", frame(fin|opText, repeat("x", 1001)), 1009, "Message too big", metrics.DropTooBig},
		{"fragments too big", frame(opText, repeat("x", 999)) + frame(fin|opContinuation, "xx"), 1009, "Message too big", metrics.DropTooBig},
		{"bad utf-8", frame(fin|opText, "\xff"), 1007, "Invalid UTF-8", metrics.DropUTF8},
		{"half a rune", frame(opText, "\xc3") + frame(fin|opContinuation, ""), 1007, "Invalid UTF-8", metrics.DropUTF8},
		{"unmasked", "\x81\x01a", 4200, "Invalid frame: unmasked frame", metrics.DropFraming},
		{"reserved bit", frame(fin|0x40|opText, "a"), 4200, "Invalid frame: reserved bits set", metrics.DropFraming},
		{"unknown opcode", frame(fin|0x3, "a"), 4200, "Invalid frame: unknown opcode", metrics.DropFraming},
		{"continuation of nothing", frame(fin|opContinuation, "a"), 4200, "Invalid frame: continuation of nothing", metrics.DropFraming},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, p := n.connect()
			n.breaks(t, conn, p, frame(fin|opText, "fine"), c)
		})
	}
}

func counters(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1}})
	c, p := n.connect()
	for i := range 10 {
		c.say(fmt.Sprint(i))
		c.hears(fmt.Sprint(i))
	}
	c.nc.Close()
	p.ended(t)
	l := n.metrics.Loop(0)
	// Closed is called before the last counts are in: look at what is.
	eventually(t, func() error {
		if l.Accepted.Load() != 1 || l.Connections.Load() != 0 || l.MessagesIn.Load() != 10 || l.FramesOut() != 11 {
			return fmt.Errorf("accepted %d, open %d, messages in %d, frames out %d; want 1, 0, 10, 11",
				l.Accepted.Load(), l.Connections.Load(), l.MessagesIn.Load(), l.FramesOut())
		}
		if l.BytesIn.Load() < 70 || l.BytesOut.Load() < 30 || l.Writes.Load() < 2 || l.Turns.Load() < 2 {
			return fmt.Errorf("bytes in %d, out %d, writes %d, turns %d", l.BytesIn.Load(), l.BytesOut.Load(), l.Writes.Load(), l.Turns.Load())
		}
		return nil
	})
}
