package model

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dunlin/protocol"
)

// sitting is a conversation that is being played: the table, the model, and how far
// what each connection hears has been compared.
type sitting struct {
	*table
	m    *model
	read map[string]int      // entries of a client's log that were compared
	due  map[string]*matcher // what clients are to hear now

	counts map[eventKey]frame // the last count that a client heard of a channel
}

// observer is a client that watches everybody, where there are watchlists: it hears
// when the last sign-in of a closed connection is gone.
const observer = "o0"

// playConversation does one op after the other.
func (tab *table) playConversation(ops []op, at *progress) {
	tab.t.Helper()
	c := &sitting{table: tab, m: newModel(tab.app, tab.round), read: map[string]int{}, counts: map[eventKey]frame{}}
	if tab.app.watchlists {
		c.step(op{actor: observer, verb: "signin", user: "observer", watch: strings.Join(users, ",")})
	}
	for i, o := range ops {
		at.at = i
		c.step(o)
	}
	at.at = len(ops)
	c.finish()
}

// step does an op and compares all that came of it.
func (c *sitting) step(o op) {
	c.t.Helper()
	if o.actor[0] != 'b' && c.lives[o.actor] == nil && !c.connect(o) {
		return
	}
	l := c.lives[o.actor]
	p := c.m.apply(o)
	ctx, cancel := c.context()
	defer cancel()
	switch {
	case o.verb == "connect":
	case o.verb == "close":
		c.hangUp(l, o.how)
		c.forget(o.actor)
	case p.status != 0:
		c.api(ctx, o, p)
	default:
		l.send(ctx, &o, o.message(c.app.key, c.round, l.id))
	}
	c.closings(ctx, o, p)
	c.due = map[string]*matcher{}
	for client := range c.lives {
		c.due[client] = &matcher{wants: p.frames[client]}
		if len(c.nodes) > 1 {
			c.due[client].loosen()
		}
	}
	if c.lives[o.actor] != nil {
		c.ping(ctx, o.actor) // it is answered when the op has been read
	}
	c.quiet(ctx, o)
}

// connect connects a client, and reports false when it is rightly refused (PROTOCOL 1.35).
// A connection that was closed may be counted for a moment longer than the gauges do,
// and one on another node be heard of a moment late: a wrong refusal gets another
// chance, and so does a wrong admission where there are several nodes.
func (c *sitting) connect(o op) bool {
	c.t.Helper()
	full := c.m.full()
	var l *life
	var err error
	refused := func() bool { return closedBy(err) == protocol.CodeOverQuota }
	c.until(func() bool {
		l, err = c.seat(o)
		if late := full && err == nil && len(c.nodes) > 1; late {
			c.hangUp(l, "")
			c.forget(o.actor)
			return false
		}
		return full || !refused()
	})
	if full && refused() {
		return false
	}
	if err != nil || full {
		c.t.Fatalf("%s: connecting while there are %d: %v", o, c.m.connections(), err)
	}
	c.read[o.actor] = 0
	c.m.sit(o.actor, l.id)
	return true
}

// api asks the API. Where nodes share their state, what it says may lag behind.
func (c *sitting) api(ctx context.Context, o op, p *prediction) {
	c.t.Helper()
	if strings.Contains("list look users", o.verb) && len(c.nodes) > 1 {
		var err error
		if !c.until(func() bool { err = c.check(o, p); return err == nil }) {
			c.t.Fatalf("%s: %v", o, err)
		}
		return
	}
	r, err := c.ask(ctx, o, c.idOf(o.skip))
	if len(c.nodes) > 1 && (o.verb == "publish" || o.verb == "batch") {
		p.body = nil
	}
	if err == nil {
		err = answers(r, p)
	}
	if err != nil {
		c.t.Fatalf("%s: %v", o, err)
	}
}

// ping pings a client and expects the pong behind all else.
func (c *sitting) ping(ctx context.Context, client string) {
	c.lives[client].ping(ctx)
	c.due[client].wants = append(c.due[client].wants, want{frame: pongFrame, group: c.due[client].loose})
}

// closings waits for connections to end, on both sides.
func (c *sitting) closings(ctx context.Context, o op, p *prediction) {
	c.t.Helper()
	for client, code := range p.closed {
		c.closing(ctx, o, client, code, p.frames[client])
		delete(p.frames, client)
	}
	if len(p.closed) > 0 || len(p.left) > 0 {
		c.gauges(c.m.connections(), c.m.subscriptions())
	}
}

// closing waits for the server to close a connection, which must have heard some
// frames and may have heard others.
func (c *sitting) closing(ctx context.Context, o op, client string, code int, wants []want) {
	c.t.Helper()
	l := c.lives[client]
	if !l.heard(ctx, c.read[client], func(_ []entry, end error) bool { return end != nil }) {
		c.t.Fatalf("%s: %s is not closed", o, client)
	}
	log, end := l.since(c.read[client])
	if closedBy(end) != code {
		c.t.Fatalf("%s: %s is closed with %v, want %d", o, client, end, code)
	}
	for _, w := range wants {
		found := false
		for _, e := range log {
			found = found || e.sent == nil && e.is(w.frame)
		}
		if !found {
			c.t.Fatalf("%s: %s was closed without\n\t%s", o, client, w.frame)
		}
	}
	c.forget(client)
}

func (m *model) connections() int { return len(m.seats) }

func (m *model) subscriptions() (n int) {
	for _, s := range m.seats {
		n += len(s.subs)
	}
	return n
}

// soon is how long frames are waited for that nothing can hold up but the machine.
const soon = 100 * time.Millisecond

// quiet waits for the predicted frames, then until nothing else can be on its way.
func (c *sitting) quiet(ctx context.Context, o op) {
	c.t.Helper()
	patience := soon
	if len(c.nodes) > 1 { // a fence says nothing of the way between nodes
		patience = c.patience
	}
	c.hear(ctx, o, patience)
	c.fence()
	for client := range c.lives {
		c.ping(ctx, client)
	}
	c.hear(ctx, o, patience)
	if len(c.nodes) > 1 {
		c.hearCounts(ctx, o)
	}
	if c.left() == 0 {
		return
	}
	for range 2 { // what was told before the first pings is heard before the second pongs
		c.fence()
		for client, l := range c.lives {
			if c.ping(ctx, client); !l.ponged(ctx) {
				c.t.Fatalf("%s: a ping of %s is not answered", o, client)
			}
		}
	}
	c.hear(ctx, o, 0)
	for client, m := range c.due {
		if m.left() > 0 {
			c.t.Fatalf("%s: %s did not hear\n%s\nbut\n%s", o, client, m, c.tail(c.lives[client]))
		}
	}
}

// hearCounts waits until everybody has heard the count of every channel that he is in.
func (c *sitting) hearCounts(ctx context.Context, o op) {
	c.t.Helper()
	p := &prediction{frames: map[string][]want{}}
	for ch := range c.m.rooms {
		c.m.tellCount(p, ch)
	}
	for client, wants := range p.frames {
		for _, w := range wants {
			if !c.until(func() bool { c.hear(ctx, o, 0); return c.counts[eventKey{w.channel, client}] == w.frame }) {
				c.t.Fatalf("%s: %s did not hear\n\t< %s\nbut\n%s", o, client, w.frame, c.tail(c.lives[client]))
			}
		}
	}
}

func (c *sitting) left() (n int) {
	for _, m := range c.due {
		n += m.left()
	}
	return n
}

// hear compares what clients hear until they have heard all that is due, or patience
// is over. A frame that is not due is a failure at once.
func (c *sitting) hear(ctx context.Context, o op, patience time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for client, m := range c.due {
		l, taken := c.lives[client], 0
		var bad error
		l.heard(ctx, c.read[client], func(log []entry, end error) bool {
			for ; taken < len(log) && bad == nil; taken++ {
				switch e := log[taken]; {
				case e.sent == nil && e.event == evCount && len(c.nodes) > 1:
					c.counts[eventKey{e.channel, client}] = e.frame
				case e.sent == nil:
					bad = m.take(e)
				}
			}
			if bad == nil && end != nil {
				bad = fmt.Errorf("the connection ended: %w", end)
			}
			return bad != nil || m.left() == 0
		})
		c.read[client] += taken
		if bad != nil {
			c.t.Fatalf("%s: %s %v\nwith these still due\n%s\nafter\n%s", o, client, bad, m, c.tail(l))
		}
	}
}

// tail is what a client heard last.
func (c *sitting) tail(l *life) string {
	const most = 12
	log, _ := l.since(0)
	var b strings.Builder
	for _, e := range log[max(0, len(log)-most):] {
		if e.sent != nil {
			fmt.Fprintf(&b, "\t> %s\n", e.sent)
		} else {
			fmt.Fprintf(&b, "\t< %s\n", e.raw)
		}
	}
	return b.String()
}

// matcher compares what comes with what was predicted.
type matcher struct {
	wants []want
	met   []bool // by index in wants; shorter when the last ones are not met
	loose int    // group of frames of no channel; 0: they have an order
}

func (m *matcher) isMet(i int) bool { return i < len(m.met) && m.met[i] }

func (m *matcher) left() (n int) {
	for i := range m.wants {
		if !m.isMet(i) {
			n++
		}
	}
	return n
}

// loosen allows for several nodes: they tell the newest count, not every one, and a
// join that waits for its answer may be overtaken by pongs.
func (m *matcher) loosen() {
	const any = 100
	m.loose = any
	m.wants = slices.DeleteFunc(m.wants, func(w want) bool { return w.event == evCount })
	for i := range m.wants {
		if m.wants[i].stream() == "" {
			m.wants[i].group = any
		}
	}
}

// take judges one frame: it must be the next of its stream, or one of the next group.
func (m *matcher) take(e entry) error {
	if e.bad != nil {
		return fmt.Errorf("heard what is no good frame: %w\n\t%s", e.bad, e.raw)
	}
	head := -1
	for i, w := range m.wants {
		switch {
		case m.isMet(i) || w.stream() != e.stream():
			continue
		case head < 0:
			head = i
		case w.group == 0 || w.group != m.wants[head].group:
			return fmt.Errorf("heard a frame when it was the turn of another\n\t%s\n\t%s", e.frame, m.wants[head].frame)
		}
		if e.is(w.frame) {
			if w.after && !m.isMet(i-1) {
				return fmt.Errorf("heard a frame before that which should precede it\n\t%s\n\t%s", e.frame, m.wants[i-1].frame)
			}
			m.met = append(m.met, make([]bool, len(m.wants)-len(m.met))...)
			m.met[i] = true
			return nil
		}
		if w.group == 0 {
			return fmt.Errorf("heard a frame when it was the turn of another\n\t%s\n\t%s", e.frame, w.frame)
		}
	}
	return fmt.Errorf("heard an unexpected frame\n\t%s", e.frame)
}

// String lists what is still to come.
func (m *matcher) String() string {
	var b strings.Builder
	for i, w := range m.wants {
		if !m.isMet(i) {
			fmt.Fprintf(&b, "\t< %s\n", w.frame)
		}
	}
	return b.String()
}

// finish looks at the state from outside, then has everybody go.
func (c *sitting) finish() {
	c.t.Helper()
	for ch := range c.m.rooms {
		short := strings.Replace(ch, c.round+"-", "", 1)
		look := op{actor: "b0", verb: "look", ch: short, ask: "subscription_count"}
		c.settled(look, c.m.apply(look).body)
		if kindOf(ch).presence {
			who := op{actor: "b0", verb: "users", ch: short}
			c.settled(who, c.m.apply(who).body)
		}
	}
	c.leave()
}
