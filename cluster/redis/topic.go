package redis

import (
	"strings"
	"time"

	"dunlin/protocol"
)

// topic is one channel, or one user, whose messages come to this node.
type topic struct {
	// Static after construction
	slice  *slice
	key    protocol.ChannelKey
	name   string
	teller *teller

	// Guarded by the listener's mu
	holders int           // Attach is one, each Watch of a user is one
	live    bool          // subscribed on the present connection
	before  bool          // and on one before: something may have been missed
	waiting []func(error) // of Attach
	ends    time.Time     // of its lingering, while nobody holds it

	// Owned by the teller's goroutine
	view view
}

// hold returns a channel's topic, held once more. Its messages were asked for
// already when fresh is false. mu is held.
func (l *listener) hold(ch protocol.ChannelKey, by *teller) (t *topic, fresh bool) {
	name := l.topicName(ch)
	if t = l.topics[name]; t == nil {
		t = &topic{slice: l.slice, key: ch, name: name, teller: by}
		t.view.count = -1
		l.topics[name] = t
		l.add = append(l.add, name)
		fresh = true
	}
	t.holders++
	return t, fresh
}

// attach holds a channel's topic and reports whether its messages come already.
// While Redis is away nothing can be waited for, and the channel is as well served as
// all others: see excuse.
func (l *listener) attach(ch protocol.ChannelKey, done func(error)) (live bool) {
	by, up := l.slice.engine.teller(ch), l.slice.up()
	l.mu.Lock()
	t, fresh := l.hold(ch, by)
	live = t.live || !l.connected || !up
	if !live {
		t.waiting = append(t.waiting, done)
	}
	l.mu.Unlock()
	t.teller.do(t.attached)
	if fresh {
		poke(l.wake)
	}
	if !live && !l.slice.up() { // it went away meanwhile
		l.excuse()
	}
	return live
}

// release gives up one hold. The topic lingers for a while: a page that is loaded
// anew costs nothing then.
func (l *listener) release(ch protocol.ChannelKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[l.topicName(ch)]
	if t == nil || t.holders == 0 {
		return
	}
	if t.holders--; t.holders == 0 {
		t.ends = time.Now().Add(l.slice.engine.opts.Linger)
		l.lingering = append(l.lingering, t)
	}
}

// tidy gives up topics whose time is over. A topic may stand in the list more than
// once.
func (l *listener) tidy(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, t := range l.lingering {
		if t.holders == 0 && t.ends.After(now) {
			break
		}
		n++
		if t.holders == 0 && l.topics[t.name] == t {
			delete(l.topics, t.name)
			l.drop = append(l.drop, t.name)
		}
	}
	if n == 0 {
		return
	}
	l.lingering = append([]*topic(nil), l.lingering[n:]...)
	poke(l.wake)
}

// find returns a channel's topic, or nil.
func (l *listener) find(ch protocol.ChannelKey) *topic {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topics[l.topicName(ch)]
}

// isHeld reports whether somebody wants the topic, who does not only linger.
func (t *topic) isHeld() bool {
	l := t.slice.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	return t.holders > 0
}

// forgetCount has a channel's next count told, whatever it is.
func (l *listener) forgetCount(ch protocol.ChannelKey) {
	if t := l.find(ch); t != nil {
		t.teller.do(func() { t.view.count = -1 })
	}
}

// view is what a teller knows of a topic.
type view struct {
	presence presence

	// Cache channels
	cache bool   // somebody asked for the last event
	last  uint64 // identity of the last kept event that was told

	count int // that was told last; -1: none
	mine  int // of the connections of an app, those that are this node's

	// Users
	watched int  // Watch less Unwatch
	known   bool // online is, in order with its changes
	online  bool
	asking  []*watching // who waits to know
}

// attached begins a new time of a topic: the Handler knows nothing of it.
func (t *topic) attached() {
	t.view.presence.attach++
	t.view.presence.told = false
	t.view.count = -1
	t.slice.lane(t.key).counted(t.key, func() { t.teller.do(t.askCount) })
}

// becameLive answers who waited, and looks for what was missed.
func (t *topic) becameLive(again bool, waiting []func(error)) {
	for _, done := range waiting {
		done(nil)
	}
	if again {
		t.catchUp()
		return
	}
	t.refresh()
	if t.isConnections() {
		t.askCount()
	}
}

// catchUp finds out what may have been missed. Events of other than cache channels
// are gone.
func (t *topic) catchUp() {
	v := &t.view
	t.refresh()
	if v.cache {
		t.askMissed()
	}
	if v.watched > 0 {
		t.askOnline()
	}
	if t.isConnections() {
		t.askCount()
		return
	}
	t.slice.lane(t.key).counted(t.key, func() { t.teller.do(t.askCount) })
}

// message serves one message of the topic. What is of an unknown kind is of a newer
// version.
func (t *topic) message(text string) {
	if text == "" {
		return
	}
	e := t.slice.engine
	switch body := text[1:]; text[0] {
	case kindEvent:
		if m, ok := decodeEvent(body); ok && m.origin != e.self {
			if m.id != 0 {
				t.view.last = m.id
			}
			e.handler.Event(t.key, m.Message)
		}
	case kindAdded, kindRemoved:
		if c, ok := decodeChange(text); ok {
			t.changed(c)
		}
	case kindCount:
		t.countMessage(body)
	case kindOnline:
		t.isOnline(body == "1")
	}
}

// countMessage takes a count, which says as well whose change made it.
func (t *topic) countMessage(body string) {
	total, rest, _ := strings.Cut(body, ":")
	own, inc, _ := strings.Cut(rest, ":")
	n, ok := decodeNumber(total)
	switch {
	case !ok:
	case t.isConnections():
		t.connectionsMessage(n, own, inc)
	default:
		t.counted(n)
	}
}

// counted tells a count that is another than the last. That nobody is left is only
// told when nobody is left here either; else the next count is on its way.
func (t *topic) counted(n int) {
	if n == 0 && t.isHeld() {
		return
	}
	if n != t.view.count {
		t.view.count = n
		t.slice.engine.handler.Count(t.key, n)
	}
}
