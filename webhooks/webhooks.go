// Package webhooks is the contract for what waits to be told to customers'
// servers: events in a queue, and the words for them.
//
// Implementations of the queue are webhooks/memory and webhooks/spool, for a node
// on its own; they pass the contract test in webhooks/contract. webhooks/deliver
// takes events out of a queue and sends them.
package webhooks

import (
	"context"
	"errors"
	"time"

	"dunlin/protocol"
)

// Event is something that happened in an app, as a webhook tells it (PROTOCOL
// 6.9–6.15). It holds no secret, nor the address of an endpoint.
type Event struct {
	ID          string                 `json:"id"` // unique and stable: a consumer knows a repetition by it
	App         string                 `json:"app"`
	Name        protocol.HookType      `json:"name"` // one type
	Channel     string                 `json:"channel"`
	User        string                 `json:"user,omitempty"`   // of member_added, member_removed, and client_event in a presence channel
	ClientEvent string                 `json:"event,omitempty"`  // the client event's own name
	Data        protocol.StringLiteral `json:"data,omitempty"`   // of client_event
	SocketID    string                 `json:"socket,omitempty"` // of client_event
	Count       int                    `json:"count,omitempty"`  // of subscription_count
	At          time.Time              `json:"at"`               // when it happened
	Trace       string                 `json:"trace,omitempty"`  // that led to it, as a traceparent header
	Only        []string               `json:"only,omitempty"`   // ids of the endpoints it is for; none: all that want it
}

// eventOverhead is what an event costs beside its texts: its struct, its place in
// a queue and in a list of what is being delivered.
const eventOverhead = 400

// Size is about how many bytes of memory an event takes.
func (e *Event) Size() int {
	n := eventOverhead + len(e.ID) + len(e.Channel) + len(e.User) + len(e.ClientEvent) + len(e.Data) + len(e.SocketID) + len(e.Trace)
	for _, id := range e.Only {
		n += len(id) + 16
	}
	return n
}

// Outcome says how an event ended.
type Outcome struct {
	ID        string
	Reason    string   // why it is given up; "": delivered to all that wanted it
	Endpoints []string // ids of those that did not get it, when it is given up
}

// DeadLetter is an event that was given up. Its Only names the endpoints that
// did not get it.
type DeadLetter struct {
	Event
	Reason string    `json:"reason"`
	Died   time.Time `json:"died"`
}

// Backlog is what a queue has of one app.
type Backlog struct {
	Queued int       // neither delivered nor given up
	Oldest time.Time // when the oldest of these happened; zero without any
	Dead   int       // dead letters
}

// ErrClosed is why a queue that was closed does nothing.
var ErrClosed = errors.New("the webhook queue is closed")

// Queue keeps events until they are settled: each is handed out at least once,
// also after a crash where the queue outlives the process. Its methods may be
// called from any goroutine and may block, on a disk or a network, until ctx
// ends.
//
// Every queue is bounded. Where there is no more room the oldest event goes,
// since it has been waiting in vain for longest, and is counted.
type Queue interface {
	// Append adds events behind all others, in their order, all or none: once it
	// returns nil they are accepted. An event without an ID gets one; one whose ID is
	// in the queue already is left out.
	Append(ctx context.Context, e ...Event) error

	// Take hands out up to max events that nobody has, the oldest first. It waits
	// until there is one. When ctx has ended already it does not wait, but returns what
	// there is, or ctx's error when there is nothing.
	//
	// What was handed out is the caller's until it is settled. A queue that several
	// nodes share hands it out again when the caller has not extended it for 30 s.
	Take(ctx context.Context, max int) ([]Event, error)

	// Settle ends events: those with a reason become dead letters, the others are
	// forgotten. An ID that is not in the queue is passed over.
	Settle(ctx context.Context, o ...Outcome) error

	// Extend says that events are still being worked on. An ID that is not in the
	// queue is passed over.
	Extend(ctx context.Context, ids ...string) error

	// Backlog describes what there is of each app that has anything.
	Backlog(ctx context.Context) (map[string]Backlog, error)

	// Dead lists up to max dead letters of an app, or of all when app is "", the
	// latest first.
	Dead(ctx context.Context, app string, max int) ([]DeadLetter, error)

	// Replay appends dead letters anew, each with its ID and for the endpoints that
	// did not get it: those with these IDs, or all without any; of one app, or of all
	// when app is "". It returns how many.
	Replay(ctx context.Context, app string, ids ...string) (int, error)

	// Close ends the queue; what waits in Take returns ErrClosed.
	Close() error
}
