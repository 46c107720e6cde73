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
// Lock order: stripe, entry, the engine's, mailbox. Callbacks of the engine take
// the entry's lock, so the engine never calls back while one is held.
package channels

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"dunlin/apps"
	"dunlin/cluster"
	"dunlin/metrics"
	"dunlin/protocol"
	"dunlin/transport"
)

// Options of a Hub.
type Options struct {
	Engine          cluster.Engine
	Apps            *apps.Registry
	Counters        *metrics.Set
	Log             *slog.Logger
	ActivityTimeout time.Duration    // told to clients (PROTOCOL 1.18)
	MailboxBytes    int              // of frames waiting for one loop; 0: 8 MiB
	PublishWait     time.Duration    // a publish waits so long for room; 0: 1 s
	AuthorizeWithin time.Duration    // where an app wants authorized connections; 0: 30 s
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

	// Static once all loops are made, before any of them runs
	shards []*Shard // by loop index

	people   people
	usage    usages
	draining atomic.Bool
}

var _ cluster.Handler = (*Hub)(nil)

// MaxLoops is how many loops a node can have: one bit each in an entry's mask.
const MaxLoops = 64

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
	return &Hub{
		engine:   o.Engine,
		apps:     o.Apps,
		counters: o.Counters,
		log:      o.Log,
		opts:     o,
		dir:      newDirectory(),
		people:   people{count: make(map[protocol.ChannelKey]int), watched: make(map[protocol.ChannelKey]*watched)},
	}
}

// Shard makes the shard of a loop; it is the transport.NewHandler of every
// transport. Loops are numbered from 0 without gaps.
func (h *Hub) Shard(loop transport.Loop) transport.Handler {
	if loop.Index() != len(h.shards) || loop.Index() >= MaxLoops {
		panic("channels: loops must be numbered from 0 without gaps, and are at most 64")
	}
	s := newShard(h, loop)
	h.shards = append(h.shards, s)
	return s
}

// errDraining is why a node that stops is not ready.
var errDraining = errors.New("draining")

// Ready says why the node should get no traffic; nil: it should.
func (h *Hub) Ready() error {
	if h.draining.Load() {
		return errDraining
	}
	return h.engine.Health()
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
