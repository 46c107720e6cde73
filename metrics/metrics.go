// Package metrics counts. Each loop counts in a block of its own, so that hot
// paths share no cache line; readers add the blocks up.
package metrics

import "sync/atomic"

// Drop is the reason for which a connection was ended or work refused by the
// server. Every drop goes through Loop.Drop, once.
type Drop int

const (
	DropSlow          Drop = iota // socket refused more than max_pending_bytes (4100)
	DropPong                      // no sign of life (4201)
	DropHandshake                 // no upgrade request in time
	DropBadRequest                // upgrade request malformed or too large
	DropFraming                   // RFC 6455 violated
	DropTooBig                    // message above max_message_bytes (1009)
	DropUTF8                      // text that is not UTF-8 (1007)
	DropFileLimit                 // no file descriptor left
	DropPanic                     // a message (4200) or request (500) made the server panic
	DropRefused                   // connection refused with a 40xx code
	DropClientEvents              // client events refused: rate (4301)
	DropClientBacklog             // client events refused: mailbox full (4301)
	DropPublish                   // publishes refused: mailbox full (503)
	DropDrain                     // closed because the node stops (4200)
	DropDetached                  // closed because the node is cut off from what it shares with others (4200)
	DropEventQuota                // API requests refused: events per second (403)
	DropReadQuota                 // API requests refused: read requests per second (403)
	DropCache                     // last events dropped before their time: cache.max_bytes
	DropApp                       // connections closed because their app was removed (4001) or disabled (4003)
	dropCount
)

var dropNames = [dropCount]string{
	"slow", "pong_timeout", "handshake_timeout", "bad_request", "framing", "too_big", "invalid_utf8",
	"file_limit", "panic", "refused", "client_event_rate", "client_event_backlog", "publish_backlog", "drain", "detached",
	"event_quota", "read_quota", "cache", "app",
}

func (d Drop) String() string { return dropNames[d] }

// Loop is one block of counters. Any goroutine may read; adding is atomic, and
// cheap because in the ordinary case only one loop adds to a block.
type Loop struct {
	_                   [64]byte // keep blocks apart
	Accepted            atomic.Uint64
	Connections         atomic.Int64 // open WebSocket connections
	MessagesIn, BytesIn atomic.Uint64
	FramesOut, BytesOut atomic.Uint64
	Writes              atomic.Uint64 // write calls that FramesOut took
	Subscriptions       atomic.Int64
	Turns               atomic.Uint64
	drops               [dropCount]atomic.Uint64
	_                   [64]byte
}

// Drop counts one drop.
func (l *Loop) Drop(d Drop) { l.drops[d].Add(1) }

// Dropped returns how often a reason was counted.
func (l *Loop) Dropped(d Drop) uint64 { return l.drops[d].Load() }

// maxBlocks is one for each of the at most 64 loops (transport.MaxLoops, which
// stands on a floor above) and one for all others.
const maxBlocks = 64 + 1

// Set is the counters of one server.
type Set struct {
	blocks [maxBlocks]Loop
}

// New returns counters at zero.
func New() *Set { return &Set{} }

// Loop returns the block of a loop; an index outside 0..63 shares the last one.
func (s *Set) Loop(i int) *Loop {
	if i < 0 || i >= maxBlocks {
		i = maxBlocks - 1
	}
	return &s.blocks[i]
}

// Shared is the block of goroutines that are no loop.
func (s *Set) Shared() *Loop { return s.Loop(-1) }

// Sum adds one figure over all blocks.
func (s *Set) Sum(of func(*Loop) int64) (total int64) {
	for i := range s.blocks {
		total += of(&s.blocks[i])
	}
	return total
}

// Drops adds up one reason.
func (s *Set) Drops(d Drop) uint64 {
	return uint64(s.Sum(func(l *Loop) int64 { return int64(l.Dropped(d)) }))
}

// Connections is the number of open WebSocket connections.
func (s *Set) Connections() int64 {
	return s.Sum(func(l *Loop) int64 { return l.Connections.Load() })
}
