// Package metrics counts. Each loop counts in a block of its own, so that hot
// paths share no cache line; readers add the blocks up. Nothing here costs a
// delivery more than the addition of one number that its loop owns.
package metrics

import (
	"sync/atomic"
	"time"
)

// Loop is one block of counters. Any goroutine may read; adding is atomic, and
// cheap because in the ordinary case only one loop adds to a block.
type Loop struct {
	_             [64]byte // keep blocks apart
	Accepted      atomic.Uint64
	Connections   atomic.Int64 // open WebSocket connections
	Subscriptions atomic.Int64
	Channels      atomic.Int64          // occupied: a channel counts where its first subscription came and its last went
	MessagesIn    atomic.Uint64         // WebSocket messages, whatever is in them
	BytesIn       atomic.Uint64         // read from WebSocket connections
	BytesOut      atomic.Uint64         // written to them
	Writes        atomic.Uint64         // write calls that it took
	Received      [ReceivedKinds]Volume // messages and their bytes without framing
	Sent          [SentKinds]Volume     // messages and their bytes with framing
	Turns         atomic.Uint64
	latency       Histogram
	drops         [dropCount]atomic.Uint64
	refusals      [refusalCount]atomic.Uint64
	start         time.Time // of the Set. Static after construction
	fanned        []int64   // Owned by the loop: see Fanned
	after         []func()  // Owned by the loop: see AfterWrite
	_             [64]byte
}

// Volume is a number of messages and their bytes.
type Volume struct{ Messages, Bytes atomic.Uint64 }

// Add counts messages of so many bytes together.
func (v *Volume) Add(messages, bytes uint64) {
	v.Messages.Add(messages)
	v.Bytes.Add(bytes)
}

// FramesOut is how many messages of any kind were sent.
func (l *Loop) FramesOut() (n uint64) {
	for i := range l.Sent {
		n += l.Sent[i].Messages.Load()
	}
	return n
}

// Drop counts one drop.
func (l *Loop) Drop(d Drop) { l.drops[d].Add(1) }

// Dropped returns how often a reason was counted.
func (l *Loop) Dropped(d Drop) uint64 { return l.drops[d].Load() }

// Refuse counts one failed authentication.
func (l *Loop) Refuse(r Refusal) { l.refusals[r].Add(1) }

// Refused returns how often a cause was counted.
func (l *Loop) Refused(r Refusal) uint64 { return l.refusals[r].Load() }

// Now is the time of Set.Now.
func (l *Loop) Now() int64 { return int64(time.Since(l.start)) }

// maxFanned bounds what a turn has to measure; of more events it measures these.
const maxFanned = 1024

// Fanned says that an event, published at a time of Set.Now, has reached all of its
// subscribers on this loop and leaves at the end of the turn. The loop's goroutine
// only.
func (l *Loop) Fanned(published int64) {
	if len(l.fanned) < maxFanned {
		l.fanned = append(l.fanned, published)
	}
}

// AfterWrite has f called by Written, for the few events that are traced. The loop's
// goroutine only.
func (l *Loop) AfterWrite(f func()) { l.after = append(l.after, f) }

// Written says that what was handed over in this turn is written. It measures, with
// one look at the clock, the time that each event of Fanned took. The loop's
// goroutine only.
func (l *Loop) Written() {
	if len(l.after) > 0 {
		for _, f := range l.after {
			f()
		}
		clear(l.after)
		l.after = l.after[:0]
	}
	if len(l.fanned) == 0 {
		return
	}
	now := l.Now()
	for _, at := range l.fanned {
		l.latency.Observe(time.Duration(now - at))
	}
	l.fanned = l.fanned[:0]
}

// maxBlocks is one for each of the at most 64 loops (transport.MaxLoops, which
// stands on a floor above) and one for all others.
const maxBlocks = 64 + 1

// Set is the counters of one server. Make one with New.
type Set struct {
	// Static after construction
	start  time.Time
	blocks [maxBlocks]Loop

	apps   apps   // has its own lock
	routes routes // has its own lock
}

// New returns counters at zero.
func New() *Set {
	s := &Set{start: time.Now()}
	s.apps.byID = make(map[string]*tenant)
	for i := range s.blocks {
		s.blocks[i].start = s.start
	}
	return s
}

// Now is a time to compare with others of the same Set, in ns: it only grows.
func (s *Set) Now() int64 { return int64(time.Since(s.start)) }

// block is the index of a loop's blocks; what is no loop shares the last one.
func block(loop int) int {
	if loop < 0 || loop >= maxBlocks {
		return maxBlocks - 1
	}
	return loop
}

// Loop returns the block of a loop; an index outside 0..63 shares the last one.
func (s *Set) Loop(i int) *Loop { return &s.blocks[block(i)] }

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

// Refusals adds up one cause.
func (s *Set) Refusals(r Refusal) uint64 {
	return uint64(s.Sum(func(l *Loop) int64 { return int64(l.Refused(r)) }))
}

// Connections is the number of open WebSocket connections.
func (s *Set) Connections() int64 {
	return s.Sum(func(l *Loop) int64 { return l.Connections.Load() })
}
