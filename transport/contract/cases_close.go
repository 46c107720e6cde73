package contract

import (
	"errors"
	"net"
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

var closeCases = []testCase{
	{"close (PROTOCOL 1.32, 1.34)", closeIt},
	{"close while input is unread", closeUnread},
	{"close behind much output", closeBehindOutput},
	{"close in a turn", closeInTurn},
	{"close in open", closeInOpen},
	{"the peer does not close after close", closeLingers},
	{"the peer closes", peerCloses},
	{"the peer closes without a code", peerClosesBare},
	{"the peer goes away", peerGoesAway},
	{"the peer resets", peerResets},
	{"slow reader (PROTOCOL 1.35)", slowReader},
	{"slow reader wakes up", slowReaderWakes},
	{"burst", burst},
	{"session is sent to while others close", sendFromClosed},
}

func closeIt(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	c.say("close no more of you")
	c.hears("before")
	c.closing(protocol.CodeUnauthorized, "no more of you")
	if err := p.endedOnce(t); err != nil {
		t.Errorf("Closed was told %v", err)
	}
}

// closeUnread is the case in which a careless close makes the kernel send a
// reset, and the peer never sees why.
func closeUnread(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, _ := n.connect()
	c.write(frame(fin|opText, "close because") + repeat(frame(fin|opText, repeat("x", 10_000)), 30))
	c.hears("before")
	c.closing(protocol.CodeUnauthorized, "because")
}

func closeBehindOutput(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{MaxPendingBytes: 32 << 20}})
	c, p := n.connect()
	big := protocol.NewFrame([]byte(repeat("b", 100_000)))
	p.do(func() {
		for range 100 {
			p.conn.Send(big)
		}
		p.conn.Close(protocol.ErrReconnect)
	})
	p.ended(t)
	for range 100 {
		c.hears(string(big.Payload()))
	}
	c.closing(protocol.ErrReconnect.Code, protocol.ErrReconnect.Message)
}

func closeInTurn(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	p.do(func() {
		p.inCall = true
		p.conn.Close(protocol.ErrReconnect)
		p.inCall = false
	})
	c.closing(protocol.ErrReconnect.Code, protocol.ErrReconnect.Message)
	if err := p.endedOnce(t); err != nil {
		t.Error(err)
	}
}

func closeInOpen(t *testing.T, listen Listen) {
	n := start(t, listen, config{closeInOpen: true})
	c := n.dial()
	c.write(upgradeRequest("/app/key") + frame(fin|opText, "never heard"))
	c.switched()
	p := n.established(c)
	c.closing(protocol.ErrReconnect.Code, protocol.ErrReconnect.Message)
	if err := p.endedOnce(t); err != nil {
		t.Error(err)
	}
	if p.heard.Load() != 0 {
		t.Error("a message was heard after Close")
	}
}

func closeLingers(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Linger: 50 * time.Millisecond, HandshakeTimeout: 100 * time.Millisecond}})
	c, p := n.connect()
	p.do(func() { p.conn.Close(protocol.ErrReconnect) })
	p.ended(t)
	// The client keeps its side open, and writes, until the server has had enough.
	eventually(t, func() error {
		if _, err := c.nc.Write([]byte(frame(fin|opPing, ""))); err == nil {
			return errors.New("the socket is still open")
		}
		return nil
	})
}

func peerCloses(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	c.write(frame(fin|opText, "last") + frame(fin|opClose, "\x03\xe9bye"))
	c.hears("last")
	c.closeFrame(1001, "bye")
	c.ended()
	if err := p.endedOnce(t); err != nil {
		t.Errorf("Closed was told %v", err)
	}
}

func peerClosesBare(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	c.write(frame(fin|opClose, ""))
	if payload := c.next(opClose); payload != "" {
		t.Errorf("close frame %q", payload)
	}
	c.ended()
	p.endedOnce(t)
}

func peerGoesAway(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	c.write(frame(fin|opText, "half")[:5])
	c.nc.Close()
	if err := p.endedOnce(t); err != nil {
		t.Errorf("Closed was told %v", err)
	}
	if got := n.metrics.Connections(); got != 0 {
		t.Errorf("%d connections counted", got)
	}
}

func peerResets(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	c.nc.(*net.TCPConn).SetLinger(0)
	c.nc.Close()
	p.endedOnce(t)
}

// flood sends frames to p, a few a turn, until it is closed or has had so many.
func flood(p *peer, f *protocol.Frame, frames int, done chan<- struct{}) {
	for range 8 {
		p.conn.Send(f)
	}
	if frames <= 0 || len(p.gone) > 0 {
		close(done)
		return
	}
	p.do(func() { flood(p, f, frames-8, done) })
}

func slowReader(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1, MaxPendingBytes: 256 << 10, Linger: 100 * time.Millisecond}})
	_, slow := n.connect()
	healthy, other := n.connect()
	f := protocol.NewFrame([]byte(repeat("f", 8000)))
	stop := make(chan struct{})
	slow.do(func() { flood(slow, f, 1_000_000, stop) })
	for len(slow.gone) == 0 { // the other one is served all the while
		healthy.say("served")
		healthy.hears("served")
	}
	if err := slow.endedOnce(t); !errors.Is(err, protocol.ErrOverCapacity) {
		t.Errorf("Closed was told %v", err)
	}
	within(t, stop)
	n.drops(metrics.DropSlow, 1)
	healthy.say("still there")
	healthy.hears("still there")
	if len(other.gone) > 0 {
		t.Error("the healthy one was closed")
	}
}

// slowReaderWakes reads what it missed, and must then learn why it was closed.
func slowReaderWakes(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{MaxPendingBytes: 100_000, Linger: patience}})
	c, p := n.connect()
	f := protocol.NewFrame([]byte(repeat("f", 8000)))
	stop := make(chan struct{})
	p.do(func() { flood(p, f, 1_000_000, stop) })
	p.ended(t)
	for {
		op, payload, err := c.readFrame()
		if err != nil || op != opText {
			t.Fatalf("opcode %x, %.100q, %v before pusher:error", op, payload, err)
		}
		if payload == string(protocol.ErrorMessage(protocol.ErrOverCapacity).Payload()) {
			break
		}
	}
	c.closeFrame(protocol.CodeOverCapacity, protocol.ErrOverCapacity.Message)
	c.ended()
}

// burst is more than MaxPendingBytes in one turn, to a reader that reads: only
// what the socket refuses may count.
func burst(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{MaxPendingBytes: 100_000}})
	c, p := n.connect()
	const frames = 1500
	f := protocol.NewFrame([]byte(repeat("x", 1000)))
	p.do(func() {
		for range frames {
			p.conn.Send(f)
		}
	})
	for range frames {
		c.hears(string(f.Payload()))
	}
	c.say("alive")
	c.hears("alive")
}

func sendFromClosed(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1}})
	leaver, p := n.connect()
	stayer, q := n.connect()
	done := make(chan struct{})
	p.do(func() {
		p.onClosed = func() {
			q.conn.Send(protocol.NewFrame([]byte("one left")))
			close(done)
		}
	})
	leaver.say("close now")
	within(t, done)
	stayer.hears("one left")
	p.endedOnce(t)
}
