package contract

import (
	"testing"
	"time"

	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

var lifeCases = []testCase{
	{"pong timeout (PROTOCOL 1.23, 1.24)", pongTimeout},
	{"pong keeps it alive (PROTOCOL 1.23)", pongAlive},
	{"pings keep it alive (PROTOCOL 1.23, 1.24)", pingsAlive},
	{"a slow message is a sign of life", partsAlive},
	{"pause", pause},
	{"a paused peer that goes away", pausedGoes},
	{"a paused peer is not idle", pausedIdle},
}

func impatient() transport.Options {
	return transport.Options{ActivityTimeout: 60 * time.Millisecond, PongTimeout: 60 * time.Millisecond}
}

func pongTimeout(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: impatient()})
	c, p := n.connect()
	began := time.Now()
	if payload := c.next(opPing); payload != "" {
		t.Errorf("ping %q", payload)
	}
	c.closing(protocol.CodePongTimeout, protocol.ErrPongTimeout.Message)
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("closed after %v already", took)
	}
	if err := p.endedOnce(t); err != error(protocol.ErrPongTimeout) {
		t.Errorf("Closed was told %v", err)
	}
	n.drops(metrics.DropPong, 1)
}

func pongAlive(t *testing.T, listen Listen) {
	o := impatient()
	o.PongTimeout = patience // or a busy machine fails the test
	n := start(t, listen, config{options: o})
	c, _ := n.connect()
	began := time.Now()
	for range 4 {
		c.next(opPing)
		c.write(frame(fin|opPong, ""))
	}
	if took := time.Since(began); took > patience/4 {
		t.Errorf("4 times %v without input took %v", o.ActivityTimeout, took)
	}
	c.say("alive")
	c.hears("alive")
}

// lenient is for clients that never answer a ping and are alive all the same. It
// leaves room for a busy machine.
func lenient() transport.Options {
	return transport.Options{ActivityTimeout: 400 * time.Millisecond, PongTimeout: time.Second}
}

// lenientFor is longer than a peer lives under lenient that shows no life.
const lenientFor = 2 * time.Second

// pingsAlive is what the Swift client does: it never sends a message.
func pingsAlive(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: lenient()})
	c, _ := n.connect()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < lenientFor; <-tick.C {
		c.write(frame(fin|opPing, "mine"))
		if got := c.past(opPing, opPong); got != "mine" {
			t.Fatalf("pong %q", got)
		}
	}
}

// partsAlive sends one message so slowly that only its parts show life.
func partsAlive(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: lenient()})
	c, _ := n.connect()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	payload := repeat("s", int(lenientFor/(20*time.Millisecond)))
	slow := frame(fin|opText, payload)
	for i := range len(slow) {
		<-tick.C
		c.write(slow[i : i+1])
	}
	if got := c.past(opPing, opText); got != payload {
		t.Errorf("message %q", got)
	}
}

func pause(t *testing.T, listen Listen) {
	n := start(t, listen, config{})
	c, p := n.connect()
	for range 3 {
		c.say("pause")
		eventuallyHeard(t, p)
		c.say("one")
		c.say("two")
		other, q := n.connect() // turns go by
		for range 20 {
			other.say("x")
			other.hears("x")
		}
		done := make(chan struct{})
		p.do(func() {
			if got := p.heard.Swap(0); got != 1 {
				t.Errorf("%d messages were heard while paused, want 1", got)
			}
			p.conn.Send(protocol.NewFrame([]byte("output goes on")))
			close(done)
		})
		within(t, done)
		c.hears("output goes on")
		p.do(p.conn.Resume)
		c.hears("one", "two")
		p.heard.Store(0)
		q.do(func() { q.conn.Close(protocol.ErrReconnect) })
	}
}

func eventuallyHeard(t *testing.T, p *peer) {
	t.Helper()
	eventually(t, func() error {
		if p.heard.Load() == 0 {
			return errNotYet
		}
		return nil
	})
}

func pausedGoes(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: transport.Options{Loops: 1}})
	c, p := n.connect()
	c.say("pause")
	eventuallyHeard(t, p)
	c.nc.Close()
	// Whether it is noticed at once or on Resume is the implementation's choice.
	p.do(func() {
		if len(p.gone) == 0 {
			p.conn.Resume()
		}
	})
	p.endedOnce(t)
}

func pausedIdle(t *testing.T, listen Listen) {
	n := start(t, listen, config{options: impatient()})
	c, p := n.connect()
	c.say("pause")
	eventuallyHeard(t, p)
	for range 3 {
		other, q := n.connect() // is closed by then
		other.next(opPing)
		q.ended(t)
	}
	p.do(p.conn.Resume)
	c.say("alive")
	if got := c.past(opPing, opText); got != "alive" {
		t.Errorf("message %q", got)
	}
}
