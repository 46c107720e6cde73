// Package mailbox is how many goroutines reach one: they post, and it takes
// everything at once by swapping slices. It is the one way into a shard.
package mailbox

import (
	"sync"
	"sync/atomic"
)

// Box is a queue of items with weights. Posting never blocks and never drops:
// who can wait or refuse asks Full first. Make one with New.
type Box[T any] struct {
	limit int64

	weight atomic.Int64 // posted and not yet released

	mu sync.Mutex
	// Guarded by mu
	items   []T
	drained chan struct{} // closed when weight falls below half; nil while nobody waits
}

// New returns an empty box that is full from limit on.
func New[T any](limit int) *Box[T] { return &Box[T]{limit: int64(limit)} }

// Post appends an item. It reports whether the box was empty, in which case the
// owner must be woken: for later items somebody did that already.
func (b *Box[T]) Post(item T, weight int) (first bool) {
	if weight > 0 {
		b.weight.Add(int64(weight))
	}
	b.mu.Lock()
	first = len(b.items) == 0
	b.items = append(b.items, item)
	b.mu.Unlock()
	return first
}

// Swap takes all items and leaves empty, cut to length 0, for the next ones. The
// caller clears what it was given before handing it in again.
func (b *Box[T]) Swap(empty []T) []T {
	b.mu.Lock()
	items := b.items
	b.items = empty[:0]
	b.mu.Unlock()
	return items
}

// Release gives back the weight of items that are done with.
func (b *Box[T]) Release(weight int) {
	left := b.weight.Add(-int64(weight))
	if left >= b.limit/2 || left+int64(weight) < b.limit/2 {
		return
	}
	b.mu.Lock()
	if b.drained != nil {
		close(b.drained)
		b.drained = nil
	}
	b.mu.Unlock()
}

// Full reports whether the weight has reached the limit.
func (b *Box[T]) Full() bool { return b.weight.Load() >= b.limit }

// HalfFull reports whether somebody who asks for Drained has to wait.
func (b *Box[T]) HalfFull() bool { return b.weight.Load() >= b.limit/2 }

// Weight is what was posted and not yet released.
func (b *Box[T]) Weight() int { return int(b.weight.Load()) }

// Drained returns a channel that is closed once the box is less than half full;
// it is closed already when it is so now.
func (b *Box[T]) Drained() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drained == nil {
		b.drained = make(chan struct{})
	}
	c := b.drained
	if b.weight.Load() < b.limit/2 {
		close(c)
		b.drained = nil
	}
	return c
}
