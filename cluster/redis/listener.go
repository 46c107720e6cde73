package redis

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dunlin/protocol"
)

// listener is a node's one pub/sub connection to a slice. One connection, so that
// messages of all topics, the node's own included, come in one order.
type listener struct {
	// Static after construction
	slice   *slice
	control string // topic of all nodes: probes, terminated users
	inbox   string // topic of this node: answers
	begin   string // begins the topic of a channel
	wake    chan struct{}
	askWake chan struct{}
	ready   chan struct{} // closed when it first listened

	heard atomic.Int64 // when anything came last, ns since 1970

	mu sync.Mutex
	// Guarded by mu
	connected  bool // it listens to the control topic
	was        bool // it did before
	topics     map[string]*topic
	add, drop  []string // to be subscribed, and no more
	lingering  []*topic // without holders, about in the order of their end
	questions  map[uint64]*question
	toAsk      []*question
	terminated map[string]int64 // "app\nuser" → Redis' time, that were handled
	before     map[string]int64 // the same, that stood there when the process began; set once
}

func newListener(s *slice) *listener {
	return &listener{
		slice:      s,
		control:    s.pre + "ctl",
		inbox:      s.pre + "n:" + s.engine.node,
		begin:      s.pre + "c:",
		wake:       make(chan struct{}, 1),
		askWake:    make(chan struct{}, 1),
		ready:      make(chan struct{}),
		topics:     make(map[string]*topic),
		questions:  make(map[uint64]*question),
		terminated: make(map[string]int64),
	}
}

// chunk is how many topics one command subscribes to.
const chunk = 512

// run keeps a connection until the engine stops.
func (l *listener) run() {
	for failures := 0; l.slice.engine.life.Err() == nil; {
		began := time.Now()
		l.listen()
		if time.Since(began) > time.Second {
			failures = 0
		}
		failures++
		if !l.slice.pause(retryWait(failures), nil, failures) {
			return
		}
	}
}

// listen connects and reads until that ends.
func (l *listener) listen() {
	ctx, cancel := context.WithCancel(l.slice.engine.life)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	conn := l.slice.client.Subscribe(ctx, l.control)
	defer conn.Close()
	// Reading has no deadline and does not look at ctx.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	l.dialled()
	defer l.lost()
	all.Go(func() { l.write(ctx, conn) })
	all.Go(func() { l.watch(ctx, conn) })
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			l.slice.saw(err)
			return
		}
		l.heard.Store(time.Now().UnixNano())
		if !l.take(m) {
			return
		}
	}
}

// begun waits a moment until it listens for the first time.
func (l *listener) begun() {
	patience := time.NewTimer(commandTime)
	defer patience.Stop()
	select {
	case <-l.ready:
	case <-patience.C:
	case <-l.slice.engine.life.Done():
	}
}

// dialled begins a connection: all topics are to be subscribed.
func (l *listener) dialled() {
	l.heard.Store(time.Now().UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add, l.drop = append(l.add[:0], l.inbox), nil
	for name := range l.topics {
		l.add = append(l.add, name)
	}
}

// lost ends a connection.
func (l *listener) lost() {
	l.mu.Lock()
	was := l.connected
	l.connected = false
	for _, t := range l.topics {
		t.live = false
	}
	l.mu.Unlock()
	l.excuse()
	if was && l.slice.engine.life.Err() == nil {
		l.slice.engine.stats.Reconnects.Add(1)
		l.slice.engine.opts.Log.Warn("the pub/sub connection to Redis ended", "slice", l.slice.index)
	}
}

// excuse tells whoever waits for a topic that it is live: Redis is away, and events
// that come before it is back are missed by all of this node's subscribers, old and
// new.
func (l *listener) excuse() {
	l.mu.Lock()
	var done []func()
	for _, t := range l.topics {
		for _, f := range t.waiting {
			done = append(done, func() { t.teller.do(func() { f(nil) }) })
		}
		t.waiting = nil
	}
	l.mu.Unlock()
	for _, f := range done {
		f()
	}
}

// take handles what came. It reports false when the connection is of no use any
// more.
func (l *listener) take(m any) bool {
	switch m := m.(type) {
	case *goredis.Message:
		l.message(m.Channel, m.Payload)
	case *goredis.Subscription:
		switch m.Kind {
		case "subscribe", "ssubscribe":
			l.subscribed(m.Channel)
		case "sunsubscribe", "unsubscribe":
			return !l.wanted(m.Channel) // not asked for: the slot moved to another node
		}
	}
	return true
}

func (l *listener) wanted(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return name == l.control || name == l.inbox || l.topics[name] != nil && l.topics[name].live
}

// subscribed notes that messages of a topic come from here on.
func (l *listener) subscribed(name string) {
	l.mu.Lock()
	if name == l.control {
		l.connected = true
		if !l.was {
			l.was = true
			close(l.ready)
		}
		l.mu.Unlock()
		l.slice.background(l.catchTerminated)
		return
	}
	t := l.topics[name]
	if t == nil || t.live {
		l.mu.Unlock()
		return
	}
	t.live = true
	again := t.before
	t.before = true
	waiting := t.waiting
	t.waiting = nil
	for _, q := range l.questions {
		if q.topic == t {
			l.toAsk = append(l.toAsk, q)
		}
	}
	l.mu.Unlock()
	poke(l.askWake)
	t.teller.do(func() { t.becameLive(again, waiting) })
}

// message hands a message on.
func (l *listener) message(name, text string) {
	switch name {
	case l.inbox:
		l.answered(text)
		return
	case l.control:
		l.controlled(text)
		return
	}
	l.mu.Lock()
	t := l.topics[name]
	l.mu.Unlock()
	if t != nil {
		t.teller.message(t, text)
	}
}

// write subscribes and unsubscribes, in the order in which that was wanted.
func (l *listener) write(ctx context.Context, conn *goredis.PubSub) {
	tick := time.NewTicker(max(l.slice.engine.opts.Linger/8, 10*time.Millisecond))
	defer tick.Stop()
	for {
		if !l.flush(ctx, conn) {
			_ = conn.Close() // the reader notices
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case now := <-tick.C:
			l.tidy(now)
		}
	}
}

func (l *listener) flush(ctx context.Context, conn *goredis.PubSub) bool {
	l.mu.Lock()
	add, drop := l.add, l.drop
	l.add, l.drop = nil, nil
	l.mu.Unlock()
	subscribe, unsubscribe := conn.Subscribe, conn.Unsubscribe
	if l.slice.client.Sharded {
		subscribe, unsubscribe = conn.SSubscribe, conn.SUnsubscribe
	}
	return inChunks(ctx, drop, unsubscribe) && inChunks(ctx, add, subscribe)
}

func inChunks(ctx context.Context, names []string, do func(context.Context, ...string) error) bool {
	for len(names) > 0 {
		n := min(len(names), chunk)
		if do(ctx, names[:n]...) != nil {
			return false
		}
		names = names[n:]
	}
	return true
}

// watch has a silent connection say something, and ends one that stays silent: after
// a failover it may be healthy and attached to a Redis that nobody publishes to.
func (l *listener) watch(ctx context.Context, conn *goredis.PubSub) {
	probe := l.slice.engine.opts.Probe
	tick := time.NewTicker(probe/2 + rand.N(probe/8))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			silent := now.Sub(time.Unix(0, l.heard.Load()))
			if silent > 2*probe {
				_ = conn.Close() // the reader notices
				return
			}
			if silent > probe {
				l.probe(ctx)
			}
		}
	}
}

// probe publishes something to the control topic, the way that events go.
func (l *listener) probe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	client := l.slice.client
	if client.Sharded {
		l.slice.saw(client.SPublish(ctx, l.control, "?").Err())
	} else {
		l.slice.saw(client.Publish(ctx, l.control, "?").Err())
	}
}

// catchUp has all topics find out what they may have missed.
func (l *listener) catchUp() {
	l.mu.Lock()
	var all []*topic
	for _, t := range l.topics {
		if t.live {
			all = append(all, t)
		}
	}
	l.mu.Unlock()
	for _, t := range all {
		t.teller.do(t.catchUp)
	}
}

func (l *listener) topicName(ch protocol.ChannelKey) string { return l.begin + cidOf(ch) }
