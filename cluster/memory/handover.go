package memory

import (
	"time"

	"dunlin/cluster"
	"dunlin/protocol"
	"dunlin/webhooks"
)

// HandOver is called when another process takes this one's place. It lists who is
// there, as the webhook events that say that he is gone, members before their
// channels (PROTOCOL 6.21): the other engine is to Expect them. This one tells no
// transitions from here on.
func (e *Engine) HandOver() []webhooks.Event {
	if e.edges == nil {
		return nil
	}
	for i := range e.stripes { // all of them, so that nobody comes or goes between
		e.stripes[i].mu.Lock()
		defer e.stripes[i].mu.Unlock()
	}
	members, vacated := e.edges.silence()
	for i := range e.stripes {
		for ch, c := range e.stripes[i].channels {
			if c.count > 0 && c.flags&cluster.TrackOccupancy != 0 {
				vacated = append(vacated, departed(place{channel: ch}))
			}
			if c.flags&cluster.TrackMembers != 0 {
				for user := range c.members {
					members = append(members, departed(place{ch, user}))
				}
			}
		}
	}
	return append(members, vacated...)
}

// Expect takes what another process's HandOver returned, or what one that died has
// left. Of who comes back within this time nothing is told; the others are told to
// be gone then. It is called once, before anybody can come.
func (e *Engine) Expect(gone []webhooks.Event, within time.Duration) {
	if e.edges == nil {
		return
	}
	e.edges.expect(gone, within)
}

func departed(p place) webhooks.Event {
	e := webhooks.Event{App: p.channel.App, Name: protocol.HookVacated, Channel: p.channel.Name, User: p.user}
	if p.user != "" {
		e.Name = protocol.HookMemberRemoved
	}
	return e
}

// silence ends all telling, and returns what was still to be told.
func (t *transitions) silence() (members, vacated []webhooks.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.silent = true
	note := func(p place) {
		if e := departed(p); p.user != "" {
			members = append(members, e)
		} else {
			vacated = append(vacated, e)
		}
	}
	for p := range t.leaving {
		note(p)
	}
	for p := range t.expected {
		note(p)
	}
	clear(t.leaving)
	clear(t.expected)
	t.order.Init()
	return members, vacated
}

func (t *transitions) expect(gone []webhooks.Event, within time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expected = make(map[place]struct{}, len(gone))
	for _, e := range gone {
		t.expected[place{protocol.ChannelKey{App: e.App, Name: e.Channel}, e.User}] = struct{}{}
	}
	t.patience = t.now().Add(within)
	t.ring()
}

// giveUp tells that those who are still expected are gone, members before their
// channels. mu is held.
func (t *transitions) giveUp() {
	for _, members := range []bool{true, false} {
		for p := range t.expected {
			if (p.user != "") == members {
				t.post(p, protocol.HookVacated, protocol.HookMemberRemoved)
			}
		}
	}
	clear(t.expected)
}
