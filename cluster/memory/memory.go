// Package memory is the engine of a node on its own: nothing installed, nothing
// shared, nothing survives the process.
//
// Lock order: a stripe's publish lock, then whatever the Handler takes, then a
// stripe's state lock, then the queue's. Under a state lock nobody is called.
package memory

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"dunlin/cluster"
	"dunlin/internal/mailbox"
	"dunlin/protocol"
	"dunlin/webhooks"
)

const stripeCount = 64

// Engine implements cluster.Engine. Make one with New.
type Engine struct {
	// Static after construction
	seed    maphash.Seed
	now     func() time.Time
	stripes [stripeCount]stripe
	cache   *cache
	notices *mailbox.Box[func(cluster.Handler)] // what the handler is told, in order
	wake    chan struct{}                       // one token: notices may be waiting
	stop    chan struct{}
	done    chan struct{}
	edges   *transitions // nil: nobody hears of them
	running sync.WaitGroup

	handler  atomic.Pointer[cluster.Handler]
	versions atomic.Uint64 // of member changes, over all channels
}

var _ cluster.Engine = (*Engine)(nil)

type stripe struct {
	// publish orders the kept events of a stripe's channels with the answers of Last.
	publish sync.Mutex

	mu sync.Mutex
	// Guarded by mu
	channels map[protocol.ChannelKey]*channel
}

// channel is what the engine knows of one channel, or of one signed-in user. All
// fields are guarded by the stripe's mu.
type channel struct {
	count    int // subscriptions
	flags    cluster.Flags
	attached bool // between Attach and Detach
	told     bool // a roster with members was given since Attach
	watchers int  // users only
	version  uint64
	members  map[string]protocol.Member
}

// Options of an engine. Zero values are defaults.
type Options struct {
	CacheBytes int              // bound of all kept events; 0: 64 MiB
	Webhooks   *webhooks.Outbox // hears of transitions; nil: nobody does
	Debounce   time.Duration    // of departures; 0: 3 s (PROTOCOL 6.7)
	Now        func() time.Time
}

// New returns an engine that is not yet started.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.Debounce == 0 {
		o.Debounce = 3 * time.Second
	}
	e := &Engine{
		seed:    maphash.MakeSeed(),
		now:     o.Now,
		notices: mailbox.New[func(cluster.Handler)](1),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	e.cache = newCache(o.CacheBytes, o.Now, func(ch protocol.ChannelKey, last *protocol.Frame) {
		e.notify(func(h cluster.Handler) { h.Forgotten(ch, last) })
	})
	for i := range e.stripes {
		e.stripes[i].channels = make(map[protocol.ChannelKey]*channel)
	}
	if o.Webhooks != nil {
		e.edges = newTransitions(o)
	}
	return e
}

// Start implements cluster.Engine.
func (e *Engine) Start(h cluster.Handler) error {
	if !e.handler.CompareAndSwap(nil, &h) {
		return errors.New("memory engine: started twice")
	}
	go e.tell(h)
	if e.edges != nil {
		e.running.Go(func() { e.edges.run(e.stop) })
	}
	return nil
}

// Close implements cluster.Engine. Departures that wait are told to the outbox.
func (e *Engine) Close() error {
	close(e.stop)
	if e.handler.Load() != nil {
		<-e.done
	}
	e.running.Wait()
	return nil
}

// tell hands the queued notices to the handler, one after the other.
func (e *Engine) tell(h cluster.Handler) {
	defer close(e.done)
	var batch []func(cluster.Handler)
	for {
		select {
		case <-e.stop:
			return
		case <-e.wake:
		}
		batch = e.notices.Swap(batch)
		for i, notice := range batch {
			notice(h)
			batch[i] = nil
		}
	}
}

// notify queues a notice. The queue is bounded by what asks for notices: joins,
// leaves and sign-ins, of which each connection has few under way.
func (e *Engine) notify(f func(cluster.Handler)) {
	if e.notices.Post(f, 0) {
		select {
		case e.wake <- struct{}{}:
		default: // a token is there already
		}
	}
}

func (e *Engine) stripe(ch protocol.ChannelKey) *stripe {
	return &e.stripes[maphash.Comparable(e.seed, ch)%stripeCount]
}

// channel returns the state of ch, made when it is missing. mu is held.
func (s *stripe) channel(ch protocol.ChannelKey) *channel {
	c := s.channels[ch]
	if c == nil {
		c = &channel{}
		s.channels[ch] = c
	}
	return c
}

// tidy forgets a channel of which there is nothing to know. mu is held.
func (s *stripe) tidy(ch protocol.ChannelKey, c *channel) {
	if c.count == 0 && !c.attached && c.watchers == 0 && len(c.members) == 0 {
		delete(s.channels, ch)
	}
}

// Occupy implements cluster.Engine.
func (e *Engine) Occupy(ch protocol.ChannelKey, f cluster.Flags, count int) {
	s := e.stripe(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(ch)
	edge := (c.count == 0) != (count == 0)
	if f&cluster.CountEvents != 0 && c.count != count {
		e.notify(func(h cluster.Handler) { h.Count(ch, count) })
	}
	c.count, c.flags = count, f
	if edge && f&cluster.TrackOccupancy != 0 {
		e.edge(place{channel: ch}, count > 0)
	}
	if edge && f&cluster.IsUser != 0 && c.watchers > 0 {
		user, online := cluster.UserOf(ch), count > 0
		e.notify(func(h cluster.Handler) { h.Online(ch.App, user, online) })
	}
	s.tidy(ch, c)
}

// edge notes that a channel or a member came or went. The stripe's mu is held, so
// that the edges of a channel are noted in their order.
func (e *Engine) edge(p place, came bool) {
	switch {
	case e.edges == nil:
	case came:
		e.edges.came(p)
	default:
		e.edges.went(p)
	}
}

// Connections implements cluster.Engine: there are none elsewhere.
func (e *Engine) Connections(string, int) {}

// Attach implements cluster.Engine: events of all channels reach the handler.
func (e *Engine) Attach(ch protocol.ChannelKey, _ func(error)) bool {
	s := e.stripe(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(ch)
	c.attached, c.told = true, false
	return true
}

// Detach implements cluster.Engine.
func (e *Engine) Detach(ch protocol.ChannelKey) {
	s := e.stripe(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channel(ch)
	c.attached = false
	s.tidy(ch, c)
}

// Cached is how many events are kept, and their bytes.
func (e *Engine) Cached() (events, bytes int) {
	e.cache.mu.Lock()
	defer e.cache.mu.Unlock()
	return len(e.cache.events), e.cache.bytes
}

// Health implements cluster.Engine: memory is always well.
func (e *Engine) Health() error { return nil }

// Terminate implements cluster.Engine.
func (e *Engine) Terminate(_ context.Context, app, user string) error {
	if h := e.handler.Load(); h != nil {
		(*h).Terminate(app, user)
	}
	return nil
}
