// Package cluster is the contract for what nodes share: which channels are
// occupied where, who is in them, and how an event reaches every subscriber.
//
// Implementations are cluster/memory, for a node on its own, and later one on
// Redis; both pass the contract test in cluster/contract.
package cluster

import (
	"context"
	"errors"
	"strings"
	"time"

	"dunlin/internal/tracing"
	"dunlin/protocol"
)

// ErrUnavailable is why an operation was refused that needs something that is
// down or overloaded. Nothing of it was done. The HTTP API answers 503 with
// Retry-After.
var ErrUnavailable = errors.New("engine unavailable")

// ErrUncertain is what is known of an operation that was begun and whose answer did
// not come: it may have been done, or part of it. Only events are published in this
// way; everything else may be done twice. The HTTP API answers 503 and says so.
var ErrUncertain = errors.New("no answer from the engine in time")

// ErrFull is why a user may not join a presence channel: it has as many members as
// it may have.
var ErrFull = errors.New("the channel has all the members that it may have")

// Flags say how the engine is to treat a channel. They are the same in all calls
// from its first subscription on a node to its last, unless the app is changed
// meanwhile; then an engine may go on with the first until the last is gone.
type Flags uint8

const (
	TrackOccupancy Flags = 1 << iota // somebody hears of occupied and vacated
	HasMembers                       // a presence channel
	TrackMembers                     // somebody hears of member_added and member_removed
	IsUser                           // not a channel but a signed-in user; see UserKey
	CountEvents                      // while it is attached, the Handler hears of the count of subscriptions whenever it changes
)

// Message is one event on its way to the subscribers of a channel.
type Message struct {
	Frame  *protocol.Frame
	Except protocol.SocketID // this connection, on whichever node, does not get it
	Keep   time.Duration     // it is its channel's last event for so long (PROTOCOL 2.43); 0: it is not
	At     int64             // when it was published, to measure by on the node that did; other nodes get 0
	Trace  *tracing.Span     // that it is part of; nil: of none. Other nodes get none
}

// Publication is an event to be published.
type Publication struct {
	Channel protocol.ChannelKey
	Message
	Want Info // counts to answer with
	// Elsewhere says that the caller gave the event to this node's subscribers itself:
	// only the Handlers of other nodes are told. Not for events that are kept.
	Elsewhere bool
}

// Receipt answers a publication; a count that was not wanted is 0.
type Receipt struct {
	Subscriptions int
	Users         int
}

// Info selects what a query answers.
type Info uint8

const (
	WantSubscriptions Info = 1 << iota
	WantUsers
	WantCache
)

// ChannelInfo is the state of a channel over all nodes. Fields that were not
// wanted are zero.
type ChannelInfo struct {
	Occupied      bool
	Subscriptions int
	Users         int
	Last          *Last // nil: nothing kept
}

// Last is the last event of a channel that keeps one.
type Last struct {
	Frame *protocol.Frame
	TTL   time.Duration // left
}

// Roster is the membership of a presence channel as the engine knows it. Members
// is nil unless this is the first roster since Attach: later ones are reached by
// the changes that the Handler was told.
type Roster struct {
	Version uint64
	Members []protocol.Member
}

// MemberChange is one user's first connection over all nodes, or last.
// Versions of a channel only grow.
type MemberChange struct {
	Version uint64
	Added   bool
	Member  protocol.Member // Data is "" when removed
}

const userPrefix = "#user-"

// UserKey names a signed-in user where a channel is asked for. No channel has
// such a name.
func UserKey(app, user string) protocol.ChannelKey {
	return protocol.ChannelKey{App: app, Name: userPrefix + user}
}

// UserOf is the user that UserKey named.
func UserOf(ch protocol.ChannelKey) string { return strings.TrimPrefix(ch.Name, userPrefix) }

// Engine shares state between nodes. All methods may be called from any
// goroutine. Occupy, Attach, Detach, Join, Leave, Last, Watch, Unwatch and
// Connections never block and never call the Handler or a callback inside the call;
// the caller may hold locks, under which it makes the calls for one channel in
// order. The others are called without locks: Offer does not block but may call the
// Handler, the rest may block as well.
//
// The engine is told desired state, not increments: "this node now has 3
// subscriptions". What is told twice counts once.
type Engine interface {
	// Start begins to serve, with h to tell. It is called once, and before any other
	// method.
	Start(h Handler) error

	// Close ends what Start began and waits for it. No method is called afterwards.
	Close() error

	// Occupy says that this node now has count subscriptions to ch.
	Occupy(ch protocol.ChannelKey, f Flags, count int)

	// Attach makes the events of ch flow to the Handler. It reports true when they
	// do already, and done is not called; else done is called once they do (nil) or
	// when that failed.
	Attach(ch protocol.ChannelKey, done func(error)) (live bool)

	// Detach ends what Attach began. Events may still come for a moment.
	Detach(ch protocol.ChannelKey)

	// Join says that a user has a first connection in ch on this node; Attach came
	// before. done is called after the Handler was told every change up to the
	// roster's version, and the member is in it. After an error the member is not:
	// with ErrFull when the channel has limit members over all nodes already and the
	// user is none of them; a limit of 0 is none.
	Join(ch protocol.ChannelKey, f Flags, m protocol.Member, limit int, done func(Roster, error))

	// Leave says that a user's last connection in ch on this node is gone. A Join
	// still under way is cancelled by it: its done may be called nonetheless.
	Leave(ch protocol.ChannelKey, f Flags, user string)

	// Last asks for the last event of ch. done gets it, or nil, in order with
	// Handler.Event: the events handed over before done are not newer than it, and
	// those after it are.
	Last(ch protocol.ChannelKey, done func(*Last, error))

	// Watch asks which of these users are signed in, and for Handler.Online of each
	// from then on, until Unwatch. Calls are counted per user.
	Watch(app string, users []string, done func(online []string, err error))

	// Unwatch undoes one Watch of each user.
	Unwatch(app string, users []string)

	// Connections says that this node now has count connections of an app. From the
	// first call on the Handler hears how many the other nodes have.
	Connections(app string, count int)

	// Publish delivers events in their order, all or none: on ErrUnavailable nothing
	// was published. On ErrUncertain all may have been, or none, or, where an engine
	// keeps channels in several places, those of some places. It waits at most until
	// ctx ends. Receipts stand in the order of p; there are none when no publication
	// wanted any.
	Publish(ctx context.Context, p []Publication) ([]Receipt, error)

	// Offer publishes one event without waiting, for callers that must not block. It
	// reports false, having done nothing, when the engine can not take it now.
	Offer(p Publication) bool

	// Channels lists the occupied channels of an app whose names begin with prefix.
	// Users and their own channels, whose names begin with #, are not among them.
	// WantCache is not answered here.
	Channels(ctx context.Context, app, prefix string, want Info) (map[string]ChannelInfo, error)

	// Channel describes one channel, occupied or not.
	Channel(ctx context.Context, ch protocol.ChannelKey, want Info) (ChannelInfo, error)

	// Members lists the members of a presence channel.
	Members(ctx context.Context, ch protocol.ChannelKey) ([]protocol.Member, error)

	// Terminate has every node's Handler end the connections signed in as user.
	Terminate(ctx context.Context, app, user string) error

	// Health says whether the engine can do its work now; nil is healthy.
	Health() error
}

// Handler is the node's side. The engine calls it from any goroutine, never with
// a lock held that one of its non-blocking methods takes, so that the Handler may
// call those. Its methods must not block.
//
// Events of a channel come in that channel's order, and so do its member changes
// together with the answers to Join; there is no order between the two. Where the
// engine has no order of its own, since publishers on this node are all there
// are, calls for one channel may overlap and the Handler decides the order.
type Handler interface {
	Event(ch protocol.ChannelKey, m Message)
	// Forgotten says that last, which a channel kept, was dropped before its time to
	// stay within a bound of memory. An engine without such a bound never says so.
	Forgotten(ch protocol.ChannelKey, last *protocol.Frame)
	Member(ch protocol.ChannelKey, c MemberChange)
	// Resync replaces what the node knows of a presence channel after changes were
	// lost; the Handler works out the differences.
	Resync(ch protocol.ChannelKey, r Roster)
	// Count says how many subscriptions a channel with CountEvents has over all nodes.
	Count(ch protocol.ChannelKey, count int)
	// Elsewhere says how many connections of an app other nodes have. An engine that
	// has no others never says so.
	Elsewhere(app string, connections int)
	// Online says that a watched user signed in first, or left last.
	Online(app, user string, online bool)
	// Terminate ends the local connections signed in as user.
	Terminate(app, user string)
	// Detached says, once an outage, that this node has been cut off from the others
	// for so long that its clients had better go to one of them. An engine of one node
	// never says so.
	Detached()
}
