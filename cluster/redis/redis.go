// Package redis is the engine of many nodes that share a Redis 7 or newer: one, one
// that Sentinels watch, or a Redis Cluster.
//
// What this node wants to be true (its subscriptions, its users) is told through
// lanes: batches of idempotent operations, one under way per lane, sent again until
// they are answered. What happens anywhere comes back through pub/sub, a topic a
// channel, to which only nodes with subscribers listen; so there is one order of a
// channel's events on all nodes. All of it lives in slices, parts of Redis with one
// hash tag each; a slice here has its lanes, its publisher, its listener and its
// keeper, which renews the node's lease. Scripts stand in lua.
//
// A node is known to a slice as an incarnation. Whenever Redis and the node do not
// agree on what the node has told it (data lost, writes lost in a failover, a
// lease that ran out), the node takes a new incarnation, tells everything again,
// and leaves the old one to be swept away, which any node does.
//
// Locks: a lane's, a listener's, a publisher's and a slice's are innermost; no two
// are held together and nobody is called under one. The Handler is only called by
// tellers, goroutines that each own the views of some topics and hold no lock.
package redis

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"dunlin/cluster"
	"dunlin/internal/redis"
	"dunlin/protocol"
)

// Options of an engine. Zero values are defaults.
type Options struct {
	URL    string // see redis.Connect of internal/redis, as for Prefix and Slices; required
	Prefix string
	Slices int
	Lanes  int    // a slice; 4, on a Redis Cluster 1
	Node   string // names this process, as redis.NodeName of internal/redis does; one of those
	Log    *slog.Logger

	Lease        time.Duration // a node that is silent so long is gone; 8 s
	Debounce     time.Duration // vacated and member_removed webhooks wait so long; 3 s
	Linger       time.Duration // a topic without subscribers is kept so long; 2 s
	DetachAfter  time.Duration // without Redis so long, a node sends its clients to others; 0: never
	JoinPatience time.Duration // a join waits so long for Redis; DetachAfter
	Probe        time.Duration // a silent pub/sub connection is tried so often; 5 s
	ReadyGrace   time.Duration // Redis may be away so long before Health says so; 10 s
	Outbox       int           // most webhooks waiting in a slice; 1,000,000
	QueueBytes   int           // most bytes of events waiting for a teller; 32 MiB
	OfferBytes   int           // most bytes of events waiting to be published, a slice; 16 MiB
}

func (o *Options) defaults(d *redis.Deployment) {
	lanes := 4
	if d.Client(0).Sharded {
		lanes = 1
	}
	or(&o.Node, redis.NodeName())
	or(&o.Lanes, lanes)
	or(&o.Log, slog.New(slog.DiscardHandler))
	or(&o.Lease, 8*time.Second)
	or(&o.Debounce, 3*time.Second)
	or(&o.Linger, 2*time.Second)
	or(&o.JoinPatience, o.DetachAfter)
	or(&o.JoinPatience, forever)
	or(&o.Probe, 5*time.Second)
	or(&o.ReadyGrace, 10*time.Second)
	if o.DetachAfter > 0 { // who is sent away must not be sent here again
		o.ReadyGrace = min(o.ReadyGrace, o.DetachAfter)
	}
	or(&o.Outbox, 1_000_000)
	or(&o.QueueBytes, 32<<20)
	or(&o.OfferBytes, 16<<20)
}

const forever = 1 << 60 // ns, 36 years

func or[T comparable](v *T, def T) {
	if *v == *new(T) {
		*v = def
	}
}

// Engine implements cluster.Engine. Make one with New.
type Engine struct {
	// Static after construction
	opts    Options
	shared  *redis.Deployment
	slices  []*slice
	tellers []*teller
	people  *teller // of all topics of users, so that an answer about many is in order
	seed    maphash.Seed
	node    string // names this process
	self    uint64 // names it in events

	handler cluster.Handler // static after Start
	started atomic.Bool
	closing atomic.Bool
	told    atomic.Bool     // Handler.Detached, in this outage
	life    context.Context // ends when the engine stops
	end     context.CancelFunc
	running sync.WaitGroup

	limited sync.Map // apps whose connections are counted

	ids   atomic.Uint64 // of joins and questions
	kept  atomic.Uint64 // identities of kept events
	stats Stats
}

var _ cluster.Engine = (*Engine)(nil)

// Stats counts what operators want to know of. All only grow.
type Stats struct {
	Batches, Operations    atomic.Uint64 // of desired state
	Rejoins                [reasons]atomic.Uint64
	Reaped                 atomic.Uint64 // channels taken from dead nodes by this one
	Reconnects             atomic.Uint64 // of pub/sub
	Gaps                   atomic.Uint64 // in a presence channel's changes
	DroppedIn, DroppedOut  atomic.Uint64 // events: a teller's queue was full; an offered one failed
	Published, Unpublished atomic.Uint64
}

// New reads the URL and returns an engine that is not yet started.
func New(o Options) (*Engine, error) {
	shared, err := redis.Connect(o.URL, o.Prefix, o.Slices)
	if err != nil {
		return nil, err
	}
	o.defaults(shared)
	e := &Engine{opts: o, shared: shared, seed: maphash.MakeSeed(), node: o.Node, self: redis.RandomNumber() | 1}
	e.kept.Store(redis.RandomNumber())
	e.life, e.end = context.WithCancel(context.Background())
	for range max(2, min(runtime.GOMAXPROCS(0), 16)) {
		e.tellers = append(e.tellers, newTeller(e))
	}
	e.people = newTeller(e)
	for i := range shared.Slices() {
		e.slices = append(e.slices, newSlice(e, i))
	}
	return e, nil
}

// Start implements cluster.Engine. A Redis that can not be reached is no error: the
// node serves what it can and goes on trying. One that holds another deployment is.
func (e *Engine) Start(h cluster.Handler) error {
	if !e.started.CompareAndSwap(false, true) {
		return errors.New("redis engine: started twice")
	}
	e.handler = h
	if err := e.check(); err != nil {
		return errors.Join(err, e.Close())
	}
	for _, t := range append(e.tellers, e.people) {
		e.running.Go(t.run)
	}
	for _, s := range e.slices {
		s.start()
	}
	return e.reached()
}

// check looks whether Redis is one that the engine can work with, if it answers.
func (e *Engine) check() error {
	ctx, cancel := context.WithTimeout(e.life, 2*time.Second)
	defer cancel()
	for _, client := range e.shared.Clients() {
		facts, err := redis.Facts(ctx, client)
		if err != nil {
			e.opts.Log.Warn("Redis does not answer; the node goes on without and keeps trying", "error", err)
			continue
		}
		if facts.Major > 0 && facts.Major < 7 {
			return fmt.Errorf("the engine needs Redis 7.0 or newer, this is %s", facts.Version)
		}
		if facts.Evicts {
			e.opts.Log.Warn("Redis may evict keys: set maxmemory-policy to noeviction, or state is lost silently")
		}
	}
	return nil
}

// reached waits a moment until the node is known and listens, so that what it does
// first is not done as in an outage; only a foreign slice is an error.
func (e *Engine) reached() error {
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	for _, s := range e.slices {
		for _, step := range []chan struct{}{s.first, s.listener.ready} {
			select {
			case <-step:
			case <-patience.C:
				return nil
			}
			if err := s.foreign(); err != nil {
				return errors.Join(err, e.Close())
			}
		}
	}
	return nil
}

// closeWithin is how long Close waits for what was told last to reach Redis.
const closeWithin = 2 * time.Second

// Close implements cluster.Engine: what is left to tell is told, and the node gives
// up its leases, so that others need not wait for them to run out.
func (e *Engine) Close() error {
	e.closing.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if e.started.Load() {
		var all sync.WaitGroup
		for _, s := range e.slices {
			all.Go(func() { s.goodbye(ctx) })
		}
		all.Wait()
	}
	e.end()
	e.running.Wait()
	return e.shared.Close()
}

// RejoinReasons are why a node took a new incarnation, in the order of Stats.Rejoins.
func RejoinReasons() []string { return reasonNames[:] }

// Stats returns the engine's counters.
func (e *Engine) Stats() *Stats { return &e.stats }

func (e *Engine) slice(ch protocol.ChannelKey) *slice {
	return e.slices[e.shared.Slice(ch.App, ch.Name)]
}

func (e *Engine) teller(ch protocol.ChannelKey) *teller {
	return e.tellers[maphash.Comparable(e.seed, ch)%uint64(len(e.tellers))]
}

// cidOf is a channel's name in Redis. App ids have no colon.
func cidOf(ch protocol.ChannelKey) string { return ch.App + ":" + ch.Name }

// Health implements cluster.Engine.
func (e *Engine) Health() error {
	for _, s := range e.slices {
		if since := s.downSince(); !since.IsZero() && time.Since(since) > e.opts.ReadyGrace {
			return fmt.Errorf("%w: Redis has not answered for %s", cluster.ErrUnavailable, time.Since(since).Round(time.Second))
		}
	}
	return nil
}

// detach tells the Handler, once an outage, that it is a long one.
func (e *Engine) detach(since time.Time) {
	if after := e.opts.DetachAfter; after > 0 && !since.IsZero() && time.Since(since) >= after && e.told.CompareAndSwap(false, true) {
		e.handler.Detached()
	}
}

// reattach ends an outage when no slice is away any more.
func (e *Engine) reattach() {
	for _, s := range e.slices {
		if !s.up() {
			return
		}
	}
	e.told.Store(false)
}

// Occupy implements cluster.Engine.
func (e *Engine) Occupy(ch protocol.ChannelKey, f cluster.Flags, count int) {
	e.slice(ch).lane(ch).occupy(ch, f, count)
}

// Attach implements cluster.Engine.
func (e *Engine) Attach(ch protocol.ChannelKey, done func(error)) bool {
	return e.slice(ch).listener.attach(ch, done)
}

// Detach implements cluster.Engine.
func (e *Engine) Detach(ch protocol.ChannelKey) { e.slice(ch).listener.release(ch) }

// Join implements cluster.Engine. The user is told to Redis while the topic may not
// be live yet: the roster is read when both are done, and has what was missed.
func (e *Engine) Join(ch protocol.ChannelKey, f cluster.Flags, m protocol.Member, limit int, done func(cluster.Roster, error)) {
	s := e.slice(ch)
	j := &pendingJoin{id: e.ids.Add(1), flags: f, user: m.ID, done: done, until: time.Now().Add(e.opts.JoinPatience)}
	t := s.listener.find(ch)
	if t == nil { // not attached: a fault of the caller, which must not hang
		e.teller(ch).do(func() { done(cluster.Roster{}, cluster.ErrUnavailable) })
		return
	}
	t.teller.do(func() { t.joining(j) })
	s.lane(ch).join(ch, f, m, limit, j.id, func(o outcome) {
		t.teller.do(func() { t.joinTold(j, o) })
	})
}

// Leave implements cluster.Engine.
func (e *Engine) Leave(ch protocol.ChannelKey, f cluster.Flags, user string) {
	e.slice(ch).lane(ch).leave(ch, f, user, 0)
}
