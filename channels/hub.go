// Package channels is the state machine of the Pusher protocol: connections
// become sessions, sessions subscribe to channels, events reach subscribers.
//
// Each loop has one Shard: its sessions and rooms, which only the loop's
// goroutine touches. What all loops need to agree on stands in the Hub's
// directory, an entry a channel. A room holds a channel's subscribers on one
// loop; the entry knows which loops have one.
//
// An event is posted to the loops of its channel while the entry's lock is held,
// together with a serial number. A subscription notes the serial at which it
// began and gets what is newer. That one rule is why no event is lost, doubled or
// seen before subscription_succeeded, and why a presence snapshot and the member
// events after it always add up.
//
// A subscription goes one way through the files: session reads the message,
// subscribe judges it, join enters the channel, with presence and cache where it is
// of those kinds, and room holds the subscriber. An event goes from events through
// the mailbox to shard and room.
//
// Lock order: stripe, entry, the engine's, mailbox. The lock of people, who is
// signed in and watched, stands where an entry's does; nobody holds both. Callbacks
// of the engine take one of the two, so the engine never calls back inside a call
// that was made under one.
package channels

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/internal/addrlimit"
	"dunlin/internal/lograte"
	"dunlin/internal/tracing"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
	"dunlin/webhooks"
)

// Options of a Hub. What has no default is required.
type Options struct {
	Engine          cluster.Engine
	Apps            *apps.Registry
	Counters        *metrics.Set
	Log             *slog.Logger
	Webhooks        *webhooks.Outbox // nil: nobody hears of anything
	ActivityTimeout time.Duration    // told to clients (PROTOCOL 1.18)
	MailboxBytes    int              // of frames waiting for one loop; 0: 8 MiB
	PublishWait     time.Duration    // a publish waits so long for room; 0: 1 s
	AuthorizeWithin time.Duration    // where an app wants authorized connections; 0: 30 s
	DetachWindow    time.Duration    // over which clients are sent away when the node is cut off
	Protection      Protection
	Tracer          *tracing.Tracer  // nil: nothing is traced
	Now             func() time.Time // nil: time.Now
}

// Hub is one node's state. It implements cluster.Handler.
type Hub struct {
	// Static after construction
	engine   cluster.Engine
	apps     *apps.Registry
	counters *metrics.Set
	log      *slog.Logger
	opts     Options
	dir      *directory

	// A shard's place is written before its loop runs, and read by those who know of it
	// from that loop or from loops.
	shards [transport.MaxLoops]*Shard // by loop index
	loops  atomic.Int32

	people    people // has its own lock
	usage     usages
	misses    misses             // has its own lock
	addresses *addrlimit.Limiter // nil: nobody is judged by his address
	denials   *lograte.Limiter   // what the log has of signatures that are refused
	draining  atomic.Bool        // Drain was called: new connections are sent away
}

var _ cluster.Handler = (*Hub)(nil)

// New returns a hub without loops.
func New(o Options) *Hub {
	if o.MailboxBytes == 0 {
		o.MailboxBytes = 8 << 20
	}
	if o.PublishWait == 0 {
		o.PublishWait = time.Second
	}
	if o.AuthorizeWithin == 0 {
		o.AuthorizeWithin = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Hub{
		engine:   o.Engine,
		apps:     o.Apps,
		counters: o.Counters,
		log:      o.Log,
		opts:     o,
		dir:      newDirectory(),
		denials:  lograte.New(o.Now),
		people:   people{count: make(map[protocol.ChannelKey]int), watched: make(map[protocol.ChannelKey]*watched)},
	}
	if o.Protection.Connections.Any() {
		h.addresses = addrlimit.New(o.Protection.Connections, o.Now)
	}
	return h
}

// Shard makes the shard of a loop; it is the transport.NewHandler of every
// transport. It is called for each loop before that runs, in the order of their
// numbers, which begin with 0 and have no gaps.
func (h *Hub) Shard(loop transport.Loop) transport.Handler {
	n := int(h.loops.Load())
	if loop.Index() != n || n >= transport.MaxLoops {
		panic("channels: loops must be numbered from 0 without gaps, and are at most 64")
	}
	s := newShard(h, loop)
	h.shards[n] = s
	h.loops.Store(int32(n + 1))
	return s
}

// all lists the shards.
func (h *Hub) all() []*Shard { return h.shards[:h.loops.Load()] }

// errDraining is why a node that stops is not ready.
var errDraining = errors.New("draining")

// Ready says why the node should get no traffic; nil: it should.
func (h *Hub) Ready() error {
	if h.draining.Load() {
		return errDraining
	}
	return h.engine.Health()
}

// Unready lists the reasons of Ready, nil without any.
func (h *Hub) Unready() []string { return reasons(h.Ready()) }

// reasons takes joined errors apart.
func reasons(err error) []string {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var all []string
	for _, e := range joined.Unwrap() {
		all = append(all, reasons(e)...)
	}
	return all
}

// Backlog is the bytes of frames that wait for this node's loops.
func (h *Hub) Backlog() (bytes int) {
	for _, s := range h.all() {
		bytes += s.box.Weight()
	}
	return bytes
}

// Channels lists the occupied channels of an app whose names begin with prefix.
func (h *Hub) Channels(ctx context.Context, app, prefix string, want cluster.Info) (map[string]cluster.ChannelInfo, error) {
	return h.engine.Channels(ctx, app, prefix, want)
}

// Channel describes one channel, occupied or not.
func (h *Hub) Channel(ctx context.Context, ch protocol.ChannelKey, want cluster.Info) (cluster.ChannelInfo, error) {
	return h.engine.Channel(ctx, ch, want)
}

// Members lists the members of a presence channel.
func (h *Hub) Members(ctx context.Context, ch protocol.ChannelKey) ([]protocol.Member, error) {
	return h.engine.Members(ctx, ch)
}
