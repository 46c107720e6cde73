package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// party is a burst that is being played.
type party struct {
	*table

	mu sync.Mutex
	// Guarded by mu
	events     map[eventKey]*event
	terminated []termination
	problems   []error
	calms      []time.Time
}

// witness is a client that subscribes before the first burst, stays, and publishes
// nothing: what it hears of a channel is that channel's one order.
const witness = "w0"

// burst makes bursts out of a seed. Everybody has one user, whom two clients share.
func burst(seed int64, ops int) script {
	d := newDice(seed)
	d.clients, d.backends = max(d.clients, 4), 3
	makers := d.swarm([]maker{
		{3, d.own(closeOp)}, {8, d.own(clientEventOp)}, {4, d.own(signinOp)}, {12, publishOp}, {3, batchOp},
		{1, listOp}, {1, lookOp}, {1, usersOp}, {1, terminateOp},
	}, maker{30, d.own(subscribeOp)}, maker{24, d.own(unsubscribeOp)}, maker{8, publishOp})
	s := script{mode: "burst", app: d.one("plain", "talk", "wide", "wide"), times: 1}
	for _, ch := range d.some(d.channels, d.IntN(len(d.channels)+1)) { // others come and go altogether
		s.ops = append(s.ops, op{actor: witness, verb: "subscribe", ch: ch, user: "witness"})
	}
	m := newModel(apps[s.app], "r0") // of what would be, one after the other
	const bursts = 3
	for range bursts {
		s.ops = append(s.ops, pause)
		for range ops / 2 { // they are cheaper than a conversation's
			s.ops = append(s.ops, d.useful(m, makers))
		}
	}
	s.ops = append(s.ops, pause)
	return s
}

// own makes ops that are good, and of the user whom the client belongs to.
func (d *dice) own(make func(*dice) op) func(*dice) op {
	return func(*dice) op {
		o := make(d)
		i, _ := strconv.Atoi(o.actor[1:])
		if o.user != "" {
			o.user, o.info = d.users[i/2%len(d.users)], o.actor[1:]
		}
		if o.verb == "signin" {
			o.watch = strings.Join(d.some(users, 2+d.IntN(3)), ",")
		}
		if o.verb != "close" {
			o.how = ""
		}
		if d.IntN(4) == 0 {
			o.wait = "yes"
		}
		return o
	}
}

// playBurst has everybody do the ops up to each pause, then waits for quiet and judges
// all that was heard until then.
func (tab *table) playBurst(ops []op, at *progress) {
	tab.t.Helper()
	p := &party{table: tab, events: map[eventKey]*event{}}
	for begin := 0; begin < len(ops); {
		end := begin + slices.Index(append(slices.Clone(ops[begin:]), pause), pause)
		at.at = min(end, len(ops)-1)
		p.together(ops[begin:end])
		p.settle()
		begin = end + 1
	}
	p.leave()
}

// together does every actor's ops in their order, and all actors' at once.
func (p *party) together(ops []op) {
	p.t.Helper()
	byActor := map[string][]op{}
	for _, o := range ops {
		byActor[o.actor] = append(byActor[o.actor], o)
	}
	var wg sync.WaitGroup
	for _, list := range byActor {
		wg.Go(func() {
			for i := range list {
				if err := p.do(&list[i]); err != nil {
					p.problem(fmt.Errorf("%s: %w", list[i], err))
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(p.problems...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *party) problem(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, err)
}

func (p *party) do(o *op) error {
	ctx, cancel := p.context()
	defer cancel()
	if o.actor[0] == 'b' {
		return p.call(ctx, *o)
	}
	l := p.life(o.actor)
	if l == nil || l.over() {
		var err error
		if l, err = p.seat(*o); err != nil {
			return err
		}
	}
	switch o.verb {
	case "connect":
		return nil
	case "close":
		p.forget(o.actor)
		p.hangUp(l, o.how)
		return nil
	case "event":
		p.publishes(*o, o.ch, 0, l.id, "")
	}
	l.send(ctx, o, o.message(p.app.key, p.round, l.id))
	if o.wait == "" {
		return nil
	}
	if l.ping(ctx); !l.ponged(ctx) {
		return errors.New("a ping is not answered")
	}
	return nil
}

// publishes notes an event that is about to be published: by a client, whose socket
// id is given, or by a backend, to all but one.
func (p *party) publishes(o op, ch string, i int, sender, skip string) *event {
	ch = fullName(p.round, ch)
	e := &event{id: fmt.Sprintf("%s.%d", o.n, i), channel: ch, sender: sender, skip: skip, from: time.Now()}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events[eventKey{ch, e.id}] = e
	return e
}

// call asks the API; what is published is noted before and after.
func (p *party) call(ctx context.Context, o op) error {
	skip := ""
	if o.skip != "" {
		skip = p.idOf(o.skip)
	}
	status := 200
	var events []*event
	switch {
	case o.verb == "publish" && (o.lonely() || o.how == "reserved"), o.verb == "batch" && o.how == "reserved":
		status = 400
	case o.verb == "publish":
		for _, ch := range unique(o.targets()) {
			events = append(events, p.publishes(o, ch, 0, "", skip))
		}
	case o.verb == "batch":
		for i, ch := range o.targets() {
			events = append(events, p.publishes(o, ch, i, "", skip))
		}
	}
	from := time.Now()
	r, err := p.ask(ctx, o, skip)
	if err != nil {
		return err
	}
	p.called(o, from, events)
	if query := strings.Contains("list look users", o.verb); r.Status != status && !(query && r.Status == 400) {
		return fmt.Errorf("status %d (%s), want %d", r.Status, r.Body, status)
	}
	return nil
}

// called notes that a call has ended.
func (p *party) called(o op, from time.Time, events []*event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, e := range events {
		e.to = now
	}
	if o.verb == "terminate" {
		p.terminated = append(p.terminated, termination{user: o.user, from: from, to: now})
	}
}

// settle waits until nothing is on its way, and judges.
func (p *party) settle() {
	p.t.Helper()
	p.calm()
	open := 0
	for _, l := range p.all {
		if l.over() {
			p.forgetLife(l)
		} else {
			open++
		}
	}
	var gone error
	p.until(func() bool { gone = p.counted(open, p.story().subscriptions()); return gone == nil })
	p.calm()        // what was told while connections closed
	s := p.judged() // says more than the gauges do
	if gone != nil {
		p.t.Fatal(gone)
	}
	p.calms = append(p.calms, time.Now())
	p.agree(s)
}

// calm returns when what was under way has had its effect: messages were read, then
// what they had told to others was told, then sent.
func (p *party) calm() {
	p.t.Helper()
	p.pingAll()
	p.fence()
	p.pingAll()
}

// judged judges the story so far. Nothing tells when all nodes are quiet: several have
// time to make it good.
func (p *party) judged() *story {
	p.t.Helper()
	var s *story
	var problems []string
	p.until(func() bool {
		s = p.story()
		problems = append(s.judge(), s.judgeEnd()...)
		return len(problems) == 0 || len(p.nodes) == 1
	})
	const most = 5
	if len(problems) > 0 {
		p.t.Fatal(strings.Join(problems[:min(most, len(problems))], "\n"))
	}
	return s
}

func (p *party) forgetLife(l *life) {
	if p.life(l.client) == l {
		p.forget(l.client)
	}
}

// pingAll pings everybody and waits for the answers, or the end.
func (p *party) pingAll() {
	p.t.Helper()
	ctx, cancel := p.context()
	defer cancel()
	for _, l := range p.all {
		if !l.over() {
			l.ping(ctx)
		}
	}
	for _, l := range p.all {
		if !l.ponged(ctx) {
			p.t.Fatalf("a ping of %s is not answered", l.client)
		}
	}
}

// agree asks every node about everything that must be true now.
func (p *party) agree(s *story) {
	p.t.Helper()
	m := s.truth()
	p.settled(op{actor: "b0", verb: "list"}, m.apply(op{actor: "b0", verb: "list"}).body)
	for ch := range m.rooms {
		look := op{actor: "b0", verb: "look", ch: strings.Replace(ch, p.round+"-", "", 1), ask: "subscription_count"}
		if kindOf(ch).presence {
			look.ask += ",user_count"
			users := op{actor: "b0", verb: "users", ch: look.ch}
			p.settled(users, m.apply(users).body)
		}
		if kindOf(ch).cache && s.reference(ch) != nil {
			look.ask += ",cache"
		}
		p.settled(look, m.apply(look).body)
	}
}
