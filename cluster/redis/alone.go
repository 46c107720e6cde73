package redis

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// The short cut of a node that is alone: its publisher hands events to its own
// subscribers, in the order in which it would have sent them, and Redis is left out
// of it. There is still one order of a channel's events, since each way into the short
// cut and out of it has a moment at which all that went before has arrived:
//
//   - Before it begins, a message of the publisher's own must have come back, behind
//     all that it sent before.
//   - It may be taken for aloneTime after a registration was asked for that found no
//     other node. A node that registers says so to all, and neither publishes nor
//     lets anybody subscribe before each node that it found has answered that its short
//     cut is over, or so much time has passed that it is over by itself.
//
// Cache channels never take it: what is asked about their last event is answered in
// Redis' order.

// aloneTime is how long after it was asked for the answer counts that nobody else is
// there. A newcomer waits somewhat longer.
func (s *slice) aloneTime() time.Duration { return min(s.engine.opts.Lease/8, time.Second) }

// company is what a slice knows of other nodes. The slice's mu guards it.
type company struct {
	aloneAt   time.Time // when the registration was asked for that found nobody; zero: there is somebody
	metAt     time.Time // when somebody was found last
	changes   uint64    // how often somebody was
	newcomers []string  // incarnations that wait for the short cut to be over
}

// found notes which incarnations a registration found that was asked for at a time. It
// returns the other nodes. mu is held.
func (s *slice) found(asked time.Time, incs []any) (others []string) {
	for _, inc := range incs {
		if node, _, _ := strings.Cut(text(inc), "."); node != s.engine.node {
			others = append(others, node)
		}
	}
	if len(others) > 0 {
		s.meet()
	} else if asked.After(s.company.metAt) { // else the answer may be of before
		s.company.aloneAt = asked
	}
	return others
}

// meet notes that somebody else is there. mu is held.
func (s *slice) meet() {
	s.company.aloneAt, s.company.metAt = time.Time{}, time.Now()
	s.company.changes++
}

// alone reports whether the short cut may be taken, and numbers the time since which
// nobody else was found.
func (s *slice) alone() (since uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.company
	return c.changes + 1, !c.aloneAt.IsZero() && time.Since(c.aloneAt) < s.aloneTime() && s.down.IsZero() && s.reg.gen > 0
}

// newcomer takes the word of an incarnation that is registering.
func (s *slice) newcomer(inc string) {
	if strings.HasPrefix(inc, s.engine.node+".") {
		return
	}
	s.mu.Lock()
	s.meet()
	s.company.newcomers = append(s.company.newcomers, inc)
	s.mu.Unlock()
	poke(s.publisher.wake)
}

// welcome answers newcomers. The publisher calls it between batches, so the short cut
// is over.
func (p *publisher) welcome() {
	s := p.slice
	s.mu.Lock()
	list := s.company.newcomers
	s.company.newcomers = nil
	s.mu.Unlock()
	for _, inc := range list {
		s.tellAll(string(kindWelcome) + inc + ":" + s.engine.node)
	}
}

// tellAll publishes to the topic of all nodes.
func (s *slice) tellAll(message string) {
	ctx, cancel := context.WithTimeout(s.engine.life, commandTime)
	defer cancel()
	if s.client.Sharded {
		s.saw(s.client.SPublish(ctx, s.listener.control, message).Err())
	} else {
		s.saw(s.client.Publish(ctx, s.listener.control, message).Err())
	}
}

// settleIn waits until other nodes take no short cut any more.
func (s *slice) settleIn(inc string, others []string) {
	waiting := make(map[string]bool)
	for _, node := range others {
		waiting[node] = true
	}
	over := time.NewTimer(s.aloneTime() * 5 / 4)
	defer over.Stop()
	for len(waiting) > 0 {
		select {
		case answer := <-s.welcomes:
			if to, node, _ := strings.Cut(answer, ":"); to == inc {
				delete(waiting, node)
			}
		case <-over.C:
			return
		case <-s.engine.life.Done():
			return
		}
	}
}

// short reports whether what is published now takes the short cut.
func (p *publisher) short() bool {
	since, ok := p.slice.alone()
	if !ok {
		return false
	}
	if p.since != since && p.fence() {
		p.since = since
	}
	again, ok := p.slice.alone()
	return ok && p.since == again
}

// fenceTime is how long publishing may wait for the short cut.
const fenceTime = 50 * time.Millisecond

// fence waits until all that was sent has come back. When that takes too long it is
// not tried again for a while.
func (p *publisher) fence() bool {
	s := p.slice
	if time.Since(p.fenced) < s.aloneTime() || !s.listener.listening() {
		return false
	}
	p.fenced = time.Now()
	mark := s.engine.node + ":" + strconv.FormatUint(s.engine.ids.Add(1), 10)
	s.tellAll(string(kindMark) + mark)
	over := time.NewTimer(fenceTime)
	defer over.Stop()
	for {
		select {
		case came := <-p.marks:
			if came == mark {
				return true
			}
		case <-over.C:
			return false
		case <-s.engine.life.Done():
			return false
		}
	}
}

func (l *listener) listening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected
}

// offer puts a word into a channel that somebody may be waiting on.
func offer(words chan string, word string) {
	select {
	case words <- word:
	default: // nobody waits: it is of no use any more
	}
}

// hand gives events to this node's subscribers. When their teller has no room it waits.
func (p *publisher) hand(i *item) {
	l := p.slice.listener
	for n := range i.events {
		e := &i.events[n]
		if !e.here {
			continue
		}
		l.mu.Lock()
		t := l.topics[l.begin+e.cid]
		l.mu.Unlock()
		if t == nil {
			continue
		}
		for t.teller.box.Full() {
			select {
			case <-t.teller.box.Drained():
			case <-p.slice.engine.life.Done():
				return
			}
		}
		t.teller.message(t, string(e.body))
	}
}
